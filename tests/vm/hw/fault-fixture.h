/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef VM_HW_FAULT_FIXTURE_H
#define VM_HW_FAULT_FIXTURE_H
/* For the suites of faults and of stalls: accesses of one process, at one address, that fault as asked for. */
#include "fixture.h"

#define VA UINT64_C(0x500000003000)
#define PA UINT64_C(0x60000000)

#define N_FAULTS 8
struct fault {
	unsigned id;
	bool write, privileged, instruction;
};
extern const struct fault faults[N_FAULTS];

struct access access_of(uint32_t sid, bool ssv, uint32_t ssid);
/* The next event is this one, and it is the only one. */
void expect(unsigned id, uint32_t sid, bool ssv, uint32_t ssid);
void refused(uint32_t sid, bool ssv, uint32_t ssid, unsigned id); /* an access is aborted, with this event */
/* Makes the tables so that faults[i] comes of the access that is returned; sra: CD_S, CD_R, CD_A. */
struct access faulty(int i, uint64_t sra);

/* For access.waiter: what it was told last, and how often. */
extern struct woken {
	struct waiter waiter;
	unsigned n;
	enum answer a;
} woken;
struct waiter *waiter(void); /* nothing yet */

#endif
