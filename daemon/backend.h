/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_BACKEND_H
#define SVAD_BACKEND_H
/*
 * What stands behind the broker: the kernel module or the simulated device. No call blocks: each is a request that is sent, or queued in
 * order, and whose effect comes back as an event. Broker's loop only.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "../kmod/svabroker.h"

struct backend;

/* Calls into the broker. None may free the backend. */
struct backend_handler {
	void (*up)(void *userdata); /* devices and lists follow, as of now: what they do not name is gone */
	void (*down)(void *userdata); /* the simulated device died: its devices, contexts and bonds died with it, and so did their DMA */
	void (*device)(void *userdata, const struct svab_dev_info *info); /* added, or its figures were refreshed */
	void (*entry)(void *userdata, const struct svab_list_entry *entry); /* while listing */
	void (*synced)(void *userdata); /* devices and lists are complete */
	void (*event)(void *userdata, const struct svab_event *event);
	void (*info)(void *userdata, const struct svab_info *info); /* answers refresh() */
};

typedef void (*backend_done)(void *userdata, int result, const struct svab_dev_reset *reset);

struct backend_ops {
	const char *name;
	/* Uses fd (and takes it) from now on: the socket to the device's process of that generation, or a control fd of the kernel module. Calls
	 * up(), and synced() when everything is listed. */
	int (*attach)(struct backend *b, int fd, uint64_t generation);
	/* A ctx for a client: *ret_fd is the client's end, owned by the caller. */
	int (*ctx_create)(struct backend *b, const struct svab_ctx_create *create, int *ret_fd);
	/* Sent before anything that the caller does afterwards can reach the backend by another way. -EAGAIN: the backend does not keep up; nothing
	 * happened. */
	int (*ctx_grant)(struct backend *b, const struct svab_ctx_grant *grant);
	int (*ctx_revoke_grant)(struct backend *b, uint64_t cookie, uint32_t device);
	int (*ctx_revoke)(struct backend *b, uint64_t cookie, enum svab_cause cause);
	/* Positive: it has ended already; the event that says so is on its way. */
	int (*bond_revoke)(struct backend *b, uint64_t bond, enum svab_cause cause);
	int (*dev_reset)(struct backend *b, uint32_t device, backend_done done, void *userdata);
	/* Takes in what the backend has said already: whoever heard from the backend by another way (a client whose unbind was answered) must
	 * not find the broker behind it. */
	void (*catch_up)(struct backend *b);
	int (*refresh)(struct backend *b); /* devices' figures and info again */
	/* Is there a thread that waits for a device, which free() and the loop's end would wait for? NULL: never. */
	bool (*is_waiting)(const struct backend *b);
	void (*free)(struct backend *b);
};

struct backend {
	const struct backend_ops *ops;
	const struct backend_handler *handler;
	void *userdata;
	bool is_up, is_synced;
};

#endif
