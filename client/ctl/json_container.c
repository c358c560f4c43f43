// SPDX-License-Identifier: GPL-2.0-or-later
#include "json.h"
#include "names.h"

static json_t *attachment(const Svad__V1__Attachment *a)
{
	json_t *o = json_object();

	json_add_str(o, "network", a->network);
	json_add_str(o, "container_id", a->container_id);
	json_add_str(o, "ifname", a->ifname);
	return o;
}

json_t *json_container(const Svad__V1__Container *c)
{
	json_t *o = json_object(), *attachments = json_array(), *devices = json_array(),
	       *cgroups = json_array();

	json_add_u64(o, "id", c->id);
	json_add_str(o, "name", c->name);
	json_add_str(o, "state", name_container_state(c->state));
	for (size_t i = 0; i < c->n_attachments; i++)
		json_array_append_new(attachments, attachment(c->attachments[i]));
	json_add(o, "attachments", attachments);
	json_add_str(o, "pod_namespace", c->pod_namespace);
	json_add_str(o, "pod_name", c->pod_name);
	json_add_str(o, "pod_uid", c->pod_uid);
	json_add_u64(o, "netns_cookie", c->netns_cookie);
	json_add_u64(o, "netns_inode", c->netns_inode);
	json_add_str(o, "netns_path", c->netns_path);
	json_add(o, "pid", json_integer(c->pid));
	json_add_str(o, "by", c->by);
	for (size_t i = 0; i < c->n_devices; i++)
		json_array_append_new(devices, json_string(c->devices[i]));
	json_add(o, "devices", devices);
	json_add_str(o, "policy", c->policy);
	if (c->limits) {
		json_t *limits = json_object();

		json_add_u64(limits, "bonds", c->limits->bonds);
		json_add_u64(limits, "connections", c->limits->connections);
		json_add_u64(limits, "requests_per_second", c->limits->requests_per_second);
		json_add_u64(limits, "drain_deadline_ms", c->limits->drain_deadline_ms);
		json_add(o, "limits", limits);
	}
	json_add_u64(o, "clients", c->clients);
	json_add_u64(o, "connections", c->connections);
	json_add_u64(o, "bonds", c->bonds);
	json_add_u64(o, "draining", c->draining);
	json_add_u64(o, "quarantined", c->quarantined);
	json_add_u64(o, "faults", c->faults);
	json_add_u64(o, "requests", c->requests);
	json_add_u64(o, "refused", c->refused);
	json_add_u64(o, "age_ns", c->age_ns);
	for (size_t i = 0; i < c->n_cgroup_ids; i++)
		json_array_append_new(cgroups, json_u64(c->cgroup_ids[i]));
	json_add(o, "cgroup_ids", cgroups);
	return o;
}

json_t *json_bond_end(const Svad__V1__BondEnd *e)
{
	json_t *o = json_object();

	json_add_u64(o, "bond", e->bond);
	json_add_str(o, "device", e->device);
	json_add_u64(o, "pasid", e->pasid);
	json_add_str(o, "state", name_state(e->state));
	json_add_str(o, "cause", name_cause(e->cause));
	json_add(o, "pid", json_integer(e->pid));
	json_add_u64(o, "duration_ns", e->duration_ns);
	return o;
}

json_t *json_timeline_entry(const Svad__V1__TimelineEntry *e)
{
	json_t *o = json_object();

	json_add_str(o, "what", name_timeline(e->kind));
	json_add_u64(o, "monotonic_ns", e->monotonic_ns);
	json_add(o, "realtime_ns", json_integer(e->realtime_ns));
	if (*e->text)
		json_add_str(o, "text", e->text);
	if (e->attachment)
		json_add(o, "attachment", attachment(e->attachment));
	if (e->client)
		json_add_u64(o, "client", e->client);
	if (e->pid)
		json_add(o, "pid", json_integer(e->pid));
	if (e->bond)
		json_add(o, "bond", json_bond_end(e->bond));
	return o;
}
