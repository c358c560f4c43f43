// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "names.h"
#include "table.h"
#include "top.h"
#include "units.h"

void top_sample_free(struct top_sample *s)
{
	free(s->devices);
	free(s->clients);
	free(s->containers);
	memset(s, 0, sizeof(*s));
}

double top_rate(uint64_t now, uint64_t before, uint64_t ns)
{
	/* Counters of a device that came back start again. */
	if (!ns || now < before)
		return -1;
	return (double)(now - before) * 1e9 / (double)ns;
}

static int add_devices(struct top_sample *s, const struct top_sample *before,
		       const Svad__V1__StatsReply *reply)
{
	uint64_t ns =
		before && s->monotonic_ns > before->monotonic_ns ? s->monotonic_ns - before->monotonic_ns : 0;

	s->devices = calloc(reply->n_devices ? reply->n_devices : 1, sizeof(*s->devices));
	if (!s->devices) {
		ctl_error("out of memory");
		return CTL_FAILED;
	}
	for (size_t i = 0; i < reply->n_devices; i++) {
		const Svad__V1__Device *d = reply->devices[i];
		struct top_device *t = &s->devices[s->n_devices++];

		t->id = d->id;
		snprintf(t->name, sizeof(t->name), "%s", d->name);
		t->health = d->health;
		t->engines = d->engines;
		t->busy = d->engines_busy;
		t->bonds = d->bonds;
		t->draining = d->draining;
		t->quarantined = d->quarantined;
		t->jobs = d->jobs;
		t->bytes = d->bytes;
		t->faults = d->faults;
		t->jobs_s = t->bytes_s = t->faults_s = -1;
		for (size_t j = 0; before && j < before->n_devices; j++) {
			const struct top_device *b = &before->devices[j];

			if (b->id != t->id)
				continue;
			t->jobs_s = top_rate(t->jobs, b->jobs, ns);
			t->bytes_s = top_rate(t->bytes, b->bytes, ns);
			t->faults_s = top_rate(t->faults, b->faults, ns);
			break;
		}
	}
	return CTL_OK;
}

struct collect {
	struct top_sample *s;
	size_t room;
};

static int add_client(void *userdata, const Svad__V1__Client *c)
{
	struct collect *l = userdata;
	struct top_sample *s = l->s;
	struct top_client *t;

	if (s->n_clients == l->room) {
		size_t room = l->room ? l->room * 2 : 64;
		struct top_client *clients = reallocarray(s->clients, room, sizeof(*clients));

		if (!clients) {
			ctl_error("out of memory");
			return CTL_FAILED;
		}
		s->clients = clients;
		l->room = room;
	}
	t = &s->clients[s->n_clients++];
	t->id = c->id;
	t->pid = c->pid;
	t->uid = c->uid;
	t->bonds = c->bonds;
	t->draining = c->draining;
	t->quarantined = c->quarantined;
	t->faults = c->faults;
	t->requests = c->requests;
	t->requests_s = -1;
	snprintf(t->comm, sizeof(t->comm), "%s", c->comm);
	snprintf(t->program, sizeof(t->program), "%s", c->program);
	snprintf(t->container, sizeof(t->container), "%s", c->container);
	return CTL_OK;
}

static int by_id(const void *a, const void *b)
{
	const struct top_client *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

static int by_bonds(const void *a, const void *b)
{
	const struct top_client *x = a, *y = b;

	if (x->bonds != y->bonds)
		return x->bonds < y->bonds ? 1 : -1;
	return by_id(a, b);
}

/* before's clients are in order of bonds: a copy in order of id makes each look-up short. */
static int client_rates(struct top_sample *s, const struct top_sample *before)
{
	uint64_t ns = s->monotonic_ns > before->monotonic_ns ? s->monotonic_ns - before->monotonic_ns : 0;
	struct top_client *old;

	if (!before->n_clients)
		return CTL_OK;
	old = malloc(before->n_clients * sizeof(*old));
	if (!old) {
		ctl_error("out of memory");
		return CTL_FAILED;
	}
	memcpy(old, before->clients, before->n_clients * sizeof(*old));
	qsort(old, before->n_clients, sizeof(*old), by_id);
	for (size_t i = 0; i < s->n_clients; i++) {
		const struct top_client *o =
			bsearch(&s->clients[i], old, before->n_clients, sizeof(*old), by_id);

		if (o)
			s->clients[i].requests_s = top_rate(s->clients[i].requests, o->requests, ns);
	}
	free(old);
	return CTL_OK;
}

int top_sample_take(struct rpc *rpc, bool by_container, const struct top_sample *before,
		    struct top_sample *ret)
{
	Svad__V1__GetStatus status = SVAD__V1__GET_STATUS__INIT;
	Svad__V1__GetStats stats = SVAD__V1__GET_STATS__INIT;
	Svad__V1__ListClients filter = SVAD__V1__LIST_CLIENTS__INIT;
	rpc_request req = SVAD__V1__REQUEST__INIT;
	struct collect collect = { .s = ret };
	const rpc_reply *reply;
	int r;

	memset(ret, 0, sizeof(*ret));
	ret->by_container = by_container;
	req.body_case = SVAD__V1__REQUEST__BODY_GET_STATUS;
	req.get_status = &status;
	r = rpc_call(rpc, &req, &reply);
	if (r)
		return r;
	snprintf(ret->version, sizeof(ret->version), "%s", reply->get_status->version);
	snprintf(ret->backend, sizeof(ret->backend), "%s", reply->get_status->backend);
	ret->backend_up = reply->get_status->backend_up;
	ret->uptime_ns = reply->get_status->uptime_ns;
	ret->violations = reply->get_status->violations;
	ret->n_clients_all = reply->get_status->clients;
	ret->bonds = reply->get_status->bonds;
	ret->draining = reply->get_status->draining;
	ret->quarantined = reply->get_status->quarantined;

	req.body_case = SVAD__V1__REQUEST__BODY_GET_STATS;
	req.get_stats = &stats;
	r = rpc_call(rpc, &req, &reply);
	if (r)
		return r;
	ret->monotonic_ns = reply->get_stats->monotonic_ns;
	r = add_devices(ret, before, reply->get_stats);
	if (!r && by_container)
		return top_containers_take(rpc, before, ret);
	if (!r)
		r = rpc_clients(rpc, &filter, add_client, &collect);
	if (!r && before)
		r = client_rates(ret, before);
	if (!r && ret->n_clients)
		qsort(ret->clients, ret->n_clients, sizeof(*ret->clients), by_bonds);
	return r;
}

void top_rate_cell(struct table *t, double v, const char *unit)
{
	char buf[UNITS_MAX];

	if (v < 0)
		table_cell(t, STYLE_DIM, "-");
	else
		table_cell(t, STYLE_NONE, "%s", units_rate(v, unit, buf));
}

static const struct table_column device_columns[] = {
	{ "DEVICE", false, 8, 0 },  { "HEALTH", false, 0, 0 },	   { "BUSY", false, 0, 0 },
	{ "JOBS/S", true, 0, 0 },   { "MB/S", true, 0, 0 },	   { "BONDS", true, 0, 0 },
	{ "DRAINING", true, 0, 2 }, { "QUARANTINED", true, 0, 1 }, { "FAULTS", true, 0, 3 },
	{ "FAULTS/S", true, 0, 4 },
};

static const struct table_column client_columns[] = {
	{ "CLIENT", true, 0, 0 },   { "PID", true, 0, 0 },	   { "UID", true, 0, 3 },
	{ "COMM", false, 8, 0 },    { "PROGRAM", false, 8, 5 },	   { "BONDS", true, 0, 0 },
	{ "DRAINING", true, 0, 2 }, { "QUARANTINED", true, 0, 1 }, { "FAULTS", true, 0, 4 },
	{ "REQ/S", true, 0, 6 },    { "CONTAINER", false, 12, 7 },
};
#define CONTAINER_COLUMN 10

static int clients_table(const struct top_sample *s, struct table **ret)
{
	struct table *clients;

	if (table_new(client_columns, sizeof(client_columns) / sizeof(client_columns[0]), &clients))
		return CTL_FAILED;
	table_optional(clients, CONTAINER_COLUMN);
	for (size_t i = 0; i < s->n_clients; i++) {
		const struct top_client *c = &s->clients[i];

		table_cell(clients, STYLE_NONE, "%llu", (unsigned long long)c->id);
		table_cell(clients, STYLE_NONE, "%d", c->pid);
		table_cell(clients, STYLE_NONE, "%u", c->uid);
		table_cell(clients, STYLE_NONE, "%s", c->comm);
		table_cell(clients, STYLE_NONE, "%s", c->program);
		table_cell(clients, STYLE_NONE, "%u", c->bonds);
		table_cell(clients, c->draining ? STYLE_YELLOW : STYLE_NONE, "%u", c->draining);
		table_cell(clients, c->quarantined ? STYLE_RED : STYLE_NONE, "%u", c->quarantined);
		table_cell(clients, c->faults ? STYLE_YELLOW : STYLE_NONE, "%llu",
			   (unsigned long long)c->faults);
		top_rate_cell(clients, c->requests_s, "");
		table_cell(clients, STYLE_NONE, "%s", *c->container ? c->container : "-");
	}
	*ret = clients;
	return CTL_OK;
}

#define BAR 8u

/* A little bar of busy engines: one glance. */
static void busy_cell(struct table *t, const struct top_device *d)
{
	unsigned full = d->engines ? (unsigned)((uint64_t)d->busy * BAR / d->engines) : 0;
	char bar[BAR + 1];

	if (full > BAR)
		full = BAR;
	memset(bar, '.', BAR);
	memset(bar, '#', full);
	bar[BAR] = 0;
	table_cell(t, d->busy ? STYLE_CYAN : STYLE_DIM, "%s %u/%u", bar, d->busy, d->engines);
}

int top_sample_print(const struct top_sample *s, FILE *out, unsigned width, unsigned height, const char *eol)
{
	struct table *devices = NULL, *clients = NULL;
	unsigned used, rows;
	char up[UNITS_MAX];
	int r = CTL_FAILED;

	if (table_new(device_columns, sizeof(device_columns) / sizeof(device_columns[0]), &devices) ||
	    (s->by_container ? top_containers_table(s, &clients) : clients_table(s, &clients)))
		goto out;
	for (size_t i = 0; i < s->n_devices; i++) {
		const struct top_device *d = &s->devices[i];

		table_cell(devices, STYLE_NONE, "%s", d->name);
		table_cell(devices, style_health(d->health), "%s", name_health(d->health));
		busy_cell(devices, d);
		top_rate_cell(devices, d->jobs_s, "");
		if (d->bytes_s < 0)
			table_cell(devices, STYLE_DIM, "-");
		else
			table_cell(devices, STYLE_NONE, "%.1f", d->bytes_s / 1e6);
		table_cell(devices, STYLE_NONE, "%u", d->bonds);
		table_cell(devices, d->draining ? STYLE_YELLOW : STYLE_NONE, "%u", d->draining);
		table_cell(devices, d->quarantined ? STYLE_RED : STYLE_NONE, "%u", d->quarantined);
		table_cell(devices, STYLE_NONE, "%llu", (unsigned long long)d->faults);
		top_rate_cell(devices, d->faults_s, "");
	}
	fprintf(out, "%ssvad %s%s up %s, backend %s %s%s", style_on(STYLE_BOLD), s->version,
		style_off(STYLE_BOLD), units_ns(s->uptime_ns, up), s->backend, s->backend_up ? "up" : "DOWN",
		eol);
	fprintf(out, "%u clients, %u bonds, %s%u draining%s, %s%u quarantined%s", s->n_clients_all, s->bonds,
		style_on(s->draining ? STYLE_YELLOW : STYLE_NONE), s->draining,
		style_off(s->draining ? STYLE_YELLOW : STYLE_NONE),
		style_on(s->quarantined ? STYLE_RED : STYLE_NONE), s->quarantined,
		style_off(s->quarantined ? STYLE_RED : STYLE_NONE));
	if (strcmp(s->backend, "sim") == 0) /* nobody watches a real IOMMU */
		fprintf(out, ", %s%llu violation%s%s", style_on(s->violations ? STYLE_RED : STYLE_NONE),
			(unsigned long long)s->violations, s->violations == 1 ? "" : "s",
			style_off(s->violations ? STYLE_RED : STYLE_NONE));
	fprintf(out, "%s%s", eol, eol);

	/* 3 lines above, a title each, one between, the last line stays free: devices get at most half of
	 * what is left. */
	used = 3 + 1 + 1 + 1 + 1;
	rows = 0;
	if (height) {
		unsigned room = height > used + 2 ? height - used : 2;

		rows = table_rows(devices) <= room / 2 ? table_rows(devices) : room / 2;
		if (table_print(devices, out, width, rows ? rows : 1, eol))
			goto out;
		fputs(eol, out);
		if (table_print(clients, out, width, room > rows ? room - rows : 1, eol))
			goto out;
	} else {
		if (table_print(devices, out, width, 0, eol))
			goto out;
		fputs(eol, out);
		if (table_print(clients, out, width, 0, eol))
			goto out;
	}
	r = CTL_OK;
out:
	if (r)
		ctl_error("out of memory");
	table_free(devices);
	table_free(clients);
	return r;
}

int top_sample_json(const struct top_sample *s)
{
	json_t *o = json_object(), *devices = json_array(), *clients = json_array();

	json_add_u64(o, "monotonic_ns", s->monotonic_ns);
	json_add_u64(o, "bonds", s->bonds);
	json_add_u64(o, "draining", s->draining);
	json_add_u64(o, "quarantined", s->quarantined);
	if (strcmp(s->backend, "sim") == 0)
		json_add_u64(o, "violations", s->violations);
	else
		json_add(o, "violations", json_null());
	for (size_t i = 0; i < s->n_devices; i++) {
		const struct top_device *d = &s->devices[i];
		json_t *j = json_object();

		json_add_u64(j, "id", d->id);
		json_add_str(j, "name", d->name);
		json_add_str(j, "health", name_health(d->health));
		json_add_u64(j, "engines", d->engines);
		json_add_u64(j, "engines_busy", d->busy);
		json_add_u64(j, "bonds", d->bonds);
		json_add_u64(j, "draining", d->draining);
		json_add_u64(j, "quarantined", d->quarantined);
		json_add_u64(j, "jobs", d->jobs);
		json_add_u64(j, "bytes", d->bytes);
		json_add_u64(j, "faults", d->faults);
		json_add(j, "jobs_per_s", d->jobs_s < 0 ? json_null() : json_real(d->jobs_s));
		json_add(j, "bytes_per_s", d->bytes_s < 0 ? json_null() : json_real(d->bytes_s));
		json_add(j, "faults_per_s", d->faults_s < 0 ? json_null() : json_real(d->faults_s));
		json_array_append_new(devices, j);
	}
	for (size_t i = 0; i < s->n_clients; i++) {
		const struct top_client *c = &s->clients[i];
		json_t *j = json_object();

		json_add_u64(j, "id", c->id);
		json_add(j, "pid", json_integer(c->pid));
		json_add_u64(j, "uid", c->uid);
		json_add_str(j, "comm", c->comm);
		json_add_str(j, "program", c->program);
		json_add_u64(j, "bonds", c->bonds);
		json_add_u64(j, "draining", c->draining);
		json_add_u64(j, "quarantined", c->quarantined);
		json_add_u64(j, "faults", c->faults);
		json_add(j, "requests_per_s", c->requests_s < 0 ? json_null() : json_real(c->requests_s));
		json_add_str(j, "container", c->container);
		json_array_append_new(clients, j);
	}
	json_add(o, "devices", devices);
	json_add(o, "clients", clients);
	if (s->by_container)
		json_add(o, "containers", top_containers_json(s));
	return json_print(o, true);
}
