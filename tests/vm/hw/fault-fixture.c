/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Accesses that fault, and who waits for the stalled ones. */
#include "fault-fixture.h"

#include <string.h>

const struct fault faults[N_FAULTS] = {
	{ F_TRANSLATION, false, false, false }, { F_TRANSLATION, true, false, false },
	{ F_TRANSLATION, true, true, false },	{ F_TRANSLATION, false, false, true },
	{ F_PERMISSION, true, false, false },	{ F_PERMISSION, false, false, true },
	{ F_ACCESS, false, false, false },	{ F_ADDR_SIZE, false, false, false },
};

struct access access_of(uint32_t sid, bool ssv, uint32_t ssid)
{
	static uint64_t v;

	return (struct access){ .sid = sid, .ssid = ssid, .ssv = ssv, .va = VA, .data = &v, .len = 8 };
}

void expect(unsigned id, uint32_t sid, bool ssv, uint32_t ssid)
{
	uint64_t ev[EVENT_DWORDS];

	ck_assert(world_event(w, ev));
	ck_assert_uint_eq(ev[0] & 0xff, id);
	ck_assert_uint_eq(ev[0] >> 32, sid);
	ck_assert_uint_eq(ev[0] >> 11 & 1, ssv);
	ck_assert_uint_eq(ev[0] >> 12 & 0xfffff, ssv ? ssid : 0);
	ck_assert(!world_event(w, ev));
}

void refused(uint32_t sid, bool ssv, uint32_t ssid, unsigned id)
{
	struct access a = access_of(sid, ssv, ssid);

	ck_assert_int_eq(smmu_access(w->smmu, &a), ACCESS_ABORT);
	ck_assert_uint_eq(a.event, id);
	expect(id, sid, ssv, ssid);
}

struct access faulty(int i, uint64_t sra)
{
	struct access a = access_of(1, true, WORLD_SSID);
	uint64_t *e;

	a.write = faults[i].write;
	a.privileged = faults[i].privileged;
	a.instruction = faults[i].instruction;
	world_cd_set(w, WORLD_SSID, &sp, sra);
	if (faults[i].id == F_TRANSLATION)
		return a;
	e = world_map(w, &sp, VA, PA, 3);
	if (faults[i].id == F_PERMISSION)
		*e |= PTE_RO | PTE_UXN;
	if (faults[i].id == F_ACCESS)
		*e &= ~PTE_AF;
	if (faults[i].id == F_ADDR_SIZE) {
		world_cd(w, WORLD_SSID)[0] &= ~(UINT64_C(7) << 32); /* IPS: 32 bits */
		world_cfgi_cd(w, WORLD_SSID);
		*e |= BIT64(40);
	}
	return a;
}

struct woken woken;

static void wake(struct waiter *waiter, enum answer a)
{
	ck_assert_ptr_eq(waiter, &woken.waiter);
	woken.n++;
	woken.a = a;
}

struct waiter *waiter(void)
{
	memset(&woken, 0, sizeof(woken));
	woken.waiter.wake = wake;
	return &woken.waiter;
}
