/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_POLICY_H
#define SVAD_POLICY_H
/*
 * Who may bind what, and how much. A policy applies to a client whose uid or one of whose gids it names. A device is allowed when at
 * least one applying policy allows it and none denies it; the limits are the largest among those that allow it, else [limits].
 * With no policy configured at all: uid 0 and the daemon's own uid may use every device, nobody else any.
 * Pure functions of an immutable config: thread-safe.
 */
#include "config.h"

struct policy_subject {
	uid_t uid;
	gid_t gid;
	const gid_t *groups; /* supplementary, lent */
	size_t n_groups;
	uid_t daemon_uid; /* the uid that started the daemon */
};

struct policy_verdict {
	bool allowed;
	const char *policy; /* the name of the policy that decided, lent from config; NULL: none applied */
	uint32_t bonds_per_client;
	uint32_t bonds_per_uid;
};

void policy_check(const struct config *config, const struct policy_subject *who, const char *device, struct policy_verdict *ret);

#endif
