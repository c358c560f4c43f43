// SPDX-License-Identifier: GPL-2.0-or-later
/* svadctl client list */
#include <stdio.h>

#include "ctl.h"
#include "json.h"
#include "names.h"
#include "rpc.h"
#include "table.h"
#include "units.h"

static const struct table_column columns[] = {
	{ "ID", true, 0, 0 },	      { "PID", true, 0, 0 },	     { "UID", true, 0, 0 },
	{ "COMM", false, 8, 0 },      { "PROGRAM", false, 8, 5 },    { "BONDS", true, 0, 0 },
	{ "DRAINING", true, 0, 3 },   { "QUARANTINED", true, 0, 2 }, { "FAULTS", true, 0, 4 },
	{ "ERRORS", true, 0, 6 },     { "REQUESTS", true, 0, 7 },    { "AGE", true, 0, 8 },
	{ "CONNECTED", false, 0, 9 },
};

struct list {
	struct table *table;
	json_t *json;
};

static int item(void *userdata, const Svad__V1__Client *c)
{
	struct list *l = userdata;
	char age[UNITS_MAX];

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
	return CTL_OK;
}

int cmd_client_list(struct ctl *ctl, int argc, char **argv)
{
	Svad__V1__ListClients filter = SVAD__V1__LIST_CLIENTS__INIT;
	struct list l = { NULL, NULL };
	struct rpc *rpc;
	unsigned width, height;
	int r;

	r = ctl_parse(ctl, argc, argv, NULL, NULL, 0, 0);
	if (r != CTL_GO)
		return r;
	r = rpc_open(ctl, &rpc);
	if (r)
		return r;
	if (ctl->json)
		l.json = json_array();
	else if (table_new(columns, sizeof(columns) / sizeof(columns[0]), &l.table))
		r = CTL_FAILED;
	if (!r)
		r = rpc_clients(rpc, &filter, item, &l);
	rpc_close(rpc);
	if (r) {
		json_decref(l.json);
	} else if (l.json) {
		r = json_print(l.json, false);
	} else if (!table_rows(l.table)) {
		printf("No clients.\n");
	} else {
		term_size(&width, &height);
		r = table_print(l.table, stdout, width, 0, "\n") ? CTL_FAILED : CTL_OK;
	}
	table_free(l.table);
	return r;
}
