/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef VM_HW_CHECKER_H
#define VM_HW_CHECKER_H
/*
 * The checker: who owned each (StreamID, SubstreamID) when, and what must not happen. It is told what the driver's commands reveal, what
 * devices do, and each access that reaches memory. All calls with the SMMU's lock held.
 *
 * An owner is one life of a context descriptor: from its becoming valid with its tables on, or changing them, to its next. Each has a
 * number (its generation). A violation is one of:
 *   - memory reached by a transaction that was begun under an earlier owner
 *   - memory reached after the PASID was called CLEAN, after its descriptor was invalidated, or after its address space was switched off
 *   - a PASID given to the next owner (or called CLEAN) while a fault of the former is unanswered or a job of it still runs
 *   - memory reached by a translation that was invalidated, or that the tables have not held for a while, or that came from the tables
 *     of another address space
 *   - CMD_RESUME for a fault that is not there
 *   - a command given while the command queue was off
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#define CHECKER_SIDS 16u
#define CHECKER_SSIDS 65536u
#define CHECKER_TEXTS 64u
#define CHECKER_TEXT 240u

struct owner {
	uint64_t ttb;
	uint32_t gen; /* 0: never had an owner */
	uint16_t asid;
	uint64_t since; /* now_ns() of its beginning */
	bool live; /* its context descriptor is valid */
	bool off; /* ... with its tables switched off: the process has gone */
	bool clean; /* told by svad */
	uint32_t stalls, jobs; /* outstanding */
};

struct checker {
	struct owner *owners[CHECKER_SIDS]; /* CHECKER_SSIDS each, made when first needed */
	uint32_t top[CHECKER_SIDS]; /* SubstreamIDs below this were seen */
	uint64_t violations;
	char texts[CHECKER_TEXTS][CHECKER_TEXT];
	void (*report)(const char *text);
};

void checker_deinit(struct checker *c);
void checker_reset(struct checker *c); /* forgets the violations, not the owners */

/* NULL: not one of those watched (or no memory). */
struct owner *checker_owner(struct checker *c, uint32_t sid, uint32_t ssid);

/* What a context descriptor says now. */
void checker_observe(struct checker *c, uint32_t sid, uint32_t ssid, bool live, uint64_t ttb, uint16_t asid, bool off);
/* It was called CLEAN at that time (now_ns()) or later. False: who owns it now came after that, and it is not about them. What cannot
 * tell the time says UINT64_MAX. */
bool checker_clean(struct checker *c, uint32_t sid, uint32_t ssid, uint64_t at);

/* A fault of it is waiting for an answer (n = 1), or no longer (n = -1). */
void checker_stall(struct checker *c, uint32_t sid, uint32_t ssid, int n);
/* A device works on a descriptor of it. Returns the generation. */
uint32_t checker_job_begin(struct checker *c, uint32_t sid, uint32_t ssid);
void checker_job_end(struct checker *c, uint32_t sid, uint32_t ssid);

/* Memory is about to be reached. gen 0: whoever owns it now. Returns the generation that it was done for. */
uint32_t checker_access(struct checker *c, uint32_t sid, uint32_t ssid, uint32_t gen, uint64_t va, bool write);

void checker_violation(struct checker *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
