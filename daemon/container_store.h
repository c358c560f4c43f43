/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_CONTAINER_STORE_H
#define SVAD_CONTAINER_STORE_H
/*
 * The registry on disk. The broker composes the whole of it and the supervisor writes it: one write is under way at a time, and what changes
 * meanwhile goes with the next. Text; a line a container, each with its checksum, so that damage costs no more than what was damaged.
 * Broker's loop only.
 */
#include "container.h"

#define STORE_VERSION 1u

int store_init(struct broker *broker); /* the loop is there already; 0 or -ENOMEM */
void store_stop(struct broker *broker); /* closes its handle; the loop is to turn once more before ... */
void store_deinit(struct broker *broker);

/* It, or that it is none any more, is to be written. */
void store_changed(struct container *container);

struct store_waiter {
	struct list link; /* alone when it does not wait */
	uint64_t need;
	/* What had changed when it began to wait is on disk (0), or could not be written (-errno). It may be freed here. Those of a failed write are
	 * called in the reverse order, so that each can put back what it found. */
	void (*done)(struct store_waiter *w, int error);
};
void store_wait(struct broker *broker, struct store_waiter *w); /* done may be called at once */
void store_unwait(struct store_waiter *w);

/* ---- the supervisor's messages ---- */

/* The registry as it was left; fd lent, -1: there is none. boot_id: the machine's. */
void store_load(struct broker *broker, int fd, const char *boot_id);
void store_acked(struct broker *broker, uint32_t seq, int error);
/* "NAME\nNETWORK\nCONTAINER ID\nIFNAME\n": an attachment that was removed while nobody could be told, at that time (CLOCK_REALTIME). */
void store_note(struct broker *broker, int64_t realtime_ns, char *text);

/* ---- container_record.c ---- */

/* malloc()ed, with its newline; NULL: no memory. */
char *record_compose(const struct container *container, size_t *ret_len);
/* Makes a container of a line (without its newline; it is written to). 0; -EBADMSG: it is damaged; -EEXIST: its cookie is there already; -ENOMEM. */
int record_restore(struct broker *broker, char *line);

#endif
