/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Circular queues: an index has log2 bits, and one more that tells a full queue from an empty one. */
#include "smmu.h"

struct queue queue_at(const struct smmu *s, uint32_t base_reg, unsigned log2_max)
{
	uint64_t base = load64(s->regs + base_reg);
	unsigned log2 = (unsigned)bits(base, 4, 0);

	return (struct queue){ .base = base & QUEUE_ADDR, .log2 = log2 < log2_max ? log2 : log2_max };
}

static uint32_t index_mask(const struct queue *q)
{
	return (2u << q->log2) - 1;
}

uint32_t queue_next(const struct queue *q, uint32_t index)
{
	return (index & QUEUE_OVFLG) | ((index + 1) & index_mask(q));
}

uint32_t queue_count(const struct queue *q, uint32_t prod, uint32_t cons)
{
	return (prod - cons) & index_mask(q);
}

bool queue_full(const struct queue *q, uint32_t prod, uint32_t cons)
{
	return queue_count(q, prod, cons) >= 1u << q->log2;
}

uint64_t *queue_entry(const struct smmu *s, const struct queue *q, uint32_t index, unsigned dwords)
{
	/* The architecture aligns a queue to its size; bits of the base below that do not count. */
	uint64_t size = (UINT64_C(8) * dwords) << q->log2;
	uint64_t base = q->base & ~(size - 1);

	return ram_at(s->ram, base + (index & ((1u << q->log2) - 1)) * UINT64_C(8) * dwords, 8 * dwords);
}
