/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "walk.h"

#include <string.h>

#include "smmu_regs.h"

#define DESC_VALID BIT64(0)
#define DESC_TABLE BIT64(1) /* at the last level: a page */
#define DESC_AP_EL0 BIT64(6)
#define DESC_AP_RO BIT64(7)
#define DESC_AF BIT64(10)
#define DESC_NG BIT64(11)
#define DESC_CONTIGUOUS BIT64(52)
#define DESC_PXN BIT64(53)
#define DESC_UXN BIT64(54)
#define DESC_PXN_TABLE BIT64(59)
#define DESC_UXN_TABLE BIT64(60)
#define DESC_AP_TABLE_NO_EL0 BIT64(61)
#define DESC_AP_TABLE_RO BIT64(62)

/* log2 of how many neighbours a contiguous run has. */
static unsigned run_length(unsigned granule, unsigned level)
{
	switch (granule) {
	case 12:
		return 4;
	case 14:
		return level == 3 ? 7 : 5;
	default:
		return 5;
	}
}

static bool block_allowed(unsigned granule, unsigned level)
{
	return level == 2 || (level == 1 && granule == 12);
}

static void fault(struct walk_result *ret, uint8_t event, uint8_t class)
{
	ret->event = event;
	ret->class = class;
}

static void leaf(uint64_t desc, uint64_t inherited, unsigned granule, unsigned level, unsigned shift,
		 struct walk_result *ret)
{
	bool el0 = (desc & DESC_AP_EL0) && !(inherited & DESC_AP_TABLE_NO_EL0);
	bool ro = (desc & DESC_AP_RO) || (inherited & DESC_AP_TABLE_RO);

	ret->size = shift;
	if (desc & DESC_CONTIGUOUS)
		ret->size += run_length(granule, level);
	ret->pa = bits(desc, 47, 0) & ~(BIT64(ret->size) - 1);
	ret->read_el1 = true;
	ret->write_el1 = !ro;
	ret->read_el0 = el0;
	ret->write_el0 = el0 && !ro;
	ret->exec_el0 = !(desc & DESC_UXN) && !(inherited & DESC_UXN_TABLE);
	ret->exec_el1 = !(desc & DESC_PXN) && !(inherited & DESC_PXN_TABLE);
	ret->global = !(desc & DESC_NG);
}

void walk(const struct ram *ram, const struct walk_regime *regime, uint64_t va, struct walk_result *ret)
{
	const unsigned granule = regime->granule, stride = granule - 3, input = 64 - regime->tsz;
	unsigned level = 4 - (input - granule + stride - 1) / stride;
	uint64_t table = regime->ttb, inherited = 0;

	memset(ret, 0, sizeof(*ret));
	va = bits(va, input - 1, 0);
	for (;; level++) {
		const unsigned shift = granule + (3 - level) * stride;
		const unsigned top = shift + stride < input ? shift + stride : input;
		const uint64_t at = table + bits(va, top - 1, shift) * 8;
		const void *p = at % 8 ? NULL : ram_at(ram, at, 8);
		uint64_t desc;

		if (!p) {
			fault(ret, F_WALK_EABT, CLASS_TT);
			ret->fetch = at;
			return;
		}
		desc = load64(p);
		if (!(desc & DESC_VALID)) {
			fault(ret, F_TRANSLATION, CLASS_IN);
			return;
		}
		/* Whether a table or a page follows, its address is here. */
		if (regime->oas < 48 && bits(desc, 47, regime->oas)) {
			fault(ret, F_ADDR_SIZE, CLASS_IN);
			return;
		}
		if (level < 3 && (desc & DESC_TABLE)) {
			table = bits(desc, 47, 0) & ~(BIT64(granule) - 1);
			if (!regime->hierarchy_off)
				inherited |= desc;
			continue;
		}
		if (level < 3 ? !block_allowed(granule, level) : !(desc & DESC_TABLE)) {
			fault(ret, F_TRANSLATION, CLASS_IN); /* a reserved encoding */
			return;
		}
		if (!(desc & DESC_AF)) {
			fault(ret, F_ACCESS, CLASS_IN);
			return;
		}
		leaf(desc, inherited, granule, level, shift, ret);
		return;
	}
}
