/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "checker.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "timer.h"

void checker_deinit(struct checker *c)
{
	for (unsigned i = 0; i < CHECKER_SIDS; i++) {
		free(c->owners[i]);
		c->owners[i] = NULL;
	}
}

void checker_reset(struct checker *c)
{
	c->violations = 0;
	memset(c->texts, 0, sizeof(c->texts));
}

struct owner *checker_owner(struct checker *c, uint32_t sid, uint32_t ssid)
{
	if (sid >= CHECKER_SIDS || ssid >= CHECKER_SSIDS)
		return NULL;
	if (!c->owners[sid])
		c->owners[sid] = calloc(CHECKER_SSIDS, sizeof(struct owner));
	if (!c->owners[sid])
		return NULL;
	if (c->top[sid] <= ssid)
		c->top[sid] = ssid + 1;
	return &c->owners[sid][ssid];
}

void checker_violation(struct checker *c, const char *fmt, ...)
{
	char text[CHECKER_TEXT];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (c->violations < CHECKER_TEXTS)
		memcpy(c->texts[c->violations], text, sizeof(text));
	c->violations++;
	if (c->report)
		c->report(text);
}

void checker_observe(struct checker *c, uint32_t sid, uint32_t ssid, bool live, uint64_t ttb, uint16_t asid,
		     bool off)
{
	struct owner *o = checker_owner(c, sid, ssid);

	if (!o)
		return;
	/* A descriptor whose tables are switched off names none: it is still the same owner, who does not
	 * come back. Linux makes one so when its process ends, which may even be just after it was
	 * invalidated. */
	if (live && !off && (!o->live || o->off || o->ttb != ttb || o->asid != asid)) {
		if (o->stalls)
			checker_violation(c,
					  "StreamID %" PRIu32 " PASID %" PRIu32
					  " has a new owner while %" PRIu32
					  " faults of the former are unanswered",
					  sid, ssid, o->stalls);
		if (o->jobs)
			checker_violation(c,
					  "StreamID %" PRIu32 " PASID %" PRIu32
					  " has a new owner while the device works for the former",
					  sid, ssid);
		o->gen++;
		o->since = now_ns();
		o->clean = false;
	}
	if (live && !off) {
		o->ttb = ttb;
		o->asid = asid;
	}
	o->live = live;
	o->off = live && off;
}

bool checker_clean(struct checker *c, uint32_t sid, uint32_t ssid, uint64_t at)
{
	struct owner *o = checker_owner(c, sid, ssid);

	if (!o)
		return true;
	/* A PASID is given on after it was called CLEAN, and the word of it takes its time to come here. */
	if (o->since > at)
		return false;
	if (o->live && !o->off)
		checker_violation(
			c, "StreamID %" PRIu32 " PASID %" PRIu32 " called CLEAN with its descriptor valid",
			sid, ssid);
	if (o->stalls)
		checker_violation(c,
				  "StreamID %" PRIu32 " PASID %" PRIu32 " called CLEAN with %" PRIu32
				  " faults unanswered",
				  sid, ssid, o->stalls);
	if (o->jobs)
		checker_violation(c,
				  "StreamID %" PRIu32 " PASID %" PRIu32
				  " called CLEAN with the device at work for it",
				  sid, ssid);
	o->clean = true;
	return true;
}

void checker_stall(struct checker *c, uint32_t sid, uint32_t ssid, int n)
{
	struct owner *o = checker_owner(c, sid, ssid);

	if (o)
		o->stalls = (uint32_t)((int64_t)o->stalls + n);
}

uint32_t checker_job_begin(struct checker *c, uint32_t sid, uint32_t ssid)
{
	struct owner *o = checker_owner(c, sid, ssid);

	if (!o)
		return 0;
	o->jobs++;
	return o->gen;
}

void checker_job_end(struct checker *c, uint32_t sid, uint32_t ssid)
{
	struct owner *o = checker_owner(c, sid, ssid);

	if (o && o->jobs)
		o->jobs--;
}

uint32_t checker_access(struct checker *c, uint32_t sid, uint32_t ssid, uint32_t gen, uint64_t va, bool write)
{
	struct owner *o = checker_owner(c, sid, ssid);
	const char *what = write ? "write" : "read";

	if (!o)
		return 0;
	if (o->clean)
		checker_violation(c,
				  "%s of %#" PRIx64 " by StreamID %" PRIu32 " PASID %" PRIu32 " after CLEAN",
				  what, va, sid, ssid);
	else if (!o->live)
		checker_violation(c,
				  "%s of %#" PRIx64 " by StreamID %" PRIu32 " PASID %" PRIu32
				  " through a descriptor that was invalidated",
				  what, va, sid, ssid);
	else if (o->off)
		checker_violation(c,
				  "%s of %#" PRIx64 " by StreamID %" PRIu32 " PASID %" PRIu32
				  " in an address space that has ended",
				  what, va, sid, ssid);
	else if (gen && gen != o->gen)
		checker_violation(c,
				  "%s of %#" PRIx64 " by StreamID %" PRIu32 " PASID %" PRIu32
				  " of owner %" PRIu32 " in the memory of owner %" PRIu32,
				  what, va, sid, ssid, gen, o->gen);
	return o->gen;
}
