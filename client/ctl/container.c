// SPDX-License-Identifier: GPL-2.0-or-later
/* svadctl container list, and what the container commands share */
#include "container.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../daemon/config.h"
#include "json.h"
#include "names.h"
#include "table.h"
#include "units.h"

/* ---- one of them ---- */

void container_free(Svad__V1__Container *container)
{
	if (container)
		svad__v1__container__free_unpacked(container, NULL);
}

/* An answer lives until the next call; a container that is looked at longer is packed and unpacked. */
static Svad__V1__Container *copy_of(const Svad__V1__Container *c)
{
	size_t size = svad__v1__container__get_packed_size(c);
	Svad__V1__Container *copy = NULL;
	uint8_t *bytes = malloc(size ? size : 1);

	if (bytes) {
		svad__v1__container__pack(c, bytes);
		copy = svad__v1__container__unpack(NULL, size, bytes);
	}
	free(bytes);
	return copy;
}

/* Of several of one id (one lives, others are remembered) the one that lives, else the latest. */
static const Svad__V1__Container *best_of(const Svad__V1__ListContainersReply *reply)
{
	const Svad__V1__Container *best = NULL;

	for (size_t i = 0; i < reply->n_containers; i++) {
		const Svad__V1__Container *c = reply->containers[i];
		bool gone = c->state == SVAD__V1__CONTAINER_STATE__CONTAINER_REMOVED;
		bool best_gone = best && best->state == SVAD__V1__CONTAINER_STATE__CONTAINER_REMOVED;

		if (!best || (best_gone && !gone) || (best_gone == gone && c->id > best->id))
			best = c;
	}
	return best;
}

/* CTL_OK and *ret, NULL: no such container; else it has been complained about. */
static int ask(const struct ctl *ctl, struct rpc *rpc, const char *id, bool timeline, bool removed,
	       Svad__V1__Container **ret)
{
	Svad__V1__ListContainers body = SVAD__V1__LIST_CONTAINERS__INIT;
	rpc_request req = SVAD__V1__REQUEST__INIT;
	const Svad__V1__Container *best;
	const rpc_reply *reply;
	uint64_t sent;
	int r;

	*ret = NULL;
	body.only = (char *)id;
	body.removed = removed;
	body.timeline = timeline;
	req.body_case = SVAD__V1__REQUEST__BODY_LIST_CONTAINERS;
	req.list_containers = &body;
	r = rpc_send(rpc, &req, &sent);
	if (!r)
		r = rpc_wait(rpc, ctl->timeout_ms, &reply);
	if (r)
		return r;
	if (reply->status && reply->status->code == SVAD_NOT_FOUND)
		return CTL_OK;
	r = rpc_check(rpc, reply);
	if (r)
		return r;
	if (reply->id != sent || reply->body_case != SVAD__V1__REPLY__BODY_LIST_CONTAINERS) {
		ctl_error("svad's answer is of another kind than the request: are svad and svadctl of one "
			  "version?");
		return CTL_FAILED;
	}
	best = best_of(reply->list_containers);
	if (!best)
		return CTL_OK;
	*ret = copy_of(best);
	if (*ret)
		return CTL_OK;
	ctl_error("out of memory");
	return CTL_FAILED;
}

int container_get(const struct ctl *ctl, struct rpc *rpc, const char *id, bool timeline,
		  Svad__V1__Container **ret)
{
	int r;

	if (!*id)
		return ctl_usage(ctl, "the container's id is empty");
	r = ask(ctl, rpc, id, timeline, false, ret);
	if (!r && !*ret)
		r = ask(ctl, rpc, id, timeline, true, ret);
	if (!r && !*ret) {
		ctl_error("svad knows no container %s, and remembers none: see svadctl container list "
			  "--removed",
			  id);
		r = CTL_FAILED;
	}
	return r;
}

int container_get_whole(const struct ctl *ctl, struct rpc *rpc, const char *id, Svad__V1__Container **ret)
{
	int r = container_get(ctl, rpc, id, false, ret);
	bool whole = false;

	if (r)
		return r;
	for (size_t i = 0; i < (*ret)->n_attachments; i++)
		whole |= !strcmp((*ret)->attachments[i]->container_id, id);
	if (whole || !strcmp((*ret)->name, id))
		return CTL_OK;
	ctl_error("%s is only the beginning of container %s: to end it, write its id in full", id,
		  (*ret)->name);
	container_free(*ret);
	*ret = NULL;
	return CTL_FAILED;
}

/* ---- arguments ---- */

char *container_runtime_path(const struct ctl *ctl, const char *name, char *buf, size_t size)
{
	const char *env = getenv("SVAD_ADMIN_SOCKET"), *slash, *socket;
	struct config_errors errors = { 0 };
	struct config *config = NULL;
	char path[4096];

	/* Who names a socket means the svad behind it; else the machine's settings say where things are. */
	if (!ctl->socket && !(env && *env) && config_load(NULL, &config, &errors) >= 0) {
		const char *set = !strcmp(name, "state")	? config->containers_state_dir
				  : !strcmp(name, "containers") ? config->containers_socket_dir
								: NULL;

		if (set)
			snprintf(buf, size, "%s", set);
		config_errors_clear(&errors);
		config_free(config);
		if (set)
			return buf;
	} else {
		config_errors_clear(&errors);
		config_free(config);
	}
	socket = rpc_socket_path(ctl, path, sizeof(path));
	slash = strrchr(socket, '/');
	snprintf(buf, size, "%.*s/%s", slash ? (int)(slash - socket) : 1, slash ? socket : ".", name);
	return buf;
}

int container_split(char *list, char **pieces, int max)
{
	char *save = NULL;
	int n = 0;

	for (char *p = strtok_r(list, ",", &save); p; p = strtok_r(NULL, ",", &save)) {
		p += strspn(p, " ");
		p[strcspn(p, " ")] = 0;
		if (!*p)
			continue;
		if (n == max)
			return -1;
		pieces[n++] = p;
	}
	return n;
}

bool container_limits(const char *text, Svad__V1__ContainerLimits *limits, char *why, size_t size)
{
	char copy[256], *pieces[8];
	int n;

	snprintf(copy, sizeof(copy), "%s", text);
	n = strlen(text) < sizeof(copy) ? container_split(copy, pieces, 8) : -1;
	if (n < 1) {
		snprintf(why, size, "write bonds=N,connections=N,requests=N,deadline=TIME, or some of them");
		return false;
	}
	for (int i = 0; i < n; i++) {
		char *value = strchr(pieces[i], '=');
		uint64_t v = 0;
		bool good = value;

		if (value)
			*value++ = 0;
		if (good && !strcmp(pieces[i], "deadline")) {
			good = ctl_duration_ms(value, &limits->drain_deadline_ms) &&
			       limits->drain_deadline_ms;
		} else if (good) {
			good = ctl_u64(value, &v) && v && v <= UINT32_MAX;
			if (!strcmp(pieces[i], "bonds"))
				limits->bonds = (uint32_t)v;
			else if (!strcmp(pieces[i], "connections"))
				limits->connections = (uint32_t)v;
			else if (!strcmp(pieces[i], "requests"))
				limits->requests_per_second = (uint32_t)v;
			else
				good = false;
		}
		if (good)
			continue;
		snprintf(why, size,
			 "\"%s%s%s\" is none of bonds=N, connections=N, requests=N (a second), "
			 "deadline=TIME; N "
			 "begins at 1",
			 pieces[i], value ? "=" : "", value ? value : "");
		return false;
	}
	return true;
}

/* ---- list ---- */

static const struct table_column columns[] = {
	{ "CONTAINER", false, 12, 0 }, { "POD", false, 12, 7 },	      { "NETWORKS", false, 8, 6 },
	{ "STATE", false, 0, 0 },      { "CLIENTS", true, 0, 4 },     { "BONDS", true, 0, 0 },
	{ "DRAINING", true, 0, 2 },    { "QUARANTINED", true, 0, 1 }, { "FAULTS", true, 0, 9 },
	{ "REFUSED", true, 0, 8 },     { "BY", false, 0, 10 },	      { "AGE", true, 0, 5 },
};
#define POD_COLUMN 1

struct list {
	struct table *table;
	json_t *json;
};

static void networks(const Svad__V1__Container *c, char *buf, size_t size)
{
	size_t used = 0;

	snprintf(buf, size, "-");
	for (size_t i = 0; i < c->n_attachments; i++) {
		const Svad__V1__Attachment *a = c->attachments[i];
		int n = snprintf(buf + used, size - used, "%s%s%s%s", used ? " " : "", a->network,
				 *a->ifname ? ":" : "", a->ifname);

		if (n < 0 || (size_t)n >= size - used)
			return;
		used += (size_t)n;
	}
}

static int item(void *userdata, const Svad__V1__Container *c)
{
	struct list *l = userdata;
	char age[UNITS_MAX], text[256];

	if (l->json) {
		json_array_append_new(l->json, json_container(c));
		return CTL_OK;
	}
	table_cell(l->table, STYLE_NONE, "%s", c->name);
	if (*c->pod_name)
		table_cell(l->table, STYLE_NONE, "%s/%s", c->pod_namespace, c->pod_name);
	else
		table_cell(l->table, STYLE_NONE, "-");
	networks(c, text, sizeof(text));
	table_cell(l->table, STYLE_NONE, "%s", text);
	table_cell(l->table, style_container_state(c->state), "%s", name_container_state(c->state));
	table_cell(l->table, STYLE_NONE, "%u", c->clients);
	if (c->limits && c->limits->bonds)
		table_cell(l->table, STYLE_NONE, "%u/%u", c->bonds, c->limits->bonds);
	else
		table_cell(l->table, STYLE_NONE, "%u", c->bonds);
	table_cell(l->table, c->draining ? STYLE_YELLOW : STYLE_NONE, "%u", c->draining);
	table_cell(l->table, c->quarantined ? STYLE_RED : STYLE_NONE, "%u", c->quarantined);
	table_cell(l->table, c->faults ? STYLE_YELLOW : STYLE_NONE, "%llu", (unsigned long long)c->faults);
	table_cell(l->table, c->refused ? STYLE_YELLOW : STYLE_NONE, "%llu", (unsigned long long)c->refused);
	table_cell(l->table, STYLE_NONE, "%s", *c->by ? c->by : "-");
	table_cell(l->table, STYLE_NONE, "%s", units_ns(c->age_ns, age));
	return CTL_OK;
}

int cmd_container_list(struct ctl *ctl, int argc, char **argv)
{
	Svad__V1__ListContainers filter = SVAD__V1__LIST_CONTAINERS__INIT;
	const char *network = NULL;
	bool removed = false;
	const struct ctl_option options[] = {
		{ "removed", 0, NULL, "those too that were removed, as far as svad remembers", &removed,
		  NULL },
		{ "network", 0, "NAME", "only those attached to this network", NULL, &network },
		CTL_OPTIONS_END,
	};
	struct list l = { NULL, NULL };
	struct rpc *rpc;
	unsigned width, height;
	int r;

	r = ctl_parse(ctl, argc, argv, options, NULL, 0, 0);
	if (r != CTL_GO)
		return r;
	if (network && !*network)
		return ctl_usage(ctl, "--network: the name is empty");
	if (network)
		filter.network = (char *)network;
	filter.removed = removed;
	r = rpc_open(ctl, &rpc);
	if (r)
		return r;
	if (ctl->json)
		l.json = json_array();
	else if (table_new(columns, sizeof(columns) / sizeof(columns[0]), &l.table))
		r = CTL_FAILED;
	else
		table_optional(l.table, POD_COLUMN);
	if (!r)
		r = rpc_containers(rpc, &filter, item, &l);
	rpc_close(rpc);
	if (r) {
		json_decref(l.json);
	} else if (l.json) {
		r = json_print(l.json, false);
	} else if (!table_rows(l.table)) {
		printf(network ? "No containers on this network.\n" : "No containers.\n");
	} else {
		term_size(&width, &height);
		r = table_print(l.table, stdout, width, 0, "\n") ? CTL_FAILED : CTL_OK;
	}
	table_free(l.table);
	return r;
}
