/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

static bool in_ranges(const struct config_range *ranges, size_t n, uint32_t id)
{
	for (size_t i = 0; i < n; i++) {
		if (id >= ranges[i].first && id <= ranges[i].last)
			return true;
	}
	return false;
}

static bool is_of(const struct config_policy *p, const struct policy_subject *who)
{
	if (p->any_uid || in_ranges(p->uids, p->n_uids, who->uid) || in_ranges(p->gids, p->n_gids, who->gid))
		return true;
	for (size_t i = 0; i < who->n_groups; i++) {
		if (in_ranges(p->gids, p->n_gids, who->groups[i]))
			return true;
	}
	return false;
}

static bool matches(const struct config_globs *globs, const char *text)
{
	for (size_t i = 0; i < globs->n; i++) {
		if (fnmatch(globs->items[i], text, 0) == 0)
			return true;
	}
	return false;
}

static uint32_t larger(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

/* Where 0 is no limit. */
static uint32_t smaller(uint32_t a, uint32_t b)
{
	return !a ? b : !b || a < b ? a : b;
}

void policy_check(const struct config *config, const struct policy_subject *who, const char *device,
		  struct policy_verdict *ret)
{
	struct policy_verdict v = { .why = POLICY_NONE_ALLOWS };
	uint32_t client = 0, uid = 0;

	if (config->n_policies == config->n_container_policies &&
	    (who->uid == 0 || who->uid == who->daemon_uid)) {
		v.allowed = !who->foreign;
		v.why = POLICY_FOREIGN; /* unless it is allowed, see below */
	}

	for (size_t i = 0; i < config->n_policies; i++) {
		const struct config_policy *p = &config->policies[i];

		if (p->of_containers || !is_of(p, who) || !matches(&p->devices, device))
			continue;
		if (p->deny) {
			*ret = (struct policy_verdict){ .why = POLICY_DENIES, .policy = p->name };
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
		v.why = POLICY_ALLOWS;
		v.bonds_per_client = client ? client : config->bonds_per_client;
		v.bonds_per_uid = uid ? uid : config->bonds_per_uid;
	}
	*ret = v;
}

/* ---- containers ---- */

static bool names_user(const struct config_policy *p)
{
	return p->any_uid || p->n_uids || p->n_gids;
}

/* Those that it names; a network and an id may be of two attachments, which are of one container all the
 * same. */
static bool concerns(const struct config_policy *p, const struct policy_container *c)
{
	bool id = !p->containers.n, network = !p->networks.n;

	if (!p->of_containers || (p->pods.n && (!c->pod || !matches(&p->pods, c->pod))))
		return false;
	for (size_t i = 0; i < c->n_attachments; i++) {
		id = id || matches(&p->containers, c->attachments[i].container_id);
		network = network || matches(&p->networks, c->attachments[i].network);
	}
	return id && network;
}

int policy_set_make(const struct config *config, const struct policy_container *container,
		    struct policy_set *ret)
{
	struct policy_set set = { 0 };

	if (config->n_container_policies) {
		set.policies = calloc(config->n_container_policies, sizeof(*set.policies));
		if (!set.policies)
			return -ENOMEM;
	}
	for (size_t i = 0; i < config->n_policies; i++) {
		const struct config_policy *p = &config->policies[i];

		if (!concerns(p, container))
			continue;
		set.by_user = set.by_user || names_user(p);
		set.policies[set.n++] = p;
	}
	*ret = set;
	return 0;
}

void policy_set_free(struct policy_set *set)
{
	free(set->policies);
	*set = (struct policy_set){ 0 };
}

static bool applies(const struct config_policy *p, const struct policy_subject *who)
{
	return !names_user(p) || (who && is_of(p, who));
}

void policy_container_limits(const struct config *config, const struct policy_set *set,
			     const struct policy_limits *registered, const struct policy_subject *who,
			     struct policy_limits *ret, const char **ret_first)
{
	struct policy_limits most = { 0 };

	*ret_first = NULL;
	for (size_t i = 0; i < set->n; i++) {
		const struct config_policy *p = set->policies[i];

		if (!applies(p, who))
			continue;
		if (!*ret_first)
			*ret_first = p->name;
		if (p->deny)
			continue;
		most.bonds = larger(most.bonds, p->bonds_per_container);
		most.connections = larger(most.connections, p->connections_per_container);
		most.requests_per_second =
			larger(most.requests_per_second, p->requests_per_second_per_container);
		most.drain_deadline_ms = larger(most.drain_deadline_ms, p->drain_deadline_ms);
	}
	*ret = (struct policy_limits){
		.bonds = smaller(registered->bonds, most.bonds ? most.bonds : config->bonds_per_container),
		.connections =
			smaller(registered->connections,
				most.connections ? most.connections : config->connections_per_container),
		.requests_per_second =
			smaller(registered->requests_per_second,
				most.requests_per_second ? most.requests_per_second
							 : config->requests_per_second_per_container),
		.drain_deadline_ms = smaller(registered->drain_deadline_ms, most.drain_deadline_ms),
	};
}

/* Each attachment that names devices adds to what may be used; one that names none takes nothing back. */
static bool is_registered(const struct policy_container *c, const char *device)
{
	bool any = false;

	for (size_t i = 0; i < c->n_attachments; i++) {
		for (size_t j = 0; j < c->attachments[i].n_devices; j++) {
			if (fnmatch(c->attachments[i].devices[j], device, 0) == 0)
				return true;
			any = true;
		}
	}
	return !any;
}

void policy_check_container(const struct config *config, const struct policy_set *set,
			    const struct policy_container *container, const struct policy_subject *who,
			    const char *device, struct policy_verdict *ret)
{
	struct policy_verdict v = { .why = POLICY_NONE_ALLOWS };
	uint32_t client = 0;
	const char *first;

	v.allowed = config->n_container_policies == 0;
	for (size_t i = 0; i < set->n; i++) {
		const struct config_policy *p = set->policies[i];

		if (!applies(p, who) || !matches(&p->devices, device))
			continue;
		if (p->deny) {
			*ret = (struct policy_verdict){ .why = POLICY_DENIES, .policy = p->name };
			return;
		}
		if (!v.allowed)
			v.policy = p->name;
		v.allowed = true;
		client = larger(client, p->bonds_per_client);
	}
	if (!is_registered(container, device)) {
		*ret = (struct policy_verdict){ .why = POLICY_UNNAMED };
		return;
	}
	if (v.allowed) {
		v.why = POLICY_ALLOWS;
		v.bonds_per_client = client ? client : config->bonds_per_client;
		policy_container_limits(config, set, &container->registered, who, &v.container, &first);
	}
	*ret = v;
}
