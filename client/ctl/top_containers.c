// SPDX-License-Identifier: GPL-2.0-or-later
/* svadctl top --containers */
#include <stdlib.h>
#include <string.h>

#include "names.h"
#include "top.h"

struct collect {
	struct top_sample *s;
	size_t room;
};

static int add(void *userdata, const Svad__V1__Container *c)
{
	struct collect *l = userdata;
	struct top_sample *s = l->s;
	struct top_container *t;

	if (s->n_containers == l->room) {
		size_t room = l->room ? l->room * 2 : 64;
		struct top_container *containers = reallocarray(s->containers, room, sizeof(*containers));

		if (!containers) {
			ctl_error("out of memory");
			return CTL_FAILED;
		}
		s->containers = containers;
		l->room = room;
	}
	t = &s->containers[s->n_containers++];
	memset(t, 0, sizeof(*t));
	t->id = c->id;
	snprintf(t->name, sizeof(t->name), "%s", c->name);
	if (*c->pod_name)
		snprintf(t->pod, sizeof(t->pod), "%s/%s", c->pod_namespace, c->pod_name);
	t->state = c->state;
	t->clients = c->clients;
	t->bonds = c->bonds;
	t->max_bonds = c->limits ? c->limits->bonds : 0;
	t->draining = c->draining;
	t->quarantined = c->quarantined;
	t->faults = c->faults;
	t->requests = c->requests;
	t->refused = c->refused;
	t->requests_s = t->refused_s = -1;
	return CTL_OK;
}

static int by_id(const void *a, const void *b)
{
	const struct top_container *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

static int by_bonds(const void *a, const void *b)
{
	const struct top_container *x = a, *y = b;

	if (x->bonds != y->bonds)
		return x->bonds < y->bonds ? 1 : -1;
	return by_id(a, b);
}

static int rates(struct top_sample *s, const struct top_sample *before)
{
	uint64_t ns = s->monotonic_ns > before->monotonic_ns ? s->monotonic_ns - before->monotonic_ns : 0;
	struct top_container *old;

	if (!before->n_containers)
		return CTL_OK;
	old = malloc(before->n_containers * sizeof(*old));
	if (!old) {
		ctl_error("out of memory");
		return CTL_FAILED;
	}
	memcpy(old, before->containers, before->n_containers * sizeof(*old));
	qsort(old, before->n_containers, sizeof(*old), by_id);
	for (size_t i = 0; i < s->n_containers; i++) {
		struct top_container *c = &s->containers[i];
		const struct top_container *o = bsearch(c, old, before->n_containers, sizeof(*old), by_id);

		if (!o)
			continue;
		c->requests_s = top_rate(c->requests, o->requests, ns);
		c->refused_s = top_rate(c->refused, o->refused, ns);
	}
	free(old);
	return CTL_OK;
}

int top_containers_take(struct rpc *rpc, const struct top_sample *before, struct top_sample *s)
{
	Svad__V1__ListContainers filter = SVAD__V1__LIST_CONTAINERS__INIT;
	struct collect collect = { .s = s };
	int r = rpc_containers(rpc, &filter, add, &collect);

	if (!r && before)
		r = rates(s, before);
	if (!r && s->n_containers)
		qsort(s->containers, s->n_containers, sizeof(*s->containers), by_bonds);
	return r;
}

static const struct table_column columns[] = {
	{ "CONTAINER", false, 12, 0 }, { "POD", false, 12, 5 },	 { "STATE", false, 0, 6 },
	{ "CLIENTS", true, 0, 7 },     { "BONDS", true, 0, 0 },	 { "DRAINING", true, 0, 2 },
	{ "QUARANTINED", true, 0, 1 }, { "FAULTS", true, 0, 4 }, { "REQ/S", true, 0, 3 },
	{ "REFUSED/S", true, 0, 8 },
};
#define POD_COLUMN 1

int top_containers_table(const struct top_sample *s, struct table **ret)
{
	struct table *t;

	if (table_new(columns, sizeof(columns) / sizeof(columns[0]), &t))
		return CTL_FAILED;
	table_optional(t, POD_COLUMN);
	for (size_t i = 0; i < s->n_containers; i++) {
		const struct top_container *c = &s->containers[i];

		table_cell(t, STYLE_NONE, "%s", c->name);
		table_cell(t, STYLE_NONE, "%s", *c->pod ? c->pod : "-");
		table_cell(t, style_container_state(c->state), "%s", name_container_state(c->state));
		table_cell(t, STYLE_NONE, "%u", c->clients);
		if (c->max_bonds)
			table_cell(t, STYLE_NONE, "%u/%u", c->bonds, c->max_bonds);
		else
			table_cell(t, STYLE_NONE, "%u", c->bonds);
		table_cell(t, c->draining ? STYLE_YELLOW : STYLE_NONE, "%u", c->draining);
		table_cell(t, c->quarantined ? STYLE_RED : STYLE_NONE, "%u", c->quarantined);
		table_cell(t, c->faults ? STYLE_YELLOW : STYLE_NONE, "%llu", (unsigned long long)c->faults);
		top_rate_cell(t, c->requests_s, "");
		top_rate_cell(t, c->refused_s, "");
	}
	*ret = t;
	return CTL_OK;
}

json_t *top_containers_json(const struct top_sample *s)
{
	json_t *a = json_array();

	for (size_t i = 0; i < s->n_containers; i++) {
		const struct top_container *c = &s->containers[i];
		json_t *j = json_object();

		json_add_u64(j, "id", c->id);
		json_add_str(j, "name", c->name);
		json_add_str(j, "pod", c->pod);
		json_add_str(j, "state", name_container_state(c->state));
		json_add_u64(j, "clients", c->clients);
		json_add_u64(j, "bonds", c->bonds);
		json_add_u64(j, "max_bonds", c->max_bonds);
		json_add_u64(j, "draining", c->draining);
		json_add_u64(j, "quarantined", c->quarantined);
		json_add_u64(j, "faults", c->faults);
		json_add_u64(j, "requests", c->requests);
		json_add_u64(j, "refused", c->refused);
		json_add(j, "requests_per_s", c->requests_s < 0 ? json_null() : json_real(c->requests_s));
		json_add(j, "refused_per_s", c->refused_s < 0 ? json_null() : json_real(c->refused_s));
		json_array_append_new(a, j);
	}
	return a;
}
