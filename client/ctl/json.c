// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdio.h>

#include "ctl.h"
#include "json.h"
#include "names.h"

static bool failed;

void json_add(json_t *object, const char *key, json_t *value)
{
	if (json_object_set_new(object, key, value))
		failed = true;
}

json_t *json_u64(uint64_t value)
{
	char text[24];

	if (value <= INT64_MAX)
		return json_integer((json_int_t)value);
	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	return json_string(text);
}

static json_t *words(const char *text)
{
	json_t *a = json_array();

	while (*text) {
		size_t n = 0;

		while (text[n] && text[n] != ' ')
			n++;
		if (json_array_append_new(a, json_stringn(text, n)))
			failed = true;
		text += n;
		while (*text == ' ')
			text++;
	}
	return a;
}

json_t *json_device(const Svad__V1__Device *d)
{
	json_t *o = json_object();
	char buf[256];

	json_add_u64(o, "id", d->id);
	json_add_str(o, "name", d->name);
	json_add_str(o, "bus", d->bus);
	json_add(o, "numa_node", json_integer(d->numa_node));
	json_add_u64(o, "pasid_bits", d->pasid_bits);
	json_add(o, "operations", words(name_operations(d->operations, buf, sizeof(buf))));
	json_add(o, "capabilities", words(name_capabilities(d->capabilities, buf, sizeof(buf))));
	json_add_str(o, "health", name_health(d->health));
	json_add_str(o, "reason", d->reason);
	json_add_u64(o, "engines", d->engines);
	json_add_u64(o, "engines_busy", d->engines_busy);
	json_add_u64(o, "bonds", d->bonds);
	json_add_u64(o, "max_bonds", d->max_bonds);
	json_add_u64(o, "draining", d->draining);
	json_add_u64(o, "quarantined", d->quarantined);
	json_add_u64(o, "drain_deadline_ms", d->drain_deadline_ms);
	json_add_u64(o, "drained", d->drained);
	json_add_u64(o, "faults", d->faults);
	json_add_u64(o, "errors", d->errors);
	json_add_u64(o, "stop_failures", d->stop_failures);
	json_add_u64(o, "jobs", d->jobs);
	json_add_u64(o, "bytes", d->bytes);
	return o;
}

json_t *json_bond(const Svad__V1__Bond *b)
{
	json_t *o = json_object();

	json_add_u64(o, "id", b->id);
	json_add_u64(o, "device_id", b->device_id);
	json_add_str(o, "device", b->device);
	json_add_u64(o, "pasid", b->pasid);
	json_add_str(o, "state", name_state(b->state));
	json_add_str(o, "cause", name_cause(b->cause));
	json_add_u64(o, "client", b->client);
	json_add(o, "pid", json_integer(b->pid));
	json_add_u64(o, "uid", b->uid);
	json_add_str(o, "comm", b->comm);
	json_add_u64(o, "age_ns", b->age_ns);
	json_add_u64(o, "draining_ns", b->draining_ns);
	json_add_u64(o, "faults", b->faults);
	json_add_u64(o, "references", b->references);
	json_add_str(o, "container", b->container);
	return o;
}

json_t *json_client(const Svad__V1__Client *c)
{
	json_t *o = json_object();

	json_add_u64(o, "id", c->id);
	json_add(o, "pid", json_integer(c->pid));
	json_add_u64(o, "uid", c->uid);
	json_add_u64(o, "gid", c->gid);
	json_add_str(o, "comm", c->comm);
	json_add_str(o, "program", c->program);
	json_add_u64(o, "bonds", c->bonds);
	json_add_u64(o, "max_bonds", c->max_bonds);
	json_add_u64(o, "draining", c->draining);
	json_add_u64(o, "quarantined", c->quarantined);
	json_add_u64(o, "faults", c->faults);
	json_add_u64(o, "errors", c->errors);
	json_add_u64(o, "requests", c->requests);
	json_add_u64(o, "age_ns", c->age_ns);
	json_add_bool(o, "connected", c->connected);
	json_add_u64(o, "netns_cookie", c->netns_cookie);
	json_add_str(o, "container", c->container);
	json_add_u64(o, "cgroup_id", c->cgroup_id);
	return o;
}

json_t *json_event(const Svad__V1__Event *e)
{
	json_t *o = json_object();

	json_add_str(o, "event", name_event(e->kind));
	json_add_u64(o, "monotonic_ns", e->monotonic_ns);
	if (e->client)
		json_add_u64(o, "client", e->client);
	if (e->pid) {
		json_add(o, "pid", json_integer(e->pid));
		json_add_u64(o, "uid", e->uid);
	}
	if (e->container && *e->container)
		json_add_str(o, "container", e->container);
	if (e->device && *e->device) {
		json_add_str(o, "device", e->device);
		json_add_u64(o, "device_id", e->device_id);
	}
	if (e->bond) {
		json_add_u64(o, "bond", e->bond);
		json_add_u64(o, "pasid", e->pasid);
		json_add_str(o, "state", name_state(e->state));
	}
	if (e->cause)
		json_add_str(o, "cause", name_cause(e->cause));
	if (e->duration_ns)
		json_add_u64(o, "duration_ns", e->duration_ns);
	if (e->kind == SVAD__V1__EVENT_KIND__EVENT_FAULT) {
		json_add_u64(o, "address", e->address);
		json_add_u64(o, "code", e->code);
		json_add_str(o, "fault", name_fault(e->code));
	}
	if (e->count)
		json_add_u64(o, "count", e->count);
	if (e->text && *e->text)
		json_add_str(o, "text", e->text);
	return o;
}

int json_print(json_t *root, bool lines)
{
	int r = !root || failed;

	if (!r)
		r = json_dumpf(root, stdout, lines ? JSON_COMPACT : JSON_INDENT(2));
	json_decref(root);
	if (r) {
		ctl_error("cannot write JSON: out of memory, or stdout is full");
		return CTL_FAILED;
	}
	putchar('\n');
	if (lines && fflush(stdout)) {
		ctl_error("cannot write to stdout");
		return CTL_FAILED;
	}
	return CTL_OK;
}
