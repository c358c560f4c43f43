/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a device with ATS keeps of the answers to its translation requests. It is on the device's side: only
 * CMD_ATC_INV takes an entry away, no TLBI and no CFGI does, so a driver that forgets it is seen. Its
 * transactions come translated and are let through as they are (what CR0.ATSCHK asks for beyond that is not
 * modelled: devices here do not lie about their own translations).
 */
#include "smmu.h"

static struct atc_entry *slot(struct smmu *s, uint32_t sid, uint32_t ssid, uint64_t page)
{
	return &s->atc[(page + sid * 31u + ssid * 7u) % ATC_ENTRIES];
}

struct atc_entry *atc_lookup(struct smmu *s, uint32_t sid, uint32_t ssid, uint64_t va)
{
	struct atc_entry *e = slot(s, sid, ssid, va >> 12);

	return e->valid && e->sid == sid && e->ssid == ssid && e->page == va >> 12 ? e : NULL;
}

void atc_insert(struct smmu *s, uint32_t sid, uint32_t ssid, uint64_t va, uint64_t pa, bool read, bool write)
{
	*slot(s, sid, ssid, va >> 12) = (struct atc_entry){ .valid = true,
							    .sid = sid,
							    .ssid = ssid,
							    .page = va >> 12,
							    .pa = pa & ~UINT64_C(0xfff),
							    .read = read,
							    .write = write };
}

void atc_invalidate(struct smmu *s, uint32_t sid, uint32_t ssid, bool global, uint64_t va, unsigned size)
{
	const uint64_t first = size < 52 ? va >> 12 & ~(BIT64(size) - 1) : 0;

	for (unsigned i = 0; i < ATC_ENTRIES; i++) {
		struct atc_entry *e = &s->atc[i];

		if (e->valid && e->sid == sid && (global || e->ssid == ssid) &&
		    (size >= 52 || (e->page - first) >> size == 0))
			e->valid = false;
	}
}
