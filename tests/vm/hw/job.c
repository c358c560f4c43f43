/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A descriptor, executed as a sequence of accesses: fetch it; for each piece read, read the other, write;
 * write the completion record, its status last. Nothing here waits, so a job can be put aside between any two
 * accesses.
 */
#include <stddef.h>
#include <string.h>

#include "../../../daemon/sim_crc32c.h"
#include "accel.h"

static bool wraps(uint64_t address, uint64_t len)
{
	return address + len < address;
}

static bool record_good(const struct sva_demo_desc *d)
{
	return d->completion % 8 == 0 && !wraps(d->completion, sizeof(struct sva_demo_completion));
}

bool job_good(const struct accel *d, const struct sva_demo_desc *desc)
{
	(void)d;
	if (desc->flags || desc->reserved0 || desc->reserved1[0] || desc->reserved1[1])
		return false;
	if (desc->op > SVA_DEMO_COMPARE || !record_good(desc))
		return false;
	if (desc->op == SVA_DEMO_NOP)
		return true;
	if (desc->len > ACCEL_LEN_MAX)
		return false;
	if (desc->op != SVA_DEMO_FILL && wraps(desc->src, desc->len))
		return false;
	if (desc->op != SVA_DEMO_CRC32C && wraps(desc->dst, desc->len))
		return false;
	return desc->op != SVA_DEMO_COPY || !desc->len || desc->src >= desc->dst + desc->len ||
	       desc->dst >= desc->src + desc->len;
}

static uint64_t to_page_end(uint64_t address)
{
	return ACCEL_PIECE - address % ACCEL_PIECE;
}

/* Enters the next piece, or the record when there is none. */
static void next_piece(struct job *j)
{
	const struct sva_demo_desc *d = &j->desc;
	uint64_t n = d->len - j->done, limit;

	j->xfer = 0;
	j->piece = 0;
	if (d->op == SVA_DEMO_NOP || !n) {
		j->phase = PHASE_RECORD;
		return;
	}
	/* A piece stays within a page of either side. */
	limit = d->op == SVA_DEMO_FILL ? to_page_end(d->dst + j->done) : to_page_end(d->src + j->done);
	if (d->op != SVA_DEMO_CRC32C && to_page_end(d->dst + j->done) < limit)
		limit = to_page_end(d->dst + j->done);
	j->piece = (uint32_t)(n < limit ? n : limit);
	j->phase = d->op == SVA_DEMO_FILL ? PHASE_WRITE : PHASE_READ;
	if (d->op == SVA_DEMO_FILL)
		for (uint32_t i = 0; i < j->piece; i++)
			j->a[i] = (uint8_t)(d->arg >> (8 * ((j->done + i) % 8)));
}

/* As much of [va, va + len) as is left and lies within a page. */
static void span(struct access *a, uint64_t va, void *data, uint32_t len, uint32_t done, bool write)
{
	const uint64_t left = len - done, page = to_page_end(va + done);

	a->va = va + done;
	a->data = (uint8_t *)data + done;
	a->len = (uint32_t)(left < page ? left : page);
	a->write = write;
}

void job_next_access(struct job *j, struct access *a)
{
	const struct sva_demo_desc *d = &j->desc;
	const uint32_t body = offsetof(struct sva_demo_completion, tag);

	a->len = 0;
	switch (j->phase) {
	case PHASE_FETCH:
		span(a, j->at, &j->desc, sizeof(j->desc), j->xfer, false);
		break;
	case PHASE_READ:
		span(a, d->src + j->done, j->a, j->piece, j->xfer, false);
		break;
	case PHASE_READ_OTHER:
		span(a, d->dst + j->done, j->b, j->piece, j->xfer, false);
		break;
	case PHASE_WRITE:
		span(a, d->dst + j->done, j->a, j->piece, j->xfer, true);
		break;
	case PHASE_RECORD:
		if (d->completion)
			span(a, d->completion + body, (uint8_t *)&j->completion + body,
			     (uint32_t)sizeof(j->completion) - body, j->xfer, true);
		break;
	case PHASE_STATUS:
		if (d->completion)
			span(a, d->completion, &j->completion.status, sizeof(j->completion.status), 0, true);
		break;
	}
}

static void to_record(struct job *j, enum sva_demo_status status, uint64_t fault_addr)
{
	j->phase = PHASE_RECORD;
	j->xfer = 0;
	j->completion = (struct sva_demo_completion){ .status = status,
						      .tag = j->desc.tag,
						      .bytes = j->done,
						      .result = j->result,
						      .fault_addr = fault_addr };
}

static void piece_done(struct accel *d, struct job *j)
{
	const struct sva_demo_desc *desc = &j->desc;

	if (desc->op == SVA_DEMO_CRC32C)
		j->result = crc32c((uint32_t)j->result, j->a, j->piece);
	if (desc->op == SVA_DEMO_COMPARE && memcmp(j->a, j->b, j->piece)) {
		uint32_t i = 0;

		while (j->a[i] == j->b[i])
			i++;
		j->done += i;
		j->result = 1 + j->done;
		to_record(j, SVA_DEMO_OK, 0);
		return;
	}
	j->done += j->piece;
	__atomic_fetch_add(&d->bytes, j->piece, __ATOMIC_RELAXED);
	next_piece(j);
	if (j->phase == PHASE_RECORD)
		to_record(j, SVA_DEMO_OK, 0);
}

static enum job_step fetched(struct accel *d, struct job *j)
{
	const struct sva_demo_desc *desc = &j->desc;

	if (!job_good(d, desc)) {
		to_record(j, SVA_DEMO_BAD_DESCRIPTOR, 0);
		if (!record_good(desc))
			j->desc.completion = 0; /* nowhere to write it to */
		return JOB_MORE;
	}
	j->result = desc->op == SVA_DEMO_CRC32C ? (uint32_t)desc->arg : 0;
	next_piece(j);
	if (j->phase == PHASE_RECORD)
		to_record(j, SVA_DEMO_OK, 0);
	return JOB_MORE;
}

enum job_step job_advance(struct accel *d, struct job *j, uint32_t len)
{
	const uint32_t total[] = {
		[PHASE_FETCH] = sizeof(j->desc),
		[PHASE_READ] = j->piece,
		[PHASE_READ_OTHER] = j->piece,
		[PHASE_WRITE] = j->piece,
		[PHASE_RECORD] = j->desc.completion ? (uint32_t)(sizeof(j->completion) -
								 offsetof(struct sva_demo_completion, tag))
						    : 0,
		[PHASE_STATUS] = j->desc.completion ? (uint32_t)sizeof(uint32_t) : 0,
	};

	j->xfer += len;
	if (j->xfer < total[j->phase])
		return JOB_MORE;
	j->xfer = 0;
	switch (j->phase) {
	case PHASE_FETCH:
		return fetched(d, j);
	case PHASE_READ:
		if (j->desc.op == SVA_DEMO_CRC32C)
			piece_done(d, j);
		else
			j->phase = j->desc.op == SVA_DEMO_COPY ? PHASE_WRITE : PHASE_READ_OTHER;
		return JOB_MORE;
	case PHASE_READ_OTHER:
	case PHASE_WRITE:
		piece_done(d, j);
		return JOB_MORE;
	case PHASE_RECORD:
		j->phase = PHASE_STATUS;
		return JOB_MORE;
	default:
		return JOB_DONE;
	}
}

enum job_step job_abort(struct job *j, enum sva_demo_status status, uint64_t fault_addr)
{
	/* A record that cannot be written is not written; a descriptor that was not read has none. */
	if (j->phase == PHASE_RECORD || j->phase == PHASE_STATUS || j->phase == PHASE_FETCH)
		return JOB_DONE;
	to_record(j, status, fault_addr);
	return JOB_MORE;
}
