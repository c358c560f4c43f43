/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_CONTAINER_PRIVATE_H
#define SVAD_CONTAINER_PRIVATE_H
/* Shared by container*.c and rpc_container*.c only. */
#include "container.h"

/* What RegisterContainer says, or a stored record. All strings lent; none NULL. */
struct registration {
	struct attachment_key key;
	uint64_t cookie, netns_dev, netns_inode;
	const char *netns_path;
	pid_t pid;
	const char *pod_namespace, *pod_name, *pod_uid;
	char *const *devices;
	size_t n_devices;
	struct container_limits limits;
	const char *by;
};

/* What a registration has changed, until it is on disk: container_undo() puts it back, container_undo_free() lets it be. */
struct registration_undo {
	struct container *container; /* a reference */
	struct attachment *made;
	struct attachment *replaced; /* detached, owned; NULL: there was none */
	bool revived; /* the container had been removed */
};

/* 0; -EBUSY: a limit of this file's; -ENOMEM. What it supersedes has been removed even so. */
int container_register(struct broker *broker, const struct registration *r, struct registration_undo *ret);
void container_undo(struct registration_undo *undo);
void container_undo_free(struct registration_undo *undo);

int container_new(struct broker *broker, uint64_t cookie, uint64_t dev, uint64_t inode, struct container **ret);
int attachment_new(struct container *container, const struct registration *r, struct attachment **ret); /* attached */
void attachment_free(struct attachment *a); /* detached or not */
/* Whatever is stored of it, or decides what it may do, has changed. */
void container_changed(struct container *container);
void container_maybe_forget(struct container *container);
/* One that has only just been made, and has neither clients nor bonds, goes as if it had never been. */
void container_discard(struct container *container);
void container_forget(struct container *container);
/* A registration that could not be made or stored: what it has let in ends. revived: it becomes the tombstone again that it was. */
void container_drop(struct container *container, bool revived);
/* Its clients let go of what they may no longer have. */
void container_enforce(struct container *container);
void removal_check(struct container *container);
bool container_has(const struct container *container, const struct attachment *a);

#endif
