/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_TESTS_FAKE_ADMIN_H
#define SVAD_TESTS_FAKE_ADMIN_H
/*
 * svad's admin.sock in one thread, for tests of libsvaclient's administrators' half and of the CNI plugin: it keeps a
 * registry of attachments, and misbehaves on demand.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "svad.pb-c.h"

enum admin_how {
	ADMIN_GOOD = 0,
	ADMIN_STATUS,	/* refuses with fake->status */
	ADMIN_LIMIT,	/* the same, with a limit and its figure */
	ADMIN_EOF,	/* closes instead of answering */
	ADMIN_SILENT,	/* never answers */
	ADMIN_GARBAGE,	/* answers with bytes that are no message */
	ADMIN_WRONG,	/* a well-formed answer of the wrong kind */
	ADMIN_WRONG_ID, /* the right answer, to another request */
	ADMIN_FD,	/* the right answer, and an fd */
	ADMIN_EVENTS,	/* events first, then the right answer */
	ADMIN_VERSION,	/* Hello only: speaks version 2 */
	ADMIN_STRANGER, /* Hello only: refuses who connects with fake->status, and closes, the Hello unread */
	ADMIN_PENDING,	/* Remove only: DEADLINE_EXCEEDED with 1 of 3 bonds still draining */
	ADMIN_QUARANTINED, /* Remove only: 1 of 3 */
	ADMIN_REVERSED, /* Remove only: answers once fake->reverse are there, the last first */
	ADMIN_NO_END,	/* List only: a page whose key does not grow */
};

#define ADMIN_ATTACHMENTS 2048
#define ADMIN_TEXT 256

struct admin_attachment {
	bool used;
	uint32_t container, state, quarantined;
	char network[ADMIN_TEXT], container_id[ADMIN_TEXT], ifname[ADMIN_TEXT], netns_path[ADMIN_TEXT], by[ADMIN_TEXT];
	char pod_namespace[ADMIN_TEXT], pod_name[ADMIN_TEXT], pod_uid[ADMIN_TEXT], devices[ADMIN_TEXT];
	uint64_t cookie, dev, inode;
	int32_t pid;
	uint32_t limits[4];
};

struct fake_admin {
	char directory[64], path[96], state_dir[96];
	pthread_t thread;
	int listener, control[2];
	atomic_int hello, reg, remove, list, reconcile, status_rpc; /* enum admin_how of the next answers */
	atomic_int status;					      /* SVAD_* for ADMIN_STATUS */
	atomic_uint reverse, page;
	atomic_bool backend_down, shutting_down;
	atomic_uint n_hello, n_register, n_remove, n_list, n_reconcile, n_status;
	atomic_uint most_under_way; /* Remove requests that were unanswered at one time */
	atomic_uint last_timeout_ms;
	char last_by[ADMIN_TEXT];
	pthread_mutex_t lock; /* of what follows */
	struct admin_attachment *at;
	uint32_t next_container;
	/* the thread's own */
	int conn[64];
	struct {
		int fd;
		uint64_t id;
		unsigned found;
	} held[128];
	unsigned n_held;
	uint64_t keys;
};

void fake_admin_start(struct fake_admin *f);
void fake_admin_stop(struct fake_admin *f);
void fake_admin_down(struct fake_admin *f); /* as if it had been stopped; what it knows stays */
void fake_admin_up(struct fake_admin *f);
/* Adds one by hand. */
void fake_admin_add(struct fake_admin *f, const char *network, const char *container_id, const char *ifname);
/* A copy of what it knows of one. False: nothing. */
bool fake_admin_find(struct fake_admin *f, const char *network, const char *container_id, const char *ifname,
		     struct admin_attachment *ret);
void fake_admin_set(struct fake_admin *f, const char *container_id, uint32_t state, uint32_t quarantined);
unsigned fake_admin_count(struct fake_admin *f);

#endif
