/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_CONTAINER_POLICY_H
#define SVAD_CONTAINER_POLICY_H
/*
 * What the settings say of a container: worked out when first asked for, and again when the settings (broker->config_generation) or its
 * registration (container->generation) have changed. Broker's loop only.
 */
#include "policy.h"

struct client;
struct container;
struct device;

/* In struct container, all zero at first. Everything in it is policy's own. */
struct container_policy {
	bool made;
	uint64_t container_generation, config_generation;
	struct policy_set set;
	struct policy_attachment *attachments;
	char *pod;
	struct policy_container subject;
	struct policy_limits limits; /* of clients that no policy by uid or gid concerns */
	const char *first;
};
void container_policy_free(struct container_policy *policy);

/* The limits that hold. client: of it (one of a policy by uid or gid may have others); NULL: of the container as such. first, if not NULL: the
 * name of the first policy that applies, NULL: none; good until the settings change. Without memory to work it out: 1 of each. */
void container_limits_get(struct container *container, struct client *client, struct policy_limits *ret, const char **ret_first);
/* The same of somebody who is no client yet. groups of who are read from sock when a policy needs them. */
void container_limits_peer(struct container *container, struct policy_subject *who, int sock, struct policy_limits *ret);

/* Whether it may use the device, as such (client NULL) or one of its clients. */
void container_check(struct container *container, struct client *client, const struct device *device, struct policy_verdict *ret);

#endif
