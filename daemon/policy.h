/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_POLICY_H
#define SVAD_POLICY_H
/*
 * Who may bind what, and how much. Pure functions of an immutable config: thread-safe.
 *
 * Clients of the host: a policy applies to one whose uid or one of whose gids it names. A device is allowed when at least one applying policy
 * allows it and none denies it; the limits are the largest among those that allow it, else [limits]. With no policy for the host configured:
 * uid 0 and the daemon's own uid may use every device, nobody else any, and these not from a network namespace that is neither svad's nor a
 * registered container's: a container's process can make itself one, and its uid 0 may be the host's.
 *
 * Clients of containers: only policies that name containers, pods or networks. One applies when each of the three that it names has a glob
 * that matches, and, when it names uids or gids too, the client has one of these. A policy that denies decides; then a device must be one that
 * the registration names (if that names any); then an applying policy must allow it, unless there is no policy for containers in the settings
 * at all: registration is the permission then.
 */
#include "config.h"

struct policy_subject {
	uid_t uid;
	gid_t gid;
	const gid_t *groups; /* supplementary, lent */
	size_t n_groups;
	uid_t daemon_uid; /* the uid that started the daemon */
	bool foreign;     /* of a network namespace that is neither svad's nor a registered container's */
};

enum policy_why {
	POLICY_ALLOWS,
	POLICY_NONE_ALLOWS, /* no policy that applies allows the device */
	POLICY_FOREIGN,     /* the same; with no policy at all its uid would do, in svad's own network namespace */
	POLICY_DENIES,      /* verdict.policy does */
	POLICY_UNNAMED,     /* of a container: the registration names devices, and this is not among them */
};

/* Of a container. 0: not limited here. */
struct policy_limits {
	uint32_t bonds, connections, requests_per_second, drain_deadline_ms;
};

struct policy_verdict {
	bool allowed;
	enum policy_why why;
	const char *policy; /* the name of the policy that decided, lent from config; NULL: none applied */
	uint32_t bonds_per_client;
	uint32_t bonds_per_uid; /* clients of the host */
	struct policy_limits container; /* clients of containers; drain_deadline_ms 0: the device's */
};

/* A client of the host. */
void policy_check(const struct config *config, const struct policy_subject *who, const char *device, struct policy_verdict *ret);

struct policy_attachment {
	const char *network, *container_id;
	char *const *devices; /* globs; none: whatever policy allows */
	size_t n_devices;
};

/* A container as it was registered. All of it is lent. */
struct policy_container {
	const struct policy_attachment *attachments;
	size_t n_attachments;
	const char *pod; /* "namespace/name"; NULL: it is of no pod */
	struct policy_limits registered;
};

/* The policies that apply to a container, or would to some of its clients: worked out once, good as long as config and registration are. */
struct policy_set {
	const struct config_policy **policies;
	size_t n;
	bool by_user; /* one of them names uids or gids */
};

/* 0 or -ENOMEM. policy_set_free() it. */
int policy_set_make(const struct config *config, const struct policy_container *container, struct policy_set *ret);
void policy_set_free(struct policy_set *set);

/* A container's limits: the smaller of what was registered and the largest among the policies that apply, else [limits]. who: NULL leaves
 * out policies that name uids or gids. ret_first: the first that applies, NULL: none; lent from config. */
void policy_container_limits(const struct config *config, const struct policy_set *set, const struct policy_limits *registered,
			     const struct policy_subject *who, struct policy_limits *ret, const char **ret_first);

/* A client of a container. who NULL: as above. */
void policy_check_container(const struct config *config, const struct policy_set *set, const struct policy_container *container,
			    const struct policy_subject *who, const char *device, struct policy_verdict *ret);

#endif
