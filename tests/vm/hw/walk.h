/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef VM_HW_WALK_H
#define VM_HW_WALK_H
/*
 * One walk of a stage 1 translation table (VMSAv8-64): 4, 16 and 64 KiB granules, up to 48 bits each way, blocks, the contiguous hint,
 * hierarchical permissions, access flag. Access flag and dirty state are managed by software (IDR0.HTTU is 0). No state: what is in
 * memory at the moment is what it finds.
 */
#include <stdbool.h>

#include "ram.h"

struct walk_regime { /* from the context descriptor, for the half of the address space that is asked about */
	uint64_t ttb;
	unsigned granule; /* log2: 12, 14, 16 */
	unsigned tsz; /* TxSZ */
	unsigned oas; /* bits of an output address */
	bool hierarchy_off; /* HAD */
};

struct walk_result {
	uint8_t event; /* 0: mapped; else F_TRANSLATION, F_ADDR_SIZE, F_ACCESS, F_WALK_EABT */
	uint8_t class; /* of the event: CLASS_IN or CLASS_TT */
	uint64_t fetch; /* F_WALK_EABT: the descriptor that is not in memory */
	/* when mapped: */
	uint64_t pa; /* of the first byte of the page, block or contiguous run */
	unsigned size; /* log2 of what one entry translates */
	bool read_el0, write_el0, read_el1, write_el1;
	bool exec_el0, exec_el1;
	bool global;
};

/* va: the address without its tag, sign-extended or not (only the bits below 64 - tsz count; those above are the caller's affair). */
void walk(const struct ram *ram, const struct walk_regime *regime, uint64_t va, struct walk_result *ret);

#endif
