/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef VM_HW_TLB_H
#define VM_HW_TLB_H
/*
 * The TLB. It keeps what it was given until a command takes it away, as far as there is room: so an invalidation that is missing shows
 * as an access through a stale entry. Entries that fault are not kept; one whose permission does not suffice is looked up anew.
 */
#include "walk.h"

#define TLB_SETS 2048u
#define TLB_WAYS 4u

struct tlb_entry {
	bool valid;
	bool condemned; /* an invalidation that was injected to have no effect should have taken it */
	bool global;
	bool high; /* from TTB1 */
	uint16_t asid;
	uint64_t va; /* first byte */
	uint64_t ttb; /* whose tables it came from */
	uint64_t suspect_ns; /* since when the tables have said otherwise; 0: they agree */
	struct walk_result w;
};

struct tlb {
	struct tlb_entry *entries; /* TLB_SETS * TLB_WAYS */
	uint32_t sizes[64]; /* how many entries there are of each log2 size */
	uint32_t count;
	uint32_t turn; /* which way is next to go */
};

int tlb_init(struct tlb *tlb);
void tlb_deinit(struct tlb *tlb);

/* NULL: none. Until the next tlb_insert() or invalidation. */
struct tlb_entry *tlb_lookup(struct tlb *tlb, uint16_t asid, uint64_t va, bool high);
struct tlb_entry *tlb_insert(struct tlb *tlb, uint16_t asid, uint64_t va, bool high, uint64_t ttb, const struct walk_result *w);

/* What an invalidation is about. */
struct tlb_match {
	bool by_asid, by_va;
	bool spare_global; /* TLBI by ASID leaves global entries alone */
	uint16_t asid;
	uint64_t va;
};

/* Returns how many. condemn: leave them, marked. */
unsigned tlb_invalidate(struct tlb *tlb, const struct tlb_match *m, bool condemn);
void tlb_drop_condemned(struct tlb *tlb);

#endif
