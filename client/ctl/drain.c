// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * svadctl drain: one connection asks (Revoke answers when all has ended), a second one watches, so that
 * progress can be shown meanwhile. Without the second one the drain works as well, only silently.
 */
#include <errno.h>
#include <poll.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

#include "bond.h"
#include "container.h"
#include "ctl.h"
#include "json.h"
#include "names.h"
#include "units.h"

struct drain {
	const struct ctl *ctl;
	Svad__V1__Revoke revoke;
	char what[160];
	/* progress */
	unsigned total, clean, quarantined;
	uint64_t began_ns;
	bool live, shown;
};

static bool wanted(const struct drain *d, uint64_t bond, uint64_t client, const char *device, uint32_t uid,
		   const char *container)
{
	const Svad__V1__Revoke *v = &d->revoke;

	if (v->all)
		return true;
	if (v->bond)
		return bond == v->bond;
	if (v->client)
		return client == v->client;
	if (v->has_uid)
		return uid == v->uid;
	if (*v->container)
		return !strcmp(container, v->container);
	return !strcmp(device, v->device);
}

static int count(void *userdata, const Svad__V1__Bond *b)
{
	struct drain *d = userdata;

	if (wanted(d, b->id, b->client, b->device, b->uid, b->container))
		d->total++;
	return CTL_OK;
}

static void progress(struct drain *d)
{
	unsigned done = d->clean + d->quarantined;
	char elapsed[UNITS_MAX];

	if (!d->live)
		return;
	printf("\r\033[K%s: %u left, %s%u CLEAN%s, %s%u QUARANTINED%s, %s", d->what,
	       d->total > done ? d->total - done : 0, style_on(STYLE_GREEN), d->clean, style_off(STYLE_GREEN),
	       style_on(d->quarantined ? STYLE_RED : STYLE_NONE), d->quarantined,
	       style_off(d->quarantined ? STYLE_RED : STYLE_NONE),
	       units_ns(units_now() - d->began_ns, elapsed));
	fflush(stdout);
	d->shown = true;
}

static void on_event(void *userdata, const rpc_event *e)
{
	struct drain *d = userdata;
	char took[UNITS_MAX];

	if (e->kind != SVAD__V1__EVENT_KIND__EVENT_CLEAN &&
	    e->kind != SVAD__V1__EVENT_KIND__EVENT_QUARANTINED)
		return;
	if (!wanted(d, e->bond, e->client, e->device, e->uid, e->container))
		return;
	if (e->kind == SVAD__V1__EVENT_KIND__EVENT_CLEAN)
		d->clean++;
	else
		d->quarantined++;
	if (d->ctl->json || d->live)
		return;
	printf("bond %llu on %s, PASID %u, pid %d: %s after %s\n", (unsigned long long)e->bond, e->device,
	       e->pasid, e->pid, name_event(e->kind), units_ns(e->duration_ns, took));
	fflush(stdout);
}

/* The connection that watches: CTL_OK and *ret, or NULL where watching is not possible. */
static struct rpc *watcher(struct drain *d)
{
	Svad__V1__Watch watch = SVAD__V1__WATCH__INIT;
	rpc_request req = SVAD__V1__REQUEST__INIT;
	const rpc_reply *reply;
	struct rpc *rpc;

	if (d->ctl->json || rpc_open(d->ctl, &rpc))
		return NULL;
	rpc_on_event(rpc, on_event, d);
	req.body_case = SVAD__V1__REQUEST__BODY_WATCH;
	req.watch = &watch;
	if (rpc_call(rpc, &req, &reply)) {
		rpc_close(rpc);
		return NULL;
	}
	rpc_quiet(rpc);
	return rpc;
}

/* All events that are there. False: that connection is over; the drain is not. */
static bool take_events(struct rpc *rpc, struct drain *d)
{
	const rpc_reply *reply;
	int r;

	while (!(r = rpc_receive(rpc, &reply)))
		if (!reply->id && reply->body_case == SVAD__V1__REPLY__BODY_EVENT)
			on_event(d, reply->event);
	return r == CTL_GO;
}

static int run(struct drain *d, struct rpc *rpc, struct rpc **watch)
{
	rpc_request req = SVAD__V1__REQUEST__INIT;
	uint64_t id, deadline;
	int r, wait_ms;

	revoke_times(d->ctl, &d->revoke.timeout_ms, &wait_ms);
	req.body_case = SVAD__V1__REQUEST__BODY_REVOKE;
	req.revoke = &d->revoke;
	d->began_ns = units_now();
	deadline = d->began_ns + (uint64_t)wait_ms * 1000000u;
	r = rpc_send(rpc, &req, &id);
	if (r)
		return r;
	for (;;) {
		struct pollfd pfd[2] = {
			{ .fd = rpc_fd(rpc), .events = POLLIN },
			{ .fd = *watch ? rpc_fd(*watch) : -1, .events = POLLIN },
		};
		const rpc_reply *reply;

		progress(d);
		/* A live line shows the time: ten times a second. */
		r = poll(pfd, 2, d->live ? 100 : wait_ms);
		if (r < 0 && errno != EINTR) {
			ctl_error("poll: %s", strerror(errno));
			return CTL_FAILED;
		}
		if (r > 0 && pfd[1].revents && !take_events(*watch, d)) {
			rpc_close(*watch);
			*watch = NULL;
		}
		if (r > 0 && pfd[0].revents) {
			r = rpc_receive(rpc, &reply);
			if (r != CTL_OK && r != CTL_GO)
				return r;
			if (r == CTL_OK && reply->id == id) {
				/* What was told before the answer came: it may still lie in the other socket.
				 */
				if (*watch)
					take_events(*watch, d);
				progress(d);
				if (d->shown)
					printf("\n");
				if (reply->body_case == SVAD__V1__REPLY__BODY_REVOKE) {
					rpc_check(rpc, reply);
					return revoke_result(d->ctl, reply->revoke, d->what);
				}
				r = rpc_check(rpc, reply);
				if (!r)
					ctl_error("svad's answer is of another kind than the request");
				return CTL_FAILED;
			}
		}
		if (units_now() > deadline) {
			if (d->shown)
				printf("\n");
			ctl_error(
				"svad did not answer in time; what was asked goes on. See svadctl bond list");
			return CTL_UNREACHABLE;
		}
	}
}

/* Its bonds were ended with it; a quarantined one has a command of its own. */
static int removed(const struct ctl *ctl, const Svad__V1__Container *c)
{
	Svad__V1__RevokeReply none = SVAD__V1__REVOKE_REPLY__INIT;
	char what[160];

	none.quarantined = c->quarantined;
	none.pending = c->draining;
	snprintf(what, sizeof(what), "container %.100s was removed", c->name);
	return revoke_result(ctl, &none, what);
}

int cmd_drain(struct ctl *ctl, int argc, char **argv)
{
	Svad__V1__AdminListBonds filter = SVAD__V1__ADMIN_LIST_BONDS__INIT;
	const char *client = NULL, *device = NULL, *uid = NULL, *bond = NULL, *container = NULL;
	bool all = false;
	const struct ctl_option options[] = {
		{ "client", 0, "ID", "all bonds of a client", NULL, &client },
		{ "container", 0, "ID", "all bonds of a container, which stays registered", NULL,
		  &container },
		{ "device", 0, "NAME", "all bonds of a device", NULL, &device },
		{ "uid", 0, "USER", "all bonds of a user, by number or name", NULL, &uid },
		{ "bond", 0, "ID", "one bond", NULL, &bond },
		{ "all", 0, NULL, "every bond there is", &all, NULL },
		CTL_OPTIONS_END,
	};
	struct drain d = { .ctl = ctl, .revoke = SVAD__V1__REVOKE__INIT };
	Svad__V1__Container *target = NULL;
	struct rpc *rpc, *watch = NULL;
	uint64_t v;
	int r;

	r = ctl_parse(ctl, argc, argv, options, NULL, 0, 0);
	if (r != CTL_GO)
		return r;
	if (!!client + !!container + !!device + !!uid + !!bond + all != 1)
		return ctl_usage(
			ctl, "name what to drain with exactly one of --client, --container, --device, --uid, "
			     "--bond, --all");
	if (client) {
		if (!ctl_u64(client, &d.revoke.client) || !d.revoke.client)
			return ctl_usage(ctl, "--client: \"%s\" is no client's id; see svadctl client list",
					 client);
		filter.client = d.revoke.client;
		snprintf(d.what, sizeof(d.what), "client %s", client);
	} else if (device) {
		if (!*device)
			return ctl_usage(ctl, "--device: the name is empty");
		d.revoke.device = (char *)device;
		filter.device = (char *)device;
		snprintf(d.what, sizeof(d.what), "device %.64s", device);
	} else if (uid) {
		const struct passwd *pw = NULL;

		if (!ctl_u64(uid, &v)) {
			pw = getpwnam(uid);
			v = pw ? pw->pw_uid : UINT32_MAX;
		}
		if (v >= UINT32_MAX)
			return ctl_usage(ctl, "--uid: \"%s\" is no user of this machine, and no user id",
					 uid);
		d.revoke.uid = (uint32_t)v;
		d.revoke.has_uid = true;
		if (pw)
			snprintf(d.what, sizeof(d.what), "uid %u (%.64s)", d.revoke.uid, uid);
		else
			snprintf(d.what, sizeof(d.what), "uid %s", uid);
	} else if (bond) {
		if (!ctl_u64(bond, &d.revoke.bond) || !d.revoke.bond)
			return ctl_usage(ctl, "--bond: \"%s\" is no bond's id; see svadctl bond list", bond);
		filter.only = d.revoke.bond;
		snprintf(d.what, sizeof(d.what), "bond %s", bond);
	} else if (container) {
		if (!*container)
			return ctl_usage(ctl, "--container: the id is empty");
	} else {
		d.revoke.all = true;
		snprintf(d.what, sizeof(d.what), "all bonds");
	}
	r = rpc_open(ctl, &rpc);
	if (r)
		return r;
	d.live = term_is_tty() && !ctl->json;
	if (container) {
		r = container_get_whole(ctl, rpc, container, &target);
		if (r) {
			rpc_close(rpc);
			return r;
		}
		if (target->state == SVAD__V1__CONTAINER_STATE__CONTAINER_REMOVED) {
			r = removed(ctl, target);
			container_free(target);
			rpc_close(rpc);
			return r;
		}
		d.revoke.container = target->name;
		snprintf(d.what, sizeof(d.what), "container %.100s", target->name);
	}
	watch = watcher(&d);
	/* Watching began before counting, so no end is missed; the figures are for people, the answer is what
	 * counts. */
	r = d.live ? rpc_bonds(rpc, &filter, count, &d) : CTL_OK;
	if (!r)
		r = run(&d, rpc, &watch);
	container_free(target);
	rpc_close(watch);
	rpc_close(rpc);
	return r;
}
