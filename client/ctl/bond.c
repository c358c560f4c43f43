// SPDX-License-Identifier: GPL-2.0-or-later
/* svadctl bond list | show | revoke */
#include <stdio.h>
#include <string.h>

#include "bond.h"
#include "container.h"
#include "ctl.h"
#include "json.h"
#include "names.h"
#include "table.h"
#include "units.h"

static const struct table_column columns[] = {
	{ "ID", true, 0, 0 },	    { "DEVICE", false, 8, 0 },	    { "PASID", true, 0, 0 },
	{ "STATE", false, 0, 0 },   { "CAUSE", false, 8, 5 },	    { "CLIENT", true, 0, 3 },
	{ "PID", true, 0, 0 },	    { "UID", true, 0, 4 },	    { "COMM", false, 6, 2 },
	{ "REFS", true, 0, 8 },	    { "FAULTS", true, 0, 7 },	    { "AGE", true, 0, 9 },
	{ "DRAINING", true, 0, 6 }, { "CONTAINER", false, 12, 10 },
};
#define CONTAINER_COLUMN 13

struct list {
	struct table *table;
	json_t *json;
	const char *container; /* only this one's; NULL: every bond */
};

static int list_item(void *userdata, const Svad__V1__Bond *b)
{
	struct list *l = userdata;
	char age[UNITS_MAX], draining[UNITS_MAX];

	if (l->container && strcmp(b->container, l->container))
		return CTL_OK;
	if (l->json) {
		json_array_append_new(l->json, json_bond(b));
		return CTL_OK;
	}
	table_cell(l->table, STYLE_NONE, "%llu", (unsigned long long)b->id);
	table_cell(l->table, STYLE_NONE, "%s", b->device);
	table_cell(l->table, STYLE_NONE, "%u", b->pasid);
	table_cell(l->table, style_state(b->state), "%s", name_state(b->state));
	table_cell(l->table, STYLE_NONE, "%s", b->cause ? name_cause(b->cause) : "-");
	table_cell(l->table, STYLE_NONE, "%llu", (unsigned long long)b->client);
	table_cell(l->table, STYLE_NONE, "%d", b->pid);
	table_cell(l->table, STYLE_NONE, "%u", b->uid);
	table_cell(l->table, STYLE_NONE, "%s", b->comm);
	table_cell(l->table, STYLE_NONE, "%u", b->references);
	table_cell(l->table, b->faults ? STYLE_YELLOW : STYLE_NONE, "%llu", (unsigned long long)b->faults);
	table_cell(l->table, STYLE_NONE, "%s", units_ns(b->age_ns, age));
	table_cell(l->table, STYLE_NONE, "%s", b->draining_ns ? units_ns(b->draining_ns, draining) : "-");
	table_cell(l->table, STYLE_NONE, "%s", *b->container && !l->container ? b->container : "-");
	return CTL_OK;
}

int bond_list_gather(struct rpc *rpc, bool json, Svad__V1__AdminListBonds *filter, const char *container,
		     struct table **ret_table, json_t **ret_json)
{
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
	r = rpc_bonds(rpc, filter, list_item, &l);
	if (r) {
		json_decref(l.json);
		table_free(l.table);
		return r;
	}
	*ret_table = l.table;
	*ret_json = l.json;
	return CTL_OK;
}

int bond_list(struct ctl *ctl, Svad__V1__AdminListBonds *filter, const char *container, const char *none)
{
	struct list l = { NULL, NULL, NULL };
	Svad__V1__Container *only = NULL;
	struct rpc *rpc;
	unsigned width, height;
	int r;

	r = rpc_open(ctl, &rpc);
	if (r)
		return r;
	if (container)
		r = container_get(ctl, rpc, container, false, &only);
	if (!r)
		r = bond_list_gather(rpc, ctl->json, filter, only ? only->name : NULL, &l.table, &l.json);
	container_free(only);
	rpc_close(rpc);
	if (r)
		return r;
	if (l.json) {
		r = json_print(l.json, false);
	} else if (!table_rows(l.table)) {
		printf("%s\n", none);
	} else {
		term_size(&width, &height);
		r = table_print(l.table, stdout, width, 0, "\n") ? CTL_FAILED : CTL_OK;
	}
	table_free(l.table);
	return r;
}

int cmd_bond_list(struct ctl *ctl, int argc, char **argv)
{
	Svad__V1__AdminListBonds filter = SVAD__V1__ADMIN_LIST_BONDS__INIT;
	const char *client = NULL, *device = NULL, *container = NULL;
	const struct ctl_option options[] = {
		{ "client", 0, "ID", "only this client's", NULL, &client },
		{ "device", 0, "NAME", "only this device's", NULL, &device },
		{ "container", 0, "ID", "only this container's (or the beginning of its id)", NULL,
		  &container },
		CTL_OPTIONS_END,
	};
	int r;

	r = ctl_parse(ctl, argc, argv, options, NULL, 0, 0);
	if (r != CTL_GO)
		return r;
	if (client && (!ctl_u64(client, &filter.client) || !filter.client))
		return ctl_usage(ctl, "--client: \"%s\" is no client's id; see svadctl client list", client);
	if (device)
		filter.device = (char *)device;
	return bond_list(ctl, &filter, container, "No bonds.");
}

/* ---- show ---- */

struct show {
	bool json, found;
	int r;
};

static int show_item(void *userdata, const Svad__V1__Bond *b)
{
	struct show *s = userdata;
	char age[UNITS_MAX], draining[UNITS_MAX];

	s->found = true;
	if (s->json) {
		s->r = json_print(json_bond(b), false);
		return CTL_OK;
	}
	printf("%sbond %llu%s  %s%s%s\n", style_on(STYLE_BOLD), (unsigned long long)b->id,
	       style_off(STYLE_BOLD), style_on(style_state(b->state)), name_state(b->state),
	       style_off(style_state(b->state)));
	printf("Device      %s (id %u)\n", b->device, b->device_id);
	printf("PASID       %u%s\n", b->pasid,
	       b->state == SVAD__V1__PASID_STATE__PASID_QUARANTINED
		       ? ", withheld until the device has stopped or was reset"
		       : "");
	printf("Client      %llu: pid %d (%s), uid %u\n", (unsigned long long)b->client, b->pid, b->comm,
	       b->uid);
	if (*b->container)
		printf("Container   %s\n", b->container);
	printf("References  %u\n", b->references);
	printf("Faults      %llu\n", (unsigned long long)b->faults);
	printf("Bound       %s ago\n", units_ns(b->age_ns, age));
	if (b->cause)
		printf("Ends for    %s\n", name_cause(b->cause));
	if (b->draining_ns)
		printf("Draining    since %s\n", units_ns(b->draining_ns, draining));
	if (b->state == SVAD__V1__PASID_STATE__PASID_QUARANTINED)
		printf("What to do  svadctl quarantine release %llu   asks the device once more to stop\n"
		       "            svadctl device reset %s\n",
		       (unsigned long long)b->id, b->device);
	return CTL_OK;
}

int cmd_bond_show(struct ctl *ctl, int argc, char **argv)
{
	Svad__V1__AdminListBonds filter = SVAD__V1__ADMIN_LIST_BONDS__INIT;
	struct show s = { 0 };
	const char *id;
	struct rpc *rpc;
	int r;

	r = ctl_parse(ctl, argc, argv, NULL, &id, 1, 1);
	if (r != CTL_GO)
		return r;
	if (!ctl_u64(id, &filter.only) || !filter.only)
		return ctl_usage(ctl, "\"%s\" is no bond's id; see svadctl bond list", id);
	r = rpc_open(ctl, &rpc);
	if (r)
		return r;
	s.json = ctl->json;
	r = rpc_bonds(rpc, &filter, show_item, &s);
	rpc_close(rpc);
	if (!r && !s.found) {
		ctl_error("there is no bond %s: it has ended, or never was. See svadctl bond list", id);
		r = CTL_FAILED;
	}
	return r ? r : s.r;
}

/* ---- revoke ---- */

void revoke_times(const struct ctl *ctl, uint32_t *ret_daemon_ms, int *ret_wait_ms)
{
	if (ctl->timeout_given) {
		*ret_daemon_ms = (uint32_t)ctl->timeout_ms;
		*ret_wait_ms = ctl->timeout_ms + 1000;
	} else {
		/* The daemon waits for the slowest device's deadline and a second; a deadline is at most a
		 * day, ours is an hour. */
		*ret_daemon_ms = 0;
		*ret_wait_ms = 3600 * 1000;
	}
}

int revoke_result(const struct ctl *ctl, const Svad__V1__RevokeReply *reply, const char *what)
{
	char slowest[UNITS_MAX];
	int r = CTL_OK;

	if (ctl->json) {
		json_t *o = json_object();

		json_add_u64(o, "ended", reply->ended);
		json_add_u64(o, "clean", reply->clean);
		json_add_u64(o, "quarantined", reply->quarantined);
		json_add_u64(o, "pending", reply->pending);
		json_add_u64(o, "slowest_ns", reply->slowest_ns);
		r = json_print(o, false);
	} else if (!reply->ended && !reply->pending && !reply->quarantined && !reply->clean) {
		printf("%s: nothing to end\n", what);
	} else {
		printf("%s: %u CLEAN, %u QUARANTINED, %u not done", what, reply->clean, reply->quarantined,
		       reply->pending);
		if (reply->slowest_ns)
			printf("; the slowest took %s", units_ns(reply->slowest_ns, slowest));
		printf("\n");
		if (reply->quarantined)
			printf("Quarantined PASIDs stay withheld: svadctl quarantine list\n");
		if (reply->pending)
			printf("What is not done goes on by itself until the device's deadline: svadctl bond "
			       "list\n");
	}
	if (r)
		return r;
	return reply->quarantined || reply->pending ? CTL_REMAINS : CTL_OK;
}

int cmd_bond_revoke(struct ctl *ctl, int argc, char **argv)
{
	Svad__V1__Revoke revoke = SVAD__V1__REVOKE__INIT;
	rpc_request req = SVAD__V1__REQUEST__INIT;
	const rpc_reply *reply;
	const char *id;
	char what[48];
	struct rpc *rpc;
	int r, wait_ms;

	r = ctl_parse(ctl, argc, argv, NULL, &id, 1, 1);
	if (r != CTL_GO)
		return r;
	if (!ctl_u64(id, &revoke.bond) || !revoke.bond)
		return ctl_usage(ctl, "\"%s\" is no bond's id; see svadctl bond list", id);
	revoke_times(ctl, &revoke.timeout_ms, &wait_ms);
	r = rpc_open(ctl, &rpc);
	if (r)
		return r;
	req.body_case = SVAD__V1__REQUEST__BODY_REVOKE;
	req.revoke = &revoke;
	r = rpc_call_timeout(rpc, &req, wait_ms, &reply);
	/* Out of time, with the counts so far: a result as well. */
	if (!r || (reply && reply->body_case == SVAD__V1__REPLY__BODY_REVOKE)) {
		snprintf(what, sizeof(what), "bond %llu", (unsigned long long)revoke.bond);
		r = revoke_result(ctl, reply->revoke, what);
	}
	rpc_close(rpc);
	return r;
}
