/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "container_policy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "client.h"
#include "container.h"
#include "device.h"
#include "peer.h"

void container_policy_free(struct container_policy *policy)
{
	policy_set_free(&policy->set);
	free(policy->attachments);
	free(policy->pod);
	*policy = (struct container_policy){ 0 };
}

static int make(struct container *c)
{
	struct container_policy *p = &c->policy;
	const struct config *config = c->broker->config;
	const struct list *pos;
	size_t n = 0;
	int r;

	container_policy_free(p);
	list_for_each(pos, &c->attachments)
		n++;
	p->attachments = calloc(n ? n : 1, sizeof(*p->attachments));
	if (!p->attachments)
		return -ENOMEM;
	n = 0;
	list_for_each(pos, &c->attachments) {
		const struct attachment *a = container_of(pos, struct attachment, link);

		p->attachments[n++] = (struct policy_attachment){
			.network = a->key.network,
			.container_id = a->key.container_id,
			.devices = a->devices,
			.n_devices = a->n_devices,
		};
	}
	if (c->pod_name && c->pod_name[0] &&
	    asprintf(&p->pod, "%s/%s", c->pod_namespace ? c->pod_namespace : "", c->pod_name) < 0) {
		p->pod = NULL;
		return -ENOMEM;
	}
	p->subject = (struct policy_container){
		.attachments = p->attachments,
		.n_attachments = n,
		.pod = p->pod,
		.registered = {
			.bonds = c->registered.bonds,
			.connections = c->registered.connections,
			.requests_per_second = c->registered.requests_per_second,
			.drain_deadline_ms = c->registered.drain_deadline_ms,
		},
	};
	r = policy_set_make(config, &p->subject, &p->set);
	if (r < 0)
		return r;
	policy_container_limits(config, &p->set, &p->subject.registered, NULL, &p->limits, &p->first);
	p->container_generation = c->generation;
	p->config_generation = c->broker->config_generation;
	p->made = true;
	return 0;
}

static bool refreshed(struct container *c)
{
	struct container_policy *p = &c->policy;

	return (p->made && p->container_generation == c->generation &&
		p->config_generation == c->broker->config_generation) ||
	       make(c) == 0;
}

void container_limits_get(struct container *c, struct client *client, struct policy_limits *ret,
			  const char **ret_first)
{
	struct policy_subject who;
	const char *first;

	if (!ret_first)
		ret_first = &first;
	if (!refreshed(c)) {
		*ret = (struct policy_limits){ 1, 1, 1, 0 };
		*ret_first = NULL;
		return;
	}
	if (!client || !c->policy.set.by_user) {
		*ret = c->policy.limits;
		*ret_first = c->policy.first;
		return;
	}
	client_subject(client, &who);
	policy_container_limits(c->broker->config, &c->policy.set, &c->policy.subject.registered, &who, ret,
				ret_first);
}

void container_limits_peer(struct container *c, struct policy_subject *who, int sock,
			   struct policy_limits *ret)
{
	const char *first;
	gid_t *groups = NULL;

	if (!refreshed(c) || !c->policy.set.by_user) {
		container_limits_get(c, NULL, ret, NULL);
		return;
	}
	if (peer_groups(sock, &groups, &who->n_groups) < 0)
		who->n_groups = 0;
	who->groups = groups;
	policy_container_limits(c->broker->config, &c->policy.set, &c->policy.subject.registered, who, ret,
				&first);
	who->groups = NULL;
	who->n_groups = 0;
	free(groups);
}

void container_check(struct container *c, struct client *client, const struct device *device,
		     struct policy_verdict *ret)
{
	struct policy_subject who;

	if (!refreshed(c)) {
		*ret = (struct policy_verdict){ .why = POLICY_NONE_ALLOWS };
		return;
	}
	if (client && c->policy.set.by_user)
		client_subject(client, &who);
	policy_check_container(c->broker->config, &c->policy.set, &c->policy.subject,
			       client && c->policy.set.by_user ? &who : NULL, device->info.name, ret);
}
