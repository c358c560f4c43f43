/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fnmatch.h>

#include "policy.h"

static bool in_ranges(const struct config_range *ranges, size_t n, uint32_t id)
{
	for (size_t i = 0; i < n; i++) {
		if (id >= ranges[i].first && id <= ranges[i].last)
			return true;
	}
	return false;
}

static bool applies(const struct config_policy *p, const struct policy_subject *who)
{
	if (p->any_uid || in_ranges(p->uids, p->n_uids, who->uid) || in_ranges(p->gids, p->n_gids, who->gid))
		return true;
	for (size_t i = 0; i < who->n_groups; i++) {
		if (in_ranges(p->gids, p->n_gids, who->groups[i]))
			return true;
	}
	return false;
}

static bool names(const struct config_policy *p, const char *device)
{
	for (size_t i = 0; i < p->n_devices; i++) {
		if (fnmatch(p->devices[i], device, 0) == 0)
			return true;
	}
	return false;
}

static uint32_t larger(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

void policy_check(const struct config *config, const struct policy_subject *who, const char *device,
		  struct policy_verdict *ret)
{
	struct policy_verdict v = { .allowed = false };
	uint32_t client = 0, uid = 0;

	if (config->n_policies == 0)
		v.allowed = who->uid == 0 || who->uid == who->daemon_uid;

	for (size_t i = 0; i < config->n_policies; i++) {
		const struct config_policy *p = &config->policies[i];

		if (!applies(p, who) || !names(p, device))
			continue;
		if (p->deny) {
			*ret = (struct policy_verdict){ .policy = p->name };
			return;
		}
		/* the first one that allows decides; what follows can only widen the limits, or deny */
		if (!v.allowed)
			v.policy = p->name;
		v.allowed = true;
		client = larger(client, p->bonds_per_client);
		uid = larger(uid, p->bonds_per_uid);
	}
	if (v.allowed) {
		v.bonds_per_client = client ? client : config->bonds_per_client;
		v.bonds_per_uid = uid ? uid : config->bonds_per_uid;
	}
	*ret = v;
}
