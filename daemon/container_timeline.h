/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_CONTAINER_TIMELINE_H
#define SVAD_CONTAINER_TIMELINE_H
/*
 * What happened to a container, for people: bounded, so that among the bonds that came and went the oldest clean ends are forgotten first. An entry
 * that there is no memory for is left out. Broker's loop only.
 */
#include "container_private.h"

#define TIMELINE_MAX 128u

struct timeline_entry {
	Svad__V1__TimelineKind kind;
	uint64_t monotonic_ns;
	int64_t realtime_ns;
	char text[96];
	struct bond_end end; /* BOND_END, QUARANTINE_END */
	char *network, *container_id, *ifname; /* of an attachment, or NULL */
	uint64_t client;
	pid_t pid;
};

struct timeline {
	struct timeline_entry *entries; /* oldest first */
	size_t n, room;
};

struct timeline *timeline_new(void); /* NULL: no memory */
void timeline_free(struct timeline *timeline); /* NULL is fine */

void timeline_note(struct container *container, Svad__V1__TimelineKind kind, const char *text);
void timeline_attachment(struct container *container, Svad__V1__TimelineKind kind, const struct attachment *a, const char *text);
void timeline_bond(struct container *container, Svad__V1__TimelineKind kind, const struct bond_end *end, uint64_t client);
void timeline_client(struct container *container, Svad__V1__TimelineKind kind, uint64_t client, pid_t pid, const char *text);

int64_t realtime_ns(void); /* CLOCK_REALTIME */

#endif
