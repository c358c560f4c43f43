/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SVA_ADMIN_INTERNAL_H
#define SVA_ADMIN_INTERNAL_H
/* What the calls of the administrators' half share: one connection, one thread at a time. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sva/admin.h>

#include "../../proto/status.h"
#include "../../proto/wire.h"

struct sva_admin {
	uint64_t process;
	int fd;
	int timeout_ms;
	bool broken; /* an answer is missing or made no sense: what comes next cannot be told from it */
	uint64_t next_id;
	struct wire_arena arena;
	void *arena_memory;
	unsigned char *packet; /* for both directions: a request is sent before an answer is read */
	char *path;
	int error;
	char text[1024];
};

/* Keeps the words; returns r. */
int sva_admin_fail(struct sva_admin *admin, int r, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* 0 when a call may begin. */
int sva_admin_begin(struct sva_admin *admin);

/* Sends req (its id is set here) until the deadline; *ret_id is what the answer will carry. -EAGAIN with wait false: svad is behind. */
int sva_admin_send(struct sva_admin *admin, Svad__V1__Request *req, bool wait, uint64_t deadline, uint64_t *ret_id);
/* The next answer to any request; it lives until the next call here. Events are dropped. */
int sva_admin_receive(struct sva_admin *admin, uint64_t deadline, const Svad__V1__Reply **ret_reply);
/* 0, or the refusal's -errno with its words kept. */
int sva_admin_status_of(struct sva_admin *admin, const Svad__V1__Reply *reply);
/* Request and answer; the answer's body is the expected one. A refusal: its -errno, and *ret_reply is set where it has this body all the
 * same. */
int sva_admin_call(struct sva_admin *admin, Svad__V1__Request *req, Svad__V1__Reply__BodyCase expected, uint64_t deadline,
		   const Svad__V1__Reply **ret_reply);

/* Text that goes onto the wire: NULL is left out. -EINVAL names what. */
int sva_admin_text(struct sva_admin *admin, const char *what, const char *text, char **field);

/* Structs that grow: the size in the caller's says how much of it there is. */
int sva_admin_take(struct sva_admin *admin, const void *theirs, void *ours, size_t size); /* 0, -EINVAL, -E2BIG */
bool sva_admin_has_size(const void *theirs);
void sva_admin_give(void *theirs, const void *ours, size_t size);

#endif
