// SPDX-License-Identifier: GPL-2.0-or-later
/* svadctl container show: who it is, what it may and does, and how it ended */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bond.h"
#include "cgroup.h"
#include "client.h"
#include "container.h"
#include "ctl.h"
#include "json.h"
#include "names.h"
#include "units.h"

#define LABEL "%-12s"

/* ---- who ---- */

static void show_identity(const Svad__V1__Container *c)
{
	enum style style = style_container_state(c->state);
	char age[UNITS_MAX];

	printf("%scontainer %s%s  %s%s%s\n", style_on(STYLE_BOLD), c->name, style_off(STYLE_BOLD),
	       style_on(style), name_container_state(c->state), style_off(style));
	if (*c->pod_name)
		printf(LABEL "%s/%s%s%s\n", "Pod", c->pod_namespace, c->pod_name, *c->pod_uid ? ", uid " : "",
		       c->pod_uid);
	for (size_t i = 0; i < c->n_attachments; i++) {
		const Svad__V1__Attachment *a = c->attachments[i];

		printf(LABEL "network %s%s%s%s%s\n", i ? "" : "Attachments", a->network,
		       *a->ifname ? ", interface " : "", a->ifname,
		       strcmp(a->container_id, c->name) ? ", as " : "",
		       strcmp(a->container_id, c->name) ? a->container_id : "");
	}
	printf(LABEL "%s ago%s%s\n", "Registered", units_ns(c->age_ns, age), *c->by ? " by " : "", c->by);
	printf(LABEL "cookie %llu, inode %llu%s%s\n", "Netns", (unsigned long long)c->netns_cookie,
	       (unsigned long long)c->netns_inode, *c->netns_path ? ", " : "", c->netns_path);
	if (c->pid)
		printf(LABEL "%d\n", "First pid", c->pid);
}

static void cgroups_of(const Svad__V1__Container *c, char **paths)
{
	const char *root = NULL;
	struct machine m;

	for (size_t i = 0; i < c->n_cgroup_ids; i++)
		paths[i] = NULL;
	if (machine_here(&m))
		cgroup_layout(&m, &root);
	if (root)
		cgroup_paths(&m, root, c->cgroup_ids, c->n_cgroup_ids, paths);
}

static void show_cgroups(const Svad__V1__Container *c, char **paths)
{
	char clean[4096];

	for (size_t i = 0; i < c->n_cgroup_ids; i++)
		if (paths[i])
			printf(LABEL "%s\n", i ? "" : "Cgroups", text_clean(paths[i], clean, sizeof(clean)));
		else
			printf(LABEL "id %llu, gone\n", i ? "" : "Cgroups",
			       (unsigned long long)c->cgroup_ids[i]);
}

/* ---- what it may, and does ---- */

static void show_limit(const char *label, uint32_t have, uint32_t limit, const char *unit)
{
	if (limit)
		printf(LABEL "%u of %u%s\n", label, have, limit, unit);
	else
		printf(LABEL "%u%s\n", label, have, unit);
}

static void show_charges(const Svad__V1__Container *c)
{
	static const Svad__V1__ContainerLimits none = SVAD__V1__CONTAINER_LIMITS__INIT;
	const Svad__V1__ContainerLimits *l = c->limits ? c->limits : &none;
	char time[UNITS_MAX];

	printf(LABEL, "Devices");
	for (size_t i = 0; i < c->n_devices; i++)
		printf("%s%s", i ? " " : "", c->devices[i]);
	printf(c->n_devices ? "\n" : "whatever policy allows\n");
	printf(LABEL "%s\n", "Policy", *c->policy ? c->policy : "none applies");
	show_limit("Bonds", c->bonds, l->bonds, "");
	if (c->draining)
		printf(LABEL "%s%u%s\n", "Draining", style_on(STYLE_YELLOW), c->draining,
		       style_off(STYLE_YELLOW));
	if (c->quarantined)
		printf(LABEL "%s%u%s, see svadctl quarantine list --container %s\n", "Quarantined",
		       style_on(STYLE_RED), c->quarantined, style_off(STYLE_RED), c->name);
	show_limit("Connections", c->connections, l->connections, "");
	printf(LABEL "%llu", "Requests", (unsigned long long)c->requests);
	if (l->requests_per_second)
		printf(", at most %u a second", l->requests_per_second);
	printf("\n");
	if (l->drain_deadline_ms)
		printf(LABEL "%s, or the device's where that is shorter\n", "Deadline",
		       units_ns((uint64_t)l->drain_deadline_ms * 1000000u, time));
	if (c->faults)
		printf(LABEL "%s%llu%s\n", "Faults", style_on(STYLE_YELLOW), (unsigned long long)c->faults,
		       style_off(STYLE_YELLOW));
	if (c->refused)
		printf(LABEL
		       "%s%llu%s requests and connections; why: svadctl watch --container %s, or svad's "
		       "log\n",
		       "Refused", style_on(STYLE_YELLOW), (unsigned long long)c->refused,
		       style_off(STYLE_YELLOW), c->name);
}

static int show_table(const char *title, struct table *table)
{
	unsigned width, height;
	int r = CTL_OK;

	if (table_rows(table)) {
		term_size(&width, &height);
		printf("\n%s%s%s\n", style_on(STYLE_BOLD), title, style_off(STYLE_BOLD));
		r = table_print(table, stdout, width, 0, "\n") ? CTL_FAILED : CTL_OK;
	}
	table_free(table);
	return r;
}

/* ---- the timeline ---- */

static char *relative(uint64_t ns, uint64_t zero, char buf[UNITS_MAX + 2])
{
	char text[UNITS_MAX];

	snprintf(buf, UNITS_MAX + 2, "%c%s", ns < zero ? '-' : '+',
		 units_ns(ns < zero ? zero - ns : ns - zero, text));
	return buf;
}

/* Its text is who did it. */
static bool is_by(const Svad__V1__TimelineEntry *e)
{
	return e->kind == SVAD__V1__TIMELINE_KIND__TIMELINE_REGISTERED ||
	       e->kind == SVAD__V1__TIMELINE_KIND__TIMELINE_REMOVE_ASKED;
}

static void say(const Svad__V1__TimelineEntry *e)
{
	const Svad__V1__BondEnd *b = e->bond;
	char took[UNITS_MAX];

	if (b) {
		enum style style = style_state(b->state);

		printf("bond %llu on %s, PASID %u", (unsigned long long)b->bond, b->device, b->pasid);
		if (b->pid)
			printf(", pid %d", b->pid);
		printf(": %s%s%s after %s", style_on(style), name_state(b->state), style_off(style),
		       units_ns(b->duration_ns, took));
		if (b->cause)
			printf(", %s", name_cause(b->cause));
		if (e->kind != SVAD__V1__TIMELINE_KIND__TIMELINE_BOND_END)
			printf(" (%s)", name_timeline(e->kind));
	} else {
		printf("%s", name_timeline(e->kind));
		if (e->attachment)
			printf(", network %s%s%s", e->attachment->network,
			       *e->attachment->ifname ? ", interface " : "", e->attachment->ifname);
		if (e->client)
			printf(", client %llu", (unsigned long long)e->client);
		if (e->pid)
			printf(", pid %d", e->pid);
	}
	if (*e->text)
		printf("%s%s", is_by(e) ? " by " : ": ", e->text);
	printf("\n");
}

/* What people want to know first is what happened after the end was asked for: that moment is 0. */
static const Svad__V1__TimelineEntry *zero_of(const Svad__V1__Container *c)
{
	const Svad__V1__TimelineEntry *zero = NULL;

	for (size_t i = 0; i < c->n_timeline; i++)
		if (c->timeline[i]->kind == SVAD__V1__TIMELINE_KIND__TIMELINE_REMOVE_ASKED ||
		    (c->timeline[i]->kind == SVAD__V1__TIMELINE_KIND__TIMELINE_REGISTERED && !zero))
			zero = c->timeline[i];
	return zero ? zero : c->n_timeline ? c->timeline[0] : NULL;
}

static void show_timeline(const Svad__V1__Container *c)
{
	const Svad__V1__TimelineEntry *zero = zero_of(c);
	char at[UNITS_MAX + 2], clock[32];
	time_t s;
	struct tm tm;

	if (!zero)
		return;
	s = (time_t)(zero->realtime_ns / 1000000000);
	if (!localtime_r(&s, &tm) || !strftime(clock, sizeof(clock), "%Y-%m-%d %H:%M:%S", &tm))
		snprintf(clock, sizeof(clock), "an unknown time");
	printf("\n%sTimeline%s, counted from %s (%s)\n", style_on(STYLE_BOLD), style_off(STYLE_BOLD), clock,
	       name_timeline(zero->kind));
	for (size_t i = 0; i < c->n_timeline; i++) {
		printf("  %12s  ", relative(c->timeline[i]->monotonic_ns, zero->monotonic_ns, at));
		say(c->timeline[i]);
	}
}

/* ---- all of it ---- */

static int show_json(struct rpc *rpc, const Svad__V1__Container *c, char **paths)
{
	Svad__V1__AdminListBonds filter = SVAD__V1__ADMIN_LIST_BONDS__INIT;
	json_t *o = json_container(c), *cgroups = json_array(), *timeline = json_array(), *list;
	struct table *table;
	char clean[4096];
	int r;

	for (size_t i = 0; i < c->n_cgroup_ids; i++)
		json_array_append_new(cgroups,
				      paths[i] ? json_string(text_clean(paths[i], clean, sizeof(clean)))
					       : json_null());
	json_add(o, "cgroups", cgroups);
	for (size_t i = 0; i < c->n_timeline; i++)
		json_array_append_new(timeline, json_timeline_entry(c->timeline[i]));
	json_add(o, "timeline", timeline);
	r = client_list_gather(rpc, true, c->name, &table, &list);
	if (!r) {
		json_add(o, "client_list", list);
		r = bond_list_gather(rpc, true, &filter, c->name, &table, &list);
	}
	if (r) {
		json_decref(o);
		return r;
	}
	json_add(o, "bond_list", list);
	return json_print(o, false);
}

static int show_text(struct rpc *rpc, const Svad__V1__Container *c, char **paths)
{
	Svad__V1__AdminListBonds filter = SVAD__V1__ADMIN_LIST_BONDS__INIT;
	struct table *table;
	json_t *json;
	int r;

	show_identity(c);
	show_cgroups(c, paths);
	show_charges(c);
	r = client_list_gather(rpc, false, c->name, &table, &json);
	if (!r)
		r = show_table("Clients", table);
	if (!r)
		r = bond_list_gather(rpc, false, &filter, c->name, &table, &json);
	if (!r)
		r = show_table("Bonds", table);
	if (!r)
		show_timeline(c);
	return r;
}

int cmd_container_show(struct ctl *ctl, int argc, char **argv)
{
	Svad__V1__Container *c = NULL;
	char **paths = NULL;
	const char *id;
	struct rpc *rpc;
	int r;

	r = ctl_parse(ctl, argc, argv, NULL, &id, 1, 1);
	if (r != CTL_GO)
		return r;
	r = rpc_open(ctl, &rpc);
	if (r)
		return r;
	r = container_get(ctl, rpc, id, true, &c);
	if (!r) {
		paths = calloc(c->n_cgroup_ids + 1, sizeof(*paths));
		if (!paths) {
			ctl_error("out of memory");
			r = CTL_FAILED;
		}
	}
	if (!r) {
		cgroups_of(c, paths);
		r = ctl->json ? show_json(rpc, c, paths) : show_text(rpc, c, paths);
		for (size_t i = 0; i < c->n_cgroup_ids; i++)
			free(paths[i]);
	}
	free(paths);
	container_free(c);
	rpc_close(rpc);
	return r;
}
