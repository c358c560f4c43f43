// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * svadctl metrics: GetStats in Prometheus' text format (version 0.0.4). Samples of one name must stand
 * together under one HELP and TYPE, so all are gathered before any is printed.
 */
#include <ctype.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"
#include "json.h"
#include "names.h"
#include "rpc.h"

struct sample {
	char name[96];
	char *help;
	bool gauge;
	char label[48];
	char *label_value;
	uint64_t value;
	unsigned order;
};

struct metrics {
	struct sample *samples;
	size_t n, room;
	size_t told; /* the first ones: what the daemon said itself */
	void *names; /* tsearch(3): containers whose series are there; looking through thousands of samples
			for each would not do */
	bool oom;
};

/* [a-zA-Z_][a-zA-Z0-9_]*, starting with svad_ and, for a counter, ending with _total, as the format's
 * conventions ask. */
static void sane_name(char *out, size_t size, const char *name, bool gauge, bool is_label)
{
	size_t n;

	snprintf(out, size - 8, "%s%s", is_label || !strncmp(name, "svad_", 5) ? "" : "svad_", name);
	for (char *p = out; *p; p++)
		if (!isalnum((unsigned char)*p) && *p != '_')
			*p = '_';
	n = strlen(out);
	if (!is_label && !gauge && (n < 6 || strcmp(out + n - 6, "_total")))
		strcat(out, "_total");
}

static void add(struct metrics *m, const char *name, const char *help, bool gauge, const char *label,
		const char *label_value, uint64_t value)
{
	struct sample s = { .gauge = gauge, .value = value, .order = (unsigned)m->n };

	sane_name(s.name, sizeof(s.name), name, gauge, false);
	if (label && *label)
		sane_name(s.label, sizeof(s.label), label, gauge, true);
	/* The daemon's own figures win over what is derived here; and a sample stands once. */
	for (size_t i = 0; i < (m->names ? m->told : m->n); i++)
		if (!strcmp(m->samples[i].name, s.name) &&
		    (i < m->told || (!strcmp(m->samples[i].label, s.label) &&
				     !strcmp(m->samples[i].label_value, label_value ? label_value : ""))))
			return;
	if (m->n == m->room) {
		size_t room = m->room ? m->room * 2 : 64;
		struct sample *samples = reallocarray(m->samples, room, sizeof(*samples));

		if (!samples) {
			m->oom = true;
			return;
		}
		m->samples = samples;
		m->room = room;
	}
	s.help = strdup(help ? help : "");
	s.label_value = strdup(label_value ? label_value : "");
	if (!s.help || !s.label_value) {
		free(s.help);
		free(s.label_value);
		m->oom = true;
		return;
	}
	m->samples[m->n++] = s;
}

static void free_samples(struct metrics *m)
{
	for (size_t i = 0; i < m->n; i++) {
		free(m->samples[i].help);
		free(m->samples[i].label_value);
	}
	free(m->samples);
}

static void add_device(struct metrics *m, const Svad__V1__Device *d)
{
	const struct {
		const char *name, *help;
		bool gauge;
		uint64_t value;
	} figures[] = {
		{ "device_health", "0 ok, 1 degraded, 2 gone, 3 resetting", true, (uint64_t)d->health },
		{ "device_engines", "Engines of the device", true, d->engines },
		{ "device_engines_busy", "Engines working now", true, d->engines_busy },
		{ "device_bonds", "Bonds of the device now", true, d->bonds },
		{ "device_draining", "Bonds draining now", true, d->draining },
		{ "device_quarantined", "Bonds quarantined now", true, d->quarantined },
		{ "device_drained_total", "Bonds that became CLEAN", false, d->drained },
		{ "device_stop_failures_total", "Stops refused or late", false, d->stop_failures },
		{ "device_faults_total", "Faults of its accesses", false, d->faults },
		{ "device_errors_total", "Descriptors it could not execute", false, d->errors },
		{ "device_jobs_total", "Descriptors executed", false, d->jobs },
		{ "device_bytes_total", "Bytes moved", false, d->bytes },
	};

	for (size_t i = 0; i < sizeof(figures) / sizeof(figures[0]); i++)
		add(m, figures[i].name, figures[i].help, figures[i].gauge, "device", d->name,
		    figures[i].value);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* A container comes and goes, and each leaves series behind in whatever gathers them: only for who asks for
 * it. */
static int add_container(void *userdata, const Svad__V1__Container *c)
{
	const struct {
		const char *name, *help;
		bool gauge;
		uint64_t value;
	} figures[] = {
		{ "container_clients", "Clients of the container now", true, c->clients },
		{ "container_connections", "Connections of the container now", true, c->connections },
		{ "container_bonds", "Bonds and grants charged to the container now", true, c->bonds },
		{ "container_draining", "Bonds draining now", true, c->draining },
		{ "container_quarantined", "Bonds quarantined now", true, c->quarantined },
		{ "container_faults_total", "Faults of accesses for it", false, c->faults },
		{ "container_requests_total", "Requests of its clients", false, c->requests },
		{ "container_refused_total", "Requests and connections refused", false, c->refused },
	};

	struct metrics *m = userdata;
	char *name = strdup(c->name), **node = name ? tsearch(name, &m->names, by_name) : NULL;

	if (!node) {
		free(name);
		m->oom = true;
		return CTL_OK;
	}
	/* Two network namespaces may have been registered with one container id: the first of them stands. */
	if (*node != name) {
		free(name);
		return CTL_OK;
	}
	for (size_t i = 0; i < sizeof(figures) / sizeof(figures[0]); i++)
		add(m, figures[i].name, figures[i].help, figures[i].gauge, "container", c->name,
		    figures[i].value);
	return CTL_OK;
}

static int by_family(const void *a, const void *b)
{
	const struct sample *x = a, *y = b;
	int r = strcmp(x->name, y->name);

	return r ? r : (x->order > y->order) - (x->order < y->order);
}

static void escaped(const char *text, bool label)
{
	for (; *text; text++) {
		if (*text == '\\')
			fputs("\\\\", stdout);
		else if (*text == '\n')
			fputs("\\n", stdout);
		else if (*text == '"' && label)
			fputs("\\\"", stdout);
		else
			putchar(*text);
	}
}

static void print_text(const struct metrics *m)
{
	for (size_t i = 0; i < m->n; i++) {
		const struct sample *s = &m->samples[i];

		if (!i || strcmp(s->name, s[-1].name)) {
			printf("# HELP %s ", s->name);
			escaped(*s->help ? s->help : "No description.", false);
			printf("\n# TYPE %s %s\n", s->name, s->gauge ? "gauge" : "counter");
		}
		fputs(s->name, stdout);
		if (*s->label) {
			printf("{%s=\"", s->label);
			escaped(s->label_value, true);
			printf("\"}");
		}
		printf(" %llu\n", (unsigned long long)s->value);
	}
}

static int print_json(const struct metrics *m)
{
	json_t *a = json_array();

	for (size_t i = 0; i < m->n; i++) {
		const struct sample *s = &m->samples[i];
		json_t *o = json_object(), *labels = json_object();

		json_add_str(o, "name", s->name);
		json_add_str(o, "type", s->gauge ? "gauge" : "counter");
		json_add_str(o, "help", s->help);
		if (*s->label)
			json_add_str(labels, s->label, s->label_value);
		json_add(o, "labels", labels);
		json_add_u64(o, "value", s->value);
		json_array_append_new(a, o);
	}
	return json_print(a, false);
}

static void add_status(struct metrics *m, const Svad__V1__StatusReply *s)
{
	add(m, "info", "1, with svad's version", true, "version", s->version, 1);
	add(m, "backend_up", "1 while the backend serves", true, "backend", s->backend,
	    s->backend_up ? 1 : 0);
	add(m, "uptime_seconds", "Since svad was started", true, NULL, NULL, s->uptime_ns / 1000000000u);
	add(m, "clients", "Clients now", true, NULL, NULL, s->clients);
	add(m, "bonds", "Bonds now", true, NULL, NULL, s->bonds);
	add(m, "draining", "Bonds draining now", true, NULL, NULL, s->draining);
	add(m, "quarantined", "Bonds quarantined now", true, NULL, NULL, s->quarantined);
	add(m, "devices", "Devices", true, NULL, NULL, s->devices);
	add(m, "devices_degraded", "Devices that are not healthy", true, NULL, NULL, s->devices_degraded);
	add(m, "broker_restarts_total", "Times the broker was restarted", false, NULL, NULL,
	    s->broker_restarts);
	if (strcmp(s->backend, "sim") != 0)
		return; /* nobody watches a real IOMMU */
	add(m, "violations_total", "Accesses through an ended PASID that the simulated device's checker saw",
	    false, NULL, NULL, s->violations);
}

int cmd_metrics(struct ctl *ctl, int argc, char **argv)
{
	Svad__V1__GetStats stats = SVAD__V1__GET_STATS__INIT;
	Svad__V1__GetStatus status = SVAD__V1__GET_STATUS__INIT;
	rpc_request req = SVAD__V1__REQUEST__INIT;
	Svad__V1__ListContainers containers = SVAD__V1__LIST_CONTAINERS__INIT;
	bool by_container = false;
	const struct ctl_option options[] = {
		{ "containers", 'c', NULL, "series for each container too", &by_container, NULL },
		CTL_OPTIONS_END,
	};
	struct metrics m = { 0 };
	const rpc_reply *reply;
	struct rpc *rpc;
	int r;

	r = ctl_parse(ctl, argc, argv, options, NULL, 0, 0);
	if (r != CTL_GO)
		return r;
	r = rpc_open(ctl, &rpc);
	if (r)
		return r;
	req.body_case = SVAD__V1__REQUEST__BODY_GET_STATS;
	req.get_stats = &stats;
	r = rpc_call(rpc, &req, &reply);
	if (!r) {
		for (size_t i = 0; i < reply->get_stats->n_counters; i++) {
			const Svad__V1__Counter *c = reply->get_stats->counters[i];

			add(&m, c->name, c->help, c->gauge, c->label, c->label_value, c->value);
		}
		m.told = m.n;
		for (size_t i = 0; i < reply->get_stats->n_devices; i++)
			add_device(&m, reply->get_stats->devices[i]);
		req.body_case = SVAD__V1__REQUEST__BODY_GET_STATUS;
		req.get_status = &status;
		r = rpc_call(rpc, &req, &reply);
	}
	if (!r) {
		add_status(&m, reply->get_status);
		if (by_container)
			r = rpc_containers(rpc, &containers, add_container, &m);
	}
	if (!r) {
		if (m.oom) {
			ctl_error("out of memory");
			r = CTL_FAILED;
		} else {
			qsort(m.samples, m.n, sizeof(*m.samples), by_family);
			if (ctl->json)
				r = print_json(&m);
			else
				print_text(&m);
		}
	}
	tdestroy(m.names, free);
	free_samples(&m);
	rpc_close(rpc);
	return r;
}
