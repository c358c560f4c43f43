/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What an engine does with a descriptor: check it, execute it in chunks, write the completion record. */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "../client/lib/sva/demo_accel.h"
#include "sim_bond.h"
#include "sim_crc32c.h"
#include "sim_worker.h"

struct job {
	struct sim_worker *w;
	const struct sva_demo_desc *desc;
	uint64_t done, result, fault_addr;
};

static bool wraps(uint64_t address, uint64_t len)
{
	return address + len < address;
}

static bool record_good(const struct sva_demo_desc *d)
{
	return d->completion % 8 == 0 && !wraps(d->completion, sizeof(struct sva_demo_completion));
}

static bool desc_good(const struct sim_device *device, const struct sva_demo_desc *d)
{
	if (d->flags || d->reserved0 || d->reserved1[0] || d->reserved1[1])
		return false;
	if (d->op >= 64 || !(device->config->operations & (UINT64_C(1) << d->op)))
		return false;
	if (!record_good(d))
		return false;
	if (d->op == SVA_DEMO_NOP)
		return true;
	if (d->len > SIM_LEN_MAX)
		return false;
	if (d->op != SVA_DEMO_FILL && wraps(d->src, d->len))
		return false;
	if (d->op != SVA_DEMO_CRC32C && wraps(d->dst, d->len))
		return false;
	if (d->op == SVA_DEMO_COPY && d->len && d->src < d->dst + d->len && d->dst < d->src + d->len)
		return false;
	return d->op <= SVA_DEMO_COMPARE;
}

static size_t to_block_end(uint64_t address, size_t n)
{
	uint64_t left = SIM_BLOCK - address % SIM_BLOCK;

	return left < n ? (size_t)left : n;
}

/* Each does one chunk of n bytes at j->done; *ret_n: how many of them were done. As sim_dma(). */

static int step_copy(struct job *j, size_t n, size_t *ret_n)
{
	uint64_t fault = 0;
	size_t got = 0;
	int r, r_write;

	*ret_n = 0;
	r = sim_dma(j->w, j->desc->src + j->done, j->w->a, n, false, &got, &j->fault_addr);
	if (!got)
		return r;
	/* What could be read is copied before the fault is reported. */
	r_write = sim_dma(j->w, j->desc->dst + j->done, j->w->a, got, true, ret_n, &fault);
	if (!r_write)
		return r;
	j->fault_addr = fault;
	return r_write;
}

static int step_fill(struct job *j, size_t n, size_t *ret_n)
{
	/* The buffer holds the pattern from its start; a chunk may begin anywhere within the 8 bytes. */
	return sim_dma(j->w, j->desc->dst + j->done, j->w->a + j->done % 8, n, true, ret_n, &j->fault_addr);
}

static int step_crc(struct job *j, size_t n, size_t *ret_n)
{
	int r = sim_dma(j->w, j->desc->src + j->done, j->w->a, n, false, ret_n, &j->fault_addr);

	j->result = crc32c((uint32_t)j->result, j->w->a, *ret_n);
	return r;
}

#define FOUND_DIFFERENCE (-ERANGE)

static int step_compare(struct job *j, size_t n, size_t *ret_n)
{
	size_t a = 0, b = 0, i;
	uint64_t fault = 0;
	int r, r2;

	*ret_n = 0;
	r = sim_dma(j->w, j->desc->src + j->done, j->w->a, n, false, &a, &j->fault_addr);
	if (!a)
		return r;
	r2 = sim_dma(j->w, j->desc->dst + j->done, j->w->b, a, false, &b, &fault);
	if (memcmp(j->w->a, j->w->b, b)) {
		for (i = 0; j->w->a[i] == j->w->b[i]; i++)
			;
		*ret_n = i;
		j->result = 1 + j->done + i;
		return FOUND_DIFFERENCE;
	}
	*ret_n = b;
	if (!r2)
		return r;
	j->fault_addr = fault;
	return r2;
}

/* An injected fault: jobs stop making progress here, and can still be stopped. */
static int hold_point(struct sim_worker *w)
{
	struct sim_bond *bond = w->bond;
	struct sim_device *device = w->device;

	if (!atomic_load(&device->held) || sim_worker_must_stop(bond))
		return 0;
	sim_slot_release(w);
	atomic_fetch_add(&device->n_held, 1);
	sim_device_activity(device);
	pthread_mutex_lock(&bond->lock);
	bond->is_held = true;
	while (atomic_load(&device->held) && !sim_worker_must_stop(bond))
		pthread_cond_wait(&bond->wake, &bond->lock);
	bond->is_held = false;
	pthread_mutex_unlock(&bond->lock);
	atomic_fetch_sub(&device->n_held, 1);
	sim_device_activity(device);
	return sim_slot_acquire(w);
}

static int run(struct job *j)
{
	static int (*const steps[])(struct job *, size_t, size_t *) = {
		[SVA_DEMO_COPY] = step_copy,
		[SVA_DEMO_FILL] = step_fill,
		[SVA_DEMO_CRC32C] = step_crc,
		[SVA_DEMO_COMPARE] = step_compare,
	};
	const struct sva_demo_desc *d = j->desc;
	struct sim_worker *w = j->w;
	int r;

	if (d->op == SVA_DEMO_NOP || !d->len) {
		j->result = d->op == SVA_DEMO_CRC32C ? (uint32_t)d->arg : 0;
		return hold_point(w);
	}
	if (d->op == SVA_DEMO_FILL)
		for (size_t i = 0; i < SIM_CHUNK + 8; i++)
			w->a[i] = (unsigned char)(d->arg >> (8 * (i % 8)));
	if (d->op == SVA_DEMO_CRC32C)
		j->result = (uint32_t)d->arg;
	if (d->op == SVA_DEMO_COMPARE && !w->b) {
		w->b = malloc(SIM_CHUNK + 8);
		if (!w->b)
			return -ENOMEM;
	}

	while (j->done < d->len) {
		size_t n = d->len - j->done < SIM_CHUNK ? (size_t)(d->len - j->done) : SIM_CHUNK;

		/* Whole pieces of both sides, so that a chunk is one access to each. */
		if (d->op != SVA_DEMO_FILL)
			n = to_block_end(d->src + j->done, n);
		if (d->op != SVA_DEMO_CRC32C)
			n = to_block_end(d->dst + j->done, n);
		r = steps[d->op](j, n, &n);
		j->done += n;
		atomic_fetch_add_explicit(&w->device->bytes, n, memory_order_relaxed);
		if (r)
			return r;
		r = hold_point(w);
		if (!r && sim_worker_must_stop(w->bond))
			r = j->done < d->len ? -ECANCELED : 0;
		if (!r)
			r = sim_slot_yield(w);
		if (r)
			return r;
	}
	return 0;
}

static int complete(struct sim_worker *w, const struct sva_demo_desc *d, struct sva_demo_completion *c,
		    uint64_t *ret_fault)
{
	const size_t body = offsetof(struct sva_demo_completion, tag);
	size_t n;
	int r;

	r = sim_dma(w, d->completion + body, (unsigned char *)c + body, sizeof(*c) - body, true, &n,
		    ret_fault);
	if (r)
		return r;
	atomic_store(&w->bond->executing,
		     false); /* whoever sees the status may say that nothing is outstanding */
	atomic_thread_fence(memory_order_seq_cst); /* status last */
	return sim_dma(w, d->completion, &c->status, sizeof(c->status), true, &n, ret_fault);
}

int sim_engine_execute(struct sim_worker *w, const struct sva_demo_desc *d, uint64_t address)
{
	struct sva_demo_completion c = { .tag = d->tag };
	struct job j = { .w = w, .desc = d };
	uint64_t fault;
	int r = 0, r2;

	atomic_store(&w->bond->last_dst,
		     d->op == SVA_DEMO_FILL || d->op == SVA_DEMO_COPY ? d->dst : d->completion);
	if (!desc_good(w->device, d)) {
		c.status = SVA_DEMO_BAD_DESCRIPTOR;
		sim_bond_fault(w->bond, SVAB_FAULT_DESCRIPTOR, address);
	} else {
		r = run(&j);
		c.bytes = j.done;
		c.result = j.result;
		if (r == FOUND_DIFFERENCE)
			r = 0;
		if (!r) {
			c.status = SVA_DEMO_OK;
			atomic_fetch_add_explicit(&w->device->jobs, 1, memory_order_relaxed);
		} else if (r > 0) {
			c.status = r == SVAB_FAULT_PERMISSION ? SVA_DEMO_FAULT_PERMISSION
							      : SVA_DEMO_FAULT_UNMAPPED;
			c.fault_addr = j.fault_addr;
			sim_bond_fault(w->bond, (enum svab_fault)r, j.fault_addr);
			if (r == SVAB_FAULT_MM_GONE)
				return -ESRCH;
		} else if (r == -EACCES) {
			return r;
		} else {
			c.status = SVA_DEMO_ABORTED; /* stopped, or out of memory for a bounce buffer */
		}
	}
	if (d->completion && record_good(d) && !atomic_load(&w->bond->dead)) {
		/* Also of an aborted job: the stop is not acknowledged yet, so this is still in time. */
		w->finishing = true;
		r2 = complete(w, d, &c, &fault);
		w->finishing = false;
		if (r2 > 0) {
			sim_bond_fault(w->bond, (enum svab_fault)r2, fault);
			if (r2 == SVAB_FAULT_MM_GONE)
				return -ESRCH;
		} else if (r2 < 0 && r2 != -ENOMEM) {
			return r2;
		}
	}
	return r < 0 && r != -ENOMEM ? r : 0;
}
