/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sim_late.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "log.h"
#include "sim_bond.h"
#include "sim_iommu.h"

struct late {
	struct sim_timer timer;
	struct sim_work work;
	struct sim_bond *bond; /* counted */
};

static void late_emit(struct sim_work *work)
{
	struct late *l = container_of(work, struct late, work);
	uint64_t address = atomic_load(&l->bond->last_dst);
	const uint64_t value = UINT64_C(0xdeadda7adeadda7a);
	struct sim_mm *mm;

	if (!address)
		address = l->bond->at_random;
	if (!sim_iommu_late_begin(l->bond, address, &mm)) {
		/* It came through: the checker has seen it, and the memory is harmed, as it would be. */
		if (pwrite(mm->mem_fd, &value, sizeof(value), (off_t)address) < 0)
			log_debug("late DMA found no memory");
		sim_iommu_end(l->bond, mm);
	}
	sim_bond_unref(l->bond);
	free(l);
}

static void late_fire(struct sim_timer *timer)
{
	struct late *l = container_of(timer, struct late, timer);

	sim_os_submit(&l->work, (uid_t)-1);
}

void sim_late_dma(struct sim_bond *bond)
{
	struct sim_device *device = bond->device;
	unsigned left = atomic_load(&device->late_dma_count);
	struct late *l;

	if (!left)
		return;
	l = calloc(1, sizeof(*l));
	if (!l)
		return;
	atomic_store(&device->late_dma_count, left - 1);
	l->timer.fn = late_fire;
	l->work.run = late_emit;
	l->bond = sim_bond_ref(bond);
	if (sim_timer_arm(&l->timer,
			  sim_now() + (uint64_t)atomic_load(&device->late_dma_delay_ms) * 1000000u) < 0)
		late_fire(&l->timer);
}
