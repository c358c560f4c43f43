/* SPDX-License-Identifier: GPL-2.0-or-later */
/* PASID numbers: from 1 on, lowest free first, as the kernel's IDA hands them out. Loop only. */
#include <errno.h>
#include <string.h>

#include "sim_iommu.h"

#define PASID_BITS 20u
#define WORD_BITS 64u

static uint64_t taken[(1u << PASID_BITS) / WORD_BITS] = { 1 }; /* 0 is no PASID */
static uint32_t first_hint;				       /* no word before this one has a free bit */
static uint32_t used;

uint32_t sim_pasid_alloc(uint32_t max)
{
	for (uint32_t w = first_hint; w < sizeof(taken) / sizeof(taken[0]); w++) {
		uint32_t pasid;

		if (taken[w] == UINT64_MAX) {
			if (w == first_hint)
				first_hint++;
			continue;
		}
		pasid = w * WORD_BITS + (uint32_t)__builtin_ctzll(~taken[w]);
		if (pasid > max)
			return 0;
		taken[w] |= UINT64_C(1) << (pasid % WORD_BITS);
		used++;
		return pasid;
	}
	return 0;
}

void sim_pasid_free(uint32_t pasid)
{
	uint32_t w = pasid / WORD_BITS;

	if (!pasid || pasid >> PASID_BITS || !(taken[w] & (UINT64_C(1) << (pasid % WORD_BITS))))
		return;
	taken[w] &= ~(UINT64_C(1) << (pasid % WORD_BITS));
	used--;
	if (w < first_hint)
		first_hint = w;
}

uint32_t sim_pasids_used(void)
{
	return used;
}
