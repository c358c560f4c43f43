/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "container_timeline.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int64_t realtime_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

struct timeline *timeline_new(void)
{
	return calloc(1, sizeof(struct timeline));
}

static void entry_clear(struct timeline_entry *e)
{
	free(e->network);
	free(e->container_id);
	free(e->ifname);
}

void timeline_free(struct timeline *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->n; i++)
		entry_clear(&t->entries[i]);
	free(t->entries);
	free(t);
}

/* The first of those that say least: a bond's clean end, else a client's, else whatever comes after the
 * beginning. */
static size_t least(const struct timeline *t)
{
	for (size_t i = 1; i < t->n; i++)
		if (t->entries[i].kind == SVAD__V1__TIMELINE_KIND__TIMELINE_BOND_END &&
		    t->entries[i].end.state == SVAB_PASID_CLEAN)
			return i;
	for (size_t i = 1; i < t->n; i++)
		if (t->entries[i].kind == SVAD__V1__TIMELINE_KIND__TIMELINE_CLIENT_GONE)
			return i;
	return 1;
}

static struct timeline_entry *add(struct container *c, Svad__V1__TimelineKind kind, const char *text)
{
	struct timeline *t = c->timeline;
	struct timeline_entry *e;

	if (t->n == TIMELINE_MAX) {
		size_t at = least(t);

		entry_clear(&t->entries[at]);
		memmove(&t->entries[at], &t->entries[at + 1], (t->n - at - 1) * sizeof(*e));
		t->n--;
	}
	if (t->n == t->room) {
		size_t room = t->room ? t->room * 2 : 4;

		e = realloc(t->entries, room * sizeof(*e));
		if (!e)
			return NULL;
		t->entries = e;
		t->room = room;
	}
	e = &t->entries[t->n++];
	*e = (struct timeline_entry){
		.kind = kind,
		.monotonic_ns = now_ns(),
		.realtime_ns = realtime_ns(),
	};
	snprintf(e->text, sizeof(e->text), "%s", text);
	wire_trim_text(e->text);
	return e;
}

void timeline_note(struct container *c, Svad__V1__TimelineKind kind, const char *text)
{
	add(c, kind, text);
}

void timeline_attachment(struct container *c, Svad__V1__TimelineKind kind, const struct attachment *a,
			 const char *text)
{
	struct timeline_entry *e = add(c, kind, text);

	if (!e || !a)
		return;
	e->network = strdup(a->key.network);
	e->container_id = strdup(a->key.container_id);
	e->ifname = strdup(a->key.ifname);
	if (!e->network || !e->container_id || !e->ifname) {
		entry_clear(e);
		e->network = e->container_id = e->ifname = NULL;
	}
}

void timeline_bond(struct container *c, Svad__V1__TimelineKind kind, const struct bond_end *end,
		   uint64_t client)
{
	struct timeline_entry *e = add(c, kind, "");

	if (!e)
		return;
	e->end = *end;
	e->client = client;
	e->pid = end->pid;
}

void timeline_client(struct container *c, Svad__V1__TimelineKind kind, uint64_t client, pid_t pid,
		     const char *text)
{
	struct timeline_entry *e = add(c, kind, text);

	if (!e)
		return;
	e->client = client;
	e->pid = pid;
}
