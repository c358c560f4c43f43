/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The PRI queue. No accelerator here asks for pages this way (they stall); a request can be injected, and its
 * answer is awaited. */
#include "smmu.h"

#define PRIQ_LOG2_MAX 10u

bool pri_request(struct smmu *s, uint32_t sid, uint32_t ssid, uint64_t addr)
{
	struct queue q;
	uint64_t *entry;
	bool done = false;

	pthread_mutex_lock(&s->lock);
	q = queue_at(s, PRIQ_BASE, PRIQ_LOG2_MAX);
	if (!(s->cr0 & CR0_PRIQEN) || !s->opt.ats || queue_full(&q, s->priq_prod, reg32(s, PRIQ_CONS)))
		goto out;
	entry = queue_entry(s, &q, s->priq_prod, PRI_DWORDS);
	if (!entry) {
		smmu_gerror(s, GERROR_PRIQ_ABT);
		goto out;
	}
	/* SubstreamID valid, a read, last of group 1 */
	store64(&entry[1], (addr & ~UINT64_C(0xfff)) | 1);
	store64(&entry[0], sid | (uint64_t)ssid << 32 | BIT64(60) | BIT64(62) | BIT64(63));
	s->priq_prod = queue_next(&q, s->priq_prod);
	reg32_set(s, PRIQ_PROD, s->priq_prod);
	s->pris++;
	if (reg32(s, IRQ_CTRLACK) & IRQ_CTRL_PRIQ)
		s->irq(s->irq_arg, s->opt.spi_pri);
	done = true;
out:
	pthread_mutex_unlock(&s->lock);
	return done;
}
