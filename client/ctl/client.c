// SPDX-License-Identifier: GPL-2.0-or-later
/* svadctl client list */
#include <stdio.h>
#include <string.h>

#include "client.h"
#include "container.h"
#include "ctl.h"
#include "json.h"
#include "names.h"
#include "rpc.h"
#include "table.h"
#include "units.h"

static const struct table_column columns[] = {
	{ "ID", true, 0, 0 },	      { "PID", true, 0, 0 },	      { "UID", true, 0, 0 },
	{ "COMM", false, 8, 0 },      { "PROGRAM", false, 8, 5 },     { "BONDS", true, 0, 0 },
	{ "DRAINING", true, 0, 3 },   { "QUARANTINED", true, 0, 2 },  { "FAULTS", true, 0, 4 },
	{ "ERRORS", true, 0, 6 },     { "REQUESTS", true, 0, 7 },     { "AGE", true, 0, 8 },
	{ "CONNECTED", false, 0, 9 }, { "CONTAINER", false, 12, 10 },
};
#define CONTAINER_COLUMN 13

struct list {
	struct table *table;
	json_t *json;
	const char *container; /* only this one's; NULL: every client */
};

static int item(void *userdata, const Svad__V1__Client *c)
{
	struct list *l = userdata;
	char age[UNITS_MAX];

	if (l->container && strcmp(c->container, l->container))
		return CTL_OK;
	if (l->json) {
		json_array_append_new(l->json, json_client(c));
		return CTL_OK;
	}
	table_cell(l->table, STYLE_NONE, "%llu", (unsigned long long)c->id);
	table_cell(l->table, STYLE_NONE, "%d", c->pid);
	table_cell(l->table, STYLE_NONE, "%u", c->uid);
	table_cell(l->table, STYLE_NONE, "%s", c->comm);
	table_cell(l->table, STYLE_NONE, "%s", c->program);
	if (c->max_bonds)
		table_cell(l->table, STYLE_NONE, "%u/%u", c->bonds, c->max_bonds);
	else
		table_cell(l->table, STYLE_NONE, "%u", c->bonds);
	table_cell(l->table, c->draining ? STYLE_YELLOW : STYLE_NONE, "%u", c->draining);
	table_cell(l->table, c->quarantined ? STYLE_RED : STYLE_NONE, "%u", c->quarantined);
	table_cell(l->table, STYLE_NONE, "%llu", (unsigned long long)c->faults);
	table_cell(l->table, STYLE_NONE, "%llu", (unsigned long long)c->errors);
	table_cell(l->table, STYLE_NONE, "%llu", (unsigned long long)c->requests);
	table_cell(l->table, STYLE_NONE, "%s", units_ns(c->age_ns, age));
	table_cell(l->table, c->connected ? STYLE_NONE : STYLE_YELLOW, "%s", c->connected ? "yes" : "no");
	table_cell(l->table, STYLE_NONE, "%s", *c->container && !l->container ? c->container : "-");
	return CTL_OK;
}

int client_list_gather(struct rpc *rpc, bool json, const char *container, struct table **ret_table,
		       json_t **ret_json)
{
	Svad__V1__ListClients filter = SVAD__V1__LIST_CLIENTS__INIT;
	struct list l = { NULL, NULL, container };
	int r;

	*ret_table = NULL;
	*ret_json = NULL;
	if (json) {
		l.json = json_array();
	} else {
		if (table_new(columns, sizeof(columns) / sizeof(columns[0]), &l.table))
			return CTL_FAILED;
		table_optional(l.table, CONTAINER_COLUMN);
	}
	r = rpc_clients(rpc, &filter, item, &l);
	if (r) {
		json_decref(l.json);
		table_free(l.table);
		return r;
	}
	*ret_table = l.table;
	*ret_json = l.json;
	return CTL_OK;
}

int cmd_client_list(struct ctl *ctl, int argc, char **argv)
{
	Svad__V1__Container *only = NULL;
	const char *container = NULL;
	const struct ctl_option options[] = {
		{ "container", 0, "ID", "only this container's (or the beginning of its id)", NULL,
		  &container },
		CTL_OPTIONS_END,
	};
	struct table *table = NULL;
	json_t *json = NULL;
	struct rpc *rpc;
	unsigned width, height;
	int r;

	r = ctl_parse(ctl, argc, argv, options, NULL, 0, 0);
	if (r != CTL_GO)
		return r;
	r = rpc_open(ctl, &rpc);
	if (r)
		return r;
	if (container)
		r = container_get(ctl, rpc, container, false, &only);
	if (!r)
		r = client_list_gather(rpc, ctl->json, only ? only->name : NULL, &table, &json);
	container_free(only);
	rpc_close(rpc);
	if (r)
		return r;
	if (json) {
		r = json_print(json, false);
	} else if (!table_rows(table)) {
		printf("No clients.\n");
	} else {
		term_size(&width, &height);
		r = table_print(table, stdout, width, 0, "\n") ? CTL_FAILED : CTL_OK;
	}
	table_free(table);
	return r;
}
