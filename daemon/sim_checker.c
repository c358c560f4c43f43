/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sim_checker.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "idmap.h"
#include "log.h"

struct owner { /* of a PASID: the last mm that it was assigned to */
	struct idmap_node node;
	uint64_t mm;
	unsigned live; /* bonds that are not CLEAN */
};

struct record { /* a bond that is not CLEAN: one that has no record is */
	struct idmap_node node;
	uint32_t device, pasid;
	uint64_t mm;
	unsigned in_flight;
	bool stopped, cut;
};

static struct {
	pthread_mutex_t lock;
	struct idmap owners, bonds;
	struct checker_counts counts;
	char texts[CHECKER_TEXTS][CHECKER_TEXT_MAX];
} checker = { .lock = PTHREAD_MUTEX_INITIALIZER };

int checker_init(void)
{
	int r = idmap_init(&checker.owners);

	return r < 0 ? r : idmap_init(&checker.bonds);
}

static int free_node(struct idmap_node *node, void *map)
{
	idmap_remove(map, node);
	free(node); /* both structs begin with it */
	return 0;
}

void checker_deinit(void)
{
	idmap_each(&checker.owners, free_node, &checker.owners);
	idmap_each(&checker.bonds, free_node, &checker.bonds);
	idmap_deinit(&checker.owners);
	idmap_deinit(&checker.bonds);
}

/* With the lock held. */
__attribute__((format(printf, 1, 2))) static void violation(const char *fmt, ...)
{
	char *text = checker.texts[checker.counts.violations % CHECKER_TEXTS];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, CHECKER_TEXT_MAX, fmt, ap);
	va_end(ap);
	checker.counts.violations++;
	log_write(LOG_CRIT, SVAD_MSG_VIOLATION, "VIOLATION: %s", text);
}

static struct record *record_of(uint64_t bond)
{
	struct idmap_node *node = idmap_find(&checker.bonds, bond);

	return node ? container_of(node, struct record, node) : NULL;
}

static struct owner *owner_of(uint32_t pasid)
{
	struct idmap_node *node = idmap_find(&checker.owners, pasid);

	return node ? container_of(node, struct owner, node) : NULL;
}

void checker_assign(uint32_t pasid, uint64_t mm)
{
	struct owner *o;

	pthread_mutex_lock(&checker.lock);
	o = owner_of(pasid);
	if (o && o->live)
		violation("PASID %" PRIu32 " assigned to mm %" PRIu64 " while %u bonds of mm %" PRIu64
			  " with it are not CLEAN",
			  pasid, mm, o->live, o->mm);
	if (!o) {
		o = calloc(1, sizeof(*o));
		if (o)
			idmap_insert(&checker.owners, &o->node, pasid);
	}
	if (o)
		o->mm = mm;
	pthread_mutex_unlock(&checker.lock);
}

void checker_bind(uint64_t bond, uint32_t device, uint32_t pasid, uint64_t mm)
{
	struct record *r = calloc(1, sizeof(*r));
	struct owner *o;

	if (!r)
		return; /* then each access will be called a violation: loud, not silent */
	r->device = device;
	r->pasid = pasid;
	r->mm = mm;
	pthread_mutex_lock(&checker.lock);
	idmap_insert(&checker.bonds, &r->node, bond);
	o = owner_of(pasid);
	if (!o || o->mm != mm)
		violation("bond %" PRIu64 " binds mm %" PRIu64 " with PASID %" PRIu32 " of mm %" PRIu64, bond,
			  mm, pasid, o ? o->mm : 0);
	if (o)
		o->live++;
	pthread_mutex_unlock(&checker.lock);
}

void checker_stopping(uint64_t bond, int64_t portal_size)
{
	pthread_mutex_lock(&checker.lock);
	if (portal_size)
		violation("bond %" PRIu64 " is STOPPING and its portal still has %" PRId64 " bytes", bond,
			  portal_size);
	if (!record_of(bond))
		violation("bond %" PRIu64 " is STOPPING and was CLEAN or never bound", bond);
	pthread_mutex_unlock(&checker.lock);
}

void checker_stopped(uint64_t bond)
{
	struct record *r;

	pthread_mutex_lock(&checker.lock);
	r = record_of(bond);
	if (!r)
		violation("a stop of bond %" PRIu64 " was acknowledged, and it is CLEAN or never bound",
			  bond);
	else if (r->in_flight)
		violation("the stop of bond %" PRIu64 " was acknowledged with %u accesses under way", bond,
			  r->in_flight);
	if (r)
		r->stopped = true;
	pthread_mutex_unlock(&checker.lock);
}

void checker_cut(uint64_t bond)
{
	struct record *r;

	pthread_mutex_lock(&checker.lock);
	r = record_of(bond);
	if (r)
		r->cut =
			true; /* what is under way may end: that it does not is why the bond is quarantined */
	else
		violation("bond %" PRIu64 " is QUARANTINED, and it is CLEAN or never bound", bond);
	pthread_mutex_unlock(&checker.lock);
}

void checker_clean(uint64_t bond)
{
	struct record *r;
	struct owner *o;

	pthread_mutex_lock(&checker.lock);
	r = record_of(bond);
	if (!r) {
		violation("bond %" PRIu64 " became CLEAN twice", bond);
	} else {
		if (r->in_flight)
			violation("bond %" PRIu64 " became CLEAN with %u accesses under way", bond,
				  r->in_flight);
		o = owner_of(r->pasid);
		if (!o || o->mm != r->mm)
			violation("bond %" PRIu64 " became CLEAN and its PASID %" PRIu32
				  " was another's already",
				  bond, r->pasid);
		if (o && o->live)
			o->live--;
		idmap_remove(&checker.bonds, &r->node);
		free(r);
	}
	pthread_mutex_unlock(&checker.lock);
}

void checker_access_begin(uint64_t bond, uint32_t pasid, uint64_t mm)
{
	struct record *r;
	struct owner *o;

	pthread_mutex_lock(&checker.lock);
	checker.counts.accesses++;
	r = record_of(bond);
	o = owner_of(pasid);
	if (!r)
		violation("access of bond %" PRIu64 " to mm %" PRIu64 " by PASID %" PRIu32 " after CLEAN",
			  bond, mm, pasid);
	else if (r->stopped)
		violation("access of bond %" PRIu64 " to mm %" PRIu64 " by PASID %" PRIu32
			  " after its stop was acknowledged",
			  bond, mm, pasid);
	else if (r->cut)
		violation("access of bond %" PRIu64 " to mm %" PRIu64 " by PASID %" PRIu32 " in quarantine",
			  bond, mm, pasid);
	else if (r->pasid != pasid || r->mm != mm)
		violation("access of bond %" PRIu64 " (PASID %" PRIu32 ", mm %" PRIu64 ") to mm %" PRIu64
			  " by PASID %" PRIu32,
			  bond, r->pasid, r->mm, mm, pasid);
	else if (!o || o->mm != mm)
		violation("access of bond %" PRIu64 " to mm %" PRIu64 ", but PASID %" PRIu32
			  " belongs to mm %" PRIu64,
			  bond, mm, pasid, o ? o->mm : 0);
	if (r)
		r->in_flight++;
	pthread_mutex_unlock(&checker.lock);
}

void checker_access_end(uint64_t bond)
{
	struct record *r;

	pthread_mutex_lock(&checker.lock);
	r = record_of(bond);
	if (r && r->in_flight)
		r->in_flight--;
	pthread_mutex_unlock(&checker.lock);
}

void checker_page_request(uint64_t bond, uint32_t pasid, uint64_t mm)
{
	struct record *r;

	pthread_mutex_lock(&checker.lock);
	r = record_of(bond);
	if (!r)
		violation("page request of bond %" PRIu64 ", PASID %" PRIu32 ", answered out of mm %" PRIu64
			  " after CLEAN",
			  bond, pasid, mm);
	else if (r->mm != mm)
		violation("page request of bond %" PRIu64 " of mm %" PRIu64 " answered out of mm %" PRIu64,
			  bond, r->mm, mm);
	pthread_mutex_unlock(&checker.lock);
}

void checker_blocked(void)
{
	pthread_mutex_lock(&checker.lock);
	checker.counts.blocked++;
	pthread_mutex_unlock(&checker.lock);
}

void checker_counts(struct checker_counts *ret)
{
	pthread_mutex_lock(&checker.lock);
	*ret = checker.counts;
	pthread_mutex_unlock(&checker.lock);
}

const char *checker_text(unsigned i, char buf[CHECKER_TEXT_MAX])
{
	uint64_t n;
	const char *r = NULL;

	pthread_mutex_lock(&checker.lock);
	n = checker.counts.violations;
	if (i < CHECKER_TEXTS && i < n) {
		uint64_t first = n > CHECKER_TEXTS ? n - CHECKER_TEXTS : 0;

		memcpy(buf, checker.texts[(first + i) % CHECKER_TEXTS], CHECKER_TEXT_MAX);
		r = buf;
	}
	pthread_mutex_unlock(&checker.lock);
	return r;
}
