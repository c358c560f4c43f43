/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tlb.h"

#include <errno.h>
#include <stdlib.h>

int tlb_init(struct tlb *tlb)
{
	*tlb = (struct tlb){ .entries = calloc(TLB_SETS * TLB_WAYS, sizeof(struct tlb_entry)) };
	return tlb->entries ? 0 : -ENOMEM;
}

void tlb_deinit(struct tlb *tlb)
{
	free(tlb->entries);
	tlb->entries = NULL;
}

static struct tlb_entry *set_of(struct tlb *tlb, uint64_t va, unsigned size)
{
	uint64_t key = (va >> size) * UINT64_C(0x9e3779b97f4a7c15) + size * UINT64_C(0xc2b2ae3d27d4eb4f);

	return tlb->entries + (key >> 40) % TLB_SETS * TLB_WAYS;
}

static bool covers(const struct tlb_entry *e, uint64_t va)
{
	return (e->va ^ va) >> e->w.size == 0;
}

static void drop(struct tlb *tlb, struct tlb_entry *e)
{
	e->valid = false;
	tlb->sizes[e->w.size]--;
	tlb->count--;
}

static struct tlb_entry *find(struct tlb *tlb, uint16_t asid, uint64_t va, bool high, unsigned size)
{
	struct tlb_entry *set = set_of(tlb, va, size);

	for (unsigned i = 0; i < TLB_WAYS; i++) {
		struct tlb_entry *e = &set[i];

		if (e->valid && e->w.size == size && e->high == high && (e->global || e->asid == asid) &&
		    covers(e, va))
			return e;
	}
	return NULL;
}

struct tlb_entry *tlb_lookup(struct tlb *tlb, uint16_t asid, uint64_t va, bool high)
{
	for (unsigned size = 12; size < 48; size++) {
		struct tlb_entry *e = tlb->sizes[size] ? find(tlb, asid, va, high, size) : NULL;

		if (e)
			return e;
	}
	return NULL;
}

struct tlb_entry *tlb_insert(struct tlb *tlb, uint16_t asid, uint64_t va, bool high, uint64_t ttb,
			     const struct walk_result *w)
{
	struct tlb_entry *set = set_of(tlb, va, w->size), *e = find(tlb, asid, va, high, w->size);

	for (unsigned i = 0; i < TLB_WAYS && !e; i++)
		if (!set[i].valid)
			e = &set[i];
	if (!e)
		e = &set[tlb->turn++ % TLB_WAYS];
	if (e->valid)
		drop(tlb, e);
	*e = (struct tlb_entry){ .valid = true,
				 .global = w->global,
				 .high = high,
				 .asid = asid,
				 .va = va & ~(BIT64(w->size) - 1),
				 .ttb = ttb,
				 .w = *w };
	tlb->sizes[w->size]++;
	tlb->count++;
	return e;
}

static bool matches(const struct tlb_entry *e, const struct tlb_match *m)
{
	if (!e->valid)
		return false;
	if (m->by_asid && (e->global ? m->spare_global : e->asid != m->asid))
		return false;
	/* An address in the command has no tag and is sign-extended; one in an entry may have either. */
	return !m->by_va || ((e->va ^ m->va) & (BIT64(48) - 1)) >> e->w.size == 0;
}

unsigned tlb_invalidate(struct tlb *tlb, const struct tlb_match *m, bool condemn)
{
	unsigned n = 0;

	if (!tlb->count)
		return 0;
	for (unsigned size = 12; m->by_va && size < 48; size++) {
		/* The address says which sets to look into. Entries hold addresses within 48 bits. */
		struct tlb_entry *set = set_of(tlb, m->va & (BIT64(48) - 1), size);

		for (unsigned i = 0; i < TLB_WAYS && tlb->sizes[size]; i++) {
			if (set[i].w.size != size || !matches(&set[i], m))
				continue;
			n++;
			if (condemn)
				set[i].condemned = true;
			else
				drop(tlb, &set[i]);
		}
	}
	for (unsigned i = 0; !m->by_va && i < TLB_SETS * TLB_WAYS && tlb->count; i++) {
		if (!matches(&tlb->entries[i], m))
			continue;
		n++;
		if (condemn)
			tlb->entries[i].condemned = true;
		else
			drop(tlb, &tlb->entries[i]);
	}
	return n;
}

void tlb_drop_condemned(struct tlb *tlb)
{
	for (unsigned i = 0; i < TLB_SETS * TLB_WAYS && tlb->count; i++)
		if (tlb->entries[i].valid && tlb->entries[i].condemned)
			drop(tlb, &tlb->entries[i]);
}
