/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One access of a device to a client's memory: translate, ask for permission, access, in pieces that stay
 * within an IOTLB entry. */
#include <errno.h>
#include <unistd.h>

#include "sim_iommu.h"
#include "sim_mm.h"
#include "sim_worker.h"

/* From here to gate_close() the bond is inside an access: a device that died or was reset is not yet done
 * with it. */
static bool gate_open(struct sim_bond *bond)
{
	bool ok;

	pthread_mutex_lock(&bond->lock);
	ok = !atomic_load(&bond->dead);
	bond->in_access = ok;
	pthread_mutex_unlock(&bond->lock);
	return ok;
}

static void gate_close(struct sim_bond *bond)
{
	pthread_mutex_lock(&bond->lock);
	bond->in_access = false;
	pthread_mutex_unlock(&bond->lock);
}

static ssize_t mm_access(struct sim_mm *mm, uint64_t address, void *buf, size_t len, bool write)
{
	ssize_t n;

	do
		n = write ? pwrite(mm->mem_fd, buf, len, (off_t)address)
			  : pread(mm->mem_fd, buf, len, (off_t)address);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/* A piece within one block. *ret_done is set whatever comes back. */
static int dma_piece(struct sim_worker *w, uint64_t address, void *buf, size_t len, bool write,
		     size_t *ret_done)
{
	struct sim_bond *bond = w->bond;
	enum svab_fault fault;
	struct sim_mm *mm;
	size_t good;
	ssize_t n;
	int r;

	*ret_done = 0;
	for (;;) {
		r = sim_iommu_translate(bond, address, write, w->finishing, &mm);
		if (r)
			return r;
		/* /proc/PID/mem ignores protection, so it is asked here; an mprotect that comes between this
		 * and the access is the one thing that the simulation cannot put in order. */
		fault = sim_mm_allows(mm, address, len, write, &good);
		sim_mm_unref(mm);
		if (!good)
			return (int)fault;

		if (!gate_open(bond))
			return -ECANCELED;
		r = sim_iommu_begin(bond, address, &mm);
		if (!r)
			break;
		gate_close(bond);
		if (r != -EAGAIN)
			return r;
	}
	n = mm_access(mm, address, buf, good, write);
	if (!n)
		sim_mm_has_gone(mm);
	sim_iommu_end(bond, mm);
	gate_close(bond);

	if (!n)
		return SVAB_FAULT_MM_GONE;
	if (n < 0)
		return SVAB_FAULT_UNMAPPED; /* mapped, but nothing that can be read: I/O memory, a hole in a
					       file */
	*ret_done = (size_t)n;
	if ((size_t)n < good)
		return SVAB_FAULT_UNMAPPED; /* unmapped meanwhile, or past the end of a mapped file */
	return (int)fault;
}

int sim_dma(struct sim_worker *w, uint64_t address, void *buf, size_t len, bool write, size_t *ret_done,
	    uint64_t *ret_fault)
{
	size_t done = 0, n;
	int r = 0;

	sim_slot_enter(w);
	while (done < len) {
		uint64_t at = address + done, left = SIM_BLOCK - at % SIM_BLOCK;

		if (at >>
		    56) { /* not an address of user space anywhere, and an IOTLB tag has no room for it */
			r = SVAB_FAULT_UNMAPPED;
			break;
		}
		n = len - done < left ? len - done : (size_t)left;
		r = dma_piece(w, at, (unsigned char *)buf + done, n, write, &n);
		done += n;
		if (r)
			break;
	}
	sim_slot_leave(w);
	*ret_done = done;
	if (r > 0)
		*ret_fault = address + done;
	return r;
}
