// SPDX-License-Identifier: GPL-2.0-or-later
/* svadctl container remove | reconcile */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../cni/removal_note.h"
#include "bond.h"
#include "container.h"
#include "ctl.h"
#include "json.h"
#include "names.h"
#include "oci.h"
#include "table.h"
#include "units.h"

#define OCI_TIMEOUT_MS 5000

/* All that several requests for one container came to. */
struct sum {
	bool known;
	bool failed; /* svad has complained, beside the result */
	uint32_t ended, clean, quarantined, pending, attachments_left;
	uint64_t slowest_ns;
	json_t *json; /* of the bonds, or a table */
	struct table *table;
};

static const struct table_column columns[] = {
	{ "BOND", true, 0, 0 },	  { "DEVICE", false, 8, 0 }, { "PASID", true, 0, 0 },  { "PID", true, 0, 3 },
	{ "STATE", false, 0, 0 }, { "TOOK", true, 0, 0 },    { "CAUSE", false, 8, 2 },
};

static void add_bond(struct sum *s, const Svad__V1__BondEnd *e)
{
	char took[UNITS_MAX];

	if (s->json) {
		json_array_append_new(s->json, json_bond_end(e));
		return;
	}
	table_cell(s->table, STYLE_NONE, "%llu", (unsigned long long)e->bond);
	table_cell(s->table, STYLE_NONE, "%s", e->device);
	table_cell(s->table, STYLE_NONE, "%u", e->pasid);
	table_cell(s->table, STYLE_NONE, "%d", e->pid);
	table_cell(s->table, style_state(e->state), "%s", name_state(e->state));
	table_cell(s->table, STYLE_NONE, "%s", units_ns(e->duration_ns, took));
	table_cell(s->table, STYLE_NONE, "%s", name_cause(e->cause));
}

static void add(struct sum *s, const Svad__V1__RemoveContainerReply *reply)
{
	s->known |= reply->known;
	s->ended += reply->ended;
	s->clean += reply->clean;
	s->quarantined += reply->quarantined;
	s->pending += reply->pending;
	s->attachments_left = reply->attachments_left;
	if (reply->slowest_ns > s->slowest_ns)
		s->slowest_ns = reply->slowest_ns;
	for (size_t i = 0; i < reply->n_bonds; i++)
		add_bond(s, reply->bonds[i]);
}

/* One request. Out of time with the counts so far is a result as well. */
static int ask(const struct ctl *ctl, struct rpc *rpc, Svad__V1__Attachment *attachment, char *by,
	       struct sum *s)
{
	Svad__V1__RemoveContainer body = SVAD__V1__REMOVE_CONTAINER__INIT;
	rpc_request req = SVAD__V1__REQUEST__INIT;
	const rpc_reply *reply;
	int r, wait_ms;

	revoke_times(ctl, &body.timeout_ms, &wait_ms);
	body.attachment = attachment;
	body.by = by;
	req.body_case = SVAD__V1__REQUEST__BODY_REMOVE_CONTAINER;
	req.remove_container = &body;
	r = rpc_call_timeout(rpc, &req, wait_ms, &reply);
	if (r && !(reply && reply->body_case == SVAD__V1__REPLY__BODY_REMOVE_CONTAINER))
		return r;
	add(s, reply->remove_container);
	/* What has ended has; but that it is removed may not outlast svad, which the complaint says. */
	s->failed |= r && !(reply->status->code == SVAD_DEADLINE_EXCEEDED && reply->remove_container->pending);
	return CTL_OK;
}

static int print_json(const struct sum *s, const char *what, bool before)
{
	json_t *o = json_object();

	json_add_str(o, "container", what);
	json_add_bool(o, "known", s->known);
	json_add_bool(o, "removed_before", before);
	json_add_u64(o, "ended", s->ended);
	json_add_u64(o, "clean", s->clean);
	json_add_u64(o, "quarantined", s->quarantined);
	json_add_u64(o, "pending", s->pending);
	json_add_u64(o, "attachments_left", s->attachments_left);
	json_add_u64(o, "slowest_ns", s->slowest_ns);
	json_add(o, "bonds", json_incref(s->json));
	return json_print(o, false);
}

static int print_text(const struct sum *s, const char *what, bool before)
{
	unsigned width, height, listed = table_rows(s->table);
	char slowest[UNITS_MAX];
	int r = CTL_OK;

	if (listed) {
		term_size(&width, &height);
		r = table_print(s->table, stdout, width, 0, "\n") ? CTL_FAILED : CTL_OK;
		if (s->ended > listed)
			printf("and %u more\n", s->ended - listed);
	}
	printf("%s: %s", what, before ? "it was removed before, " : "");
	if (s->attachments_left)
		printf("it keeps %u other attachment%s, and with %s its bonds\n", s->attachments_left,
		       s->attachments_left == 1 ? "" : "s", s->attachments_left == 1 ? "it" : "them");
	else if (!s->ended && !s->pending && !s->quarantined && !s->clean)
		printf(before ? "and had no bonds\n" : "removed, it had no bonds\n");
	else
		printf("%u CLEAN, %u QUARANTINED, %u not done%s%s\n", s->clean, s->quarantined, s->pending,
		       s->slowest_ns ? "; the slowest took " : "",
		       s->slowest_ns ? units_ns(s->slowest_ns, slowest) : "");
	if (s->quarantined)
		printf("Quarantined PASIDs stay withheld: svadctl quarantine list\n");
	if (s->pending)
		printf("What is not done goes on by itself until the device's deadline: svadctl bond list\n");
	return r;
}

static int sum_new(const struct ctl *ctl, struct sum *s)
{
	if (ctl->json) {
		s->json = json_array();
		return CTL_OK;
	}
	if (!table_new(columns, sizeof(columns) / sizeof(columns[0]), &s->table))
		return CTL_OK;
	ctl_error("out of memory");
	return CTL_FAILED;
}

static int result(const struct ctl *ctl, const struct sum *s, const char *what, bool before)
{
	int r = ctl->json ? print_json(s, what, before) : print_text(s, what, before);

	if (r || s->failed)
		return r ? r : CTL_FAILED;
	return s->quarantined || s->pending ? CTL_REMAINS : CTL_OK;
}

/* By its id: all of its attachments, whatever container ids they are registered with. */
static int remove_whole(const struct ctl *ctl, const char *id)
{
	static char by[] = "svadctl";
	Svad__V1__Container *c = NULL;
	struct sum s = { 0 };
	struct rpc *rpc;
	bool before;
	int r;

	r = rpc_open(ctl, &rpc);
	if (r)
		return r;
	r = container_get_whole(ctl, rpc, id, &c);
	if (!r)
		r = sum_new(ctl, &s);
	before = c && c->state == SVAD__V1__CONTAINER_STATE__CONTAINER_REMOVED;
	if (!r && !c->n_attachments) {
		Svad__V1__Attachment a = SVAD__V1__ATTACHMENT__INIT;

		a.container_id = c->name;
		r = ask(ctl, rpc, &a, by, &s);
	}
	for (size_t i = 0; !r && i < c->n_attachments; i++) {
		Svad__V1__Attachment a = SVAD__V1__ATTACHMENT__INIT;
		bool again = false;

		for (size_t j = 0; j < i && !again; j++)
			again = !strcmp(c->attachments[j]->container_id, c->attachments[i]->container_id);
		a.container_id = c->attachments[i]->container_id;
		if (!again)
			r = ask(ctl, rpc, &a, by, &s);
	}
	if (!r)
		r = result(ctl, &s, c->name, before);
	json_decref(s.json);
	table_free(s.table);
	container_free(c);
	rpc_close(rpc);
	return r;
}

/* NET/ID/IF, NET/ID/ or NET/ID, in place. */
static bool split_attachment(char *text, Svad__V1__Attachment *a)
{
	static char none[] = "";
	char *id = strchr(text, '/'), *ifname;

	if (!id)
		return false;
	*id++ = 0;
	ifname = strchr(id, '/');
	if (ifname)
		*ifname++ = 0;
	a->network = text;
	a->container_id = id;
	a->ifname = ifname ? ifname : none;
	return *text && oci_valid_id(id) && !strchr(a->ifname, '/') && strlen(a->ifname) <= 15;
}

static int remove_attachment(const struct ctl *ctl, const char *key)
{
	static char by[] = "svadctl";
	Svad__V1__Attachment a = SVAD__V1__ATTACHMENT__INIT;
	char copy[640], what[700];
	struct sum s = { 0 };
	struct rpc *rpc = NULL;
	int r;

	snprintf(copy, sizeof(copy), "%s", key);
	if (strlen(key) >= sizeof(copy) || !split_attachment(copy, &a))
		return ctl_usage(ctl,
				 "--attachment: \"%s\" is not NETWORK/ID/INTERFACE; see svadctl container "
				 "list",
				 key);
	r = rpc_open(ctl, &rpc);
	if (r)
		return r;
	r = sum_new(ctl, &s);
	if (!r)
		r = ask(ctl, rpc, &a, by, &s);
	snprintf(what, sizeof(what), "attachment %s", key);
	if (!r && !s.known && !s.ended && !s.pending) {
		ctl_error("svad knows no %s: it was removed, or never was", what);
		r = CTL_FAILED;
	} else if (!r) {
		r = result(ctl, &s, what, !s.known);
	}
	json_decref(s.json);
	table_free(s.table);
	rpc_close(rpc);
	return r;
}

/* ---- as a hook (poststop) ---- */

/* Nobody must wait for ever in a runtime's clean-up, and nothing here may make it fail: what cannot be done
 * now is done by svad itself when it starts, or when it finds the netns dead. */
static int remove_oci(struct ctl *ctl, const char *network, const char *state_dir)
{
	static char by[] = "oci", none[] = "";
	Svad__V1__Attachment a = SVAD__V1__ATTACHMENT__INIT;
	struct oci_state state;
	struct sum s = { 0 };
	struct rpc *rpc = NULL;
	char why[256], dir[4096];
	int r;

	if (!oci_read_state(STDIN_FILENO, &state, why, sizeof(why))) {
		ctl_error(
			"the container's state on stdin cannot be used: %s. Nothing was removed; svad finds "
			"the container's "
			"network namespace dead by itself",
			why);
		return CTL_OK;
	}
	if (!ctl->timeout_given) {
		ctl->timeout_ms = OCI_TIMEOUT_MS;
		ctl->timeout_given = true;
	}
	a.network = (char *)network;
	a.container_id = state.id;
	a.ifname = none;
	r = rpc_open(ctl, &rpc);
	if (!r)
		r = sum_new(ctl, &s);
	if (!r)
		r = ask(ctl, rpc, &a, by, &s);
	if (!r && !s.known && !ctl->json)
		printf("%s: svad knows no such container, nothing to remove\n", state.id);
	else if (!r)
		result(ctl, &s, state.id, false);
	if (r == CTL_UNREACHABLE) {
		if (!state_dir)
			state_dir = container_runtime_path(ctl, "state", dir, sizeof(dir));
		r = removal_note_write(state_dir, network, state.id, "");
		if (r < 0)
			ctl_error(
				"container %s: no note for svad in %s/removed (%s); it finds the container's "
				"network "
				"namespace dead by itself",
				state.id, state_dir, strerror(-r));
		else
			ctl_error("container %s: svad will remove it when it starts: noted in %s/removed",
				  state.id, state_dir);
	}
	json_decref(s.json);
	table_free(s.table);
	rpc_close(rpc);
	return CTL_OK;
}

int cmd_container_remove(struct ctl *ctl, int argc, char **argv)
{
	const char *id, *attachment = NULL, *network = NULL, *state_dir = NULL;
	bool oci = false;
	const struct ctl_option options[] = {
		{ "attachment", 0, "NET/ID/IF", "one attachment only", NULL, &attachment },
		{ "oci", 0, NULL, "as a poststop hook: the id is in the state on stdin; exit code 0 always",
		  &oci, NULL },
		{ "network", 0, "NAME", "with --oci: as registered; default oci", NULL, &network },
		{ "state-dir", 0, "DIR", "with --oci: svad's, for a note where svad is down", NULL,
		  &state_dir },
		CTL_OPTIONS_END,
	};
	int r;

	r = ctl_parse(ctl, argc, argv, options, &id, 0, 1);
	if (r != CTL_GO)
		return r;
	if (!!id + !!attachment + oci != 1)
		return ctl_usage(ctl,
				 "name a container's ID, or --attachment NET/ID/IF, or --oci: one of them");
	if ((network || state_dir) && !oci)
		return ctl_usage(ctl, "--network and --state-dir go with --oci");
	if (network && !oci_valid_id(network))
		return ctl_usage(ctl, "--network: \"%s\" is no name of a network", network);
	if (oci)
		return remove_oci(ctl, network ? network : "oci", state_dir);
	return attachment ? remove_attachment(ctl, attachment) : remove_whole(ctl, id);
}

/* ---- reconcile ---- */

int cmd_container_reconcile(struct ctl *ctl, int argc, char **argv)
{
	Svad__V1__ReconcileContainers body = SVAD__V1__RECONCILE_CONTAINERS__INIT;
	rpc_request req = SVAD__V1__REQUEST__INIT;
	const Svad__V1__ReconcileContainersReply *done;
	const rpc_reply *reply;
	struct rpc *rpc;
	int r;

	r = ctl_parse(ctl, argc, argv, NULL, NULL, 0, 0);
	if (r != CTL_GO)
		return r;
	r = rpc_open(ctl, &rpc);
	if (r)
		return r;
	req.body_case = SVAD__V1__REQUEST__BODY_RECONCILE_CONTAINERS;
	req.reconcile_containers = &body;
	r = rpc_call(rpc, &req, &reply);
	done = r ? NULL : reply->reconcile_containers;
	if (done && ctl->json) {
		json_t *o = json_object(), *names = json_array();

		json_add_u64(o, "looked_at", done->looked_at);
		json_add_u64(o, "removed", done->removed);
		for (size_t i = 0; i < done->n_names; i++)
			json_array_append_new(names, json_string(done->names[i]));
		json_add(o, "names", names);
		r = json_print(o, false);
	} else if (done) {
		for (size_t i = 0; i < done->n_names; i++)
			printf("%s: its network namespace is dead; removed\n", done->names[i]);
		printf("%u container%s looked at, %u removed\n", done->looked_at,
		       done->looked_at == 1 ? "" : "s", done->removed);
	}
	rpc_close(rpc);
	return r;
}
