// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "../../kmod/svabroker.h"
#include "../../proto/status.h"
#include "../../proto/wire.h"
#include "../child.h"
#include "ctl-fake.h"

#define PAGE 400u

static enum fake_mode mode;
static unsigned char out[WIRE_MAX], in[WIRE_MAX], memory[1u << 20];

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void send_reply(int fd, Svad__V1__Reply *reply)
{
	/* Not wire_encode_reply(): a bad daemon does not check what it sends. */
	size_t len = protobuf_c_message_pack(&reply->base, out);

	if (mode == FAKE_FDS && reply->body_case != SVAD__V1__REPLY__BODY_HELLO) {
		int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

		wire_send(fd, out, len, &null, 1, 0);
		close(null);
	} else if (mode == FAKE_GARBAGE && reply->body_case != SVAD__V1__REPLY__BODY_HELLO) {
		memset(out, 0xff, len);
		wire_send(fd, out, len, NULL, 0, 0);
	} else {
		wire_send(fd, out, len, NULL, 0, 0);
	}
}

static char sim0[] = "sim0", sim1[] = "sim1", comm[] = "w\303\266rker", platform[] = "platform";
static char evil[] = "evil\033[2J\007", bidi[] = "abc\342\200\256def";
static char why[] = "1 PASID is quarantined", none[] = "";

/* Containers: web (with a pod and a history), worker, and web-old, which was removed. */
static char web[] = "web0a1b2c3d4e5f60718293a4b5c6d7e8f9", worker[] = "worker", old[] = "web-old";

static char *name(char *plain)
{
	return mode == FAKE_CONTROL ? evil : mode == FAKE_BIDI ? bidi : plain;
}

static void make_device(Svad__V1__Device *d, unsigned i)
{
	svad__v1__device__init(d);
	d->id = i + 1;
	d->name = i ? sim1 : name(sim0);
	d->bus = platform;
	d->numa_node = (int)i - 1;
	d->pasid_bits = 16;
	d->operations = 0x1f;
	d->capabilities = SVAB_DEV_CAP_STALL | SVAB_DEV_CAP_CAN_STOP | SVAB_DEV_CAP_SIMULATED;
	if (mode != FAKE_STUCK_FIXED)
		d->capabilities |= SVAB_DEV_CAP_CAN_RESET;
	d->engines = 2 + i;
	d->engines_busy = i;
	d->bonds = 3;
	d->max_bonds = i ? 100 : 0;
	d->jobs = now_ns() / 1000000;
	d->bytes = now_ns();
	d->drain_deadline_ms = 2000;
	if (i) {
		d->health = SVAD__V1__DEVICE_HEALTH__HEALTH_DEGRADED;
		d->reason = why;
		d->quarantined = 1;
	}
	if (mode == FAKE_KMOD_GONE)
		d->health = SVAD__V1__DEVICE_HEALTH__HEALTH_GONE;
}

static void make_bond(Svad__V1__Bond *b, unsigned id, bool quarantined)
{
	svad__v1__bond__init(b);
	b->id = id;
	b->device_id = 1 + id % 2;
	b->device = id % 2 ? sim1 : sim0;
	b->pasid = id;
	b->state =
		quarantined ? SVAD__V1__PASID_STATE__PASID_QUARANTINED : SVAD__V1__PASID_STATE__PASID_BOUND;
	b->cause = quarantined ? SVAD__V1__CAUSE__CAUSE_CLIENT_GONE : SVAD__V1__CAUSE__CAUSE_NONE;
	b->client = 1 + id % 7;
	b->pid = 1000 + (int)id;
	b->uid = 1000;
	b->age_ns = 5000000000u;
	b->draining_ns = quarantined ? 1200000 : 0;
	b->references = 1;
	b->comm = name(comm);
	if (id % 7 == 1 || quarantined)
		b->container = web;
}

static void list_bonds(int fd, Svad__V1__Reply *reply, const Svad__V1__AdminListBonds *req)
{
	static Svad__V1__Bond bonds[PAGE];
	static Svad__V1__Bond *list[PAGE];
	Svad__V1__ListBondsReply body = SVAD__V1__LIST_BONDS_REPLY__INIT;
	uint64_t after = req->page ? req->page->after : 0, id;
	bool stuck = mode == FAKE_STUCK || mode == FAKE_STUCK_FIXED;
	size_t n = 0;

	for (id = after + 1; id <= FAKE_BONDS && n < PAGE && mode != FAKE_EMPTY; id++) {
		bool quarantined = id == FAKE_BONDS || (stuck && id <= 40);

		if ((req->only && req->only != id) || (req->quarantined && !quarantined))
			continue;
		make_bond(&bonds[n], (unsigned)id, quarantined);
		if (req->device && *req->device && strcmp(req->device, bonds[n].device))
			continue;
		if (req->client && req->client != bonds[n].client)
			continue;
		list[n] = &bonds[n];
		n++;
	}
	body.bonds = list;
	body.n_bonds = n;
	body.next = id <= FAKE_BONDS && mode != FAKE_EMPTY ? id - 1 : 0;
	if (mode == FAKE_ENDLESS)
		body.next = after ? after : 1;
	if (mode == FAKE_BACKWARDS)
		body.next = after ? after - 1 : 5;
	reply->body_case = SVAD__V1__REPLY__BODY_LIST_BONDS;
	reply->list_bonds = &body;
	send_reply(fd, reply);
}

static void list_devices(int fd, Svad__V1__Reply *reply, const char *only)
{
	Svad__V1__ListDevicesReply body = SVAD__V1__LIST_DEVICES_REPLY__INIT;
	Svad__V1__Device devices[2], *list[2];

	for (unsigned i = 0; i < 2 && mode != FAKE_EMPTY; i++) {
		make_device(&devices[i], i);
		if (!*only || !strcmp(only, devices[i].name))
			list[body.n_devices++] = &devices[i];
	}
	body.devices = list;
	reply->body_case = SVAD__V1__REPLY__BODY_LIST_DEVICES;
	reply->list_devices = &body;
	send_reply(fd, reply);
}

static void list_clients(int fd, Svad__V1__Reply *reply)
{
	Svad__V1__ListClientsReply body = SVAD__V1__LIST_CLIENTS_REPLY__INIT;
	Svad__V1__Client clients[3], *list[3];

	for (unsigned i = 0; i < 3 && mode != FAKE_EMPTY; i++) {
		svad__v1__client__init(&clients[i]);
		clients[i].id = i + 1;
		clients[i].pid = 1000 + (int)i;
		clients[i].comm = name(comm);
		clients[i].program = sim0;
		clients[i].bonds = i;
		clients[i].requests = now_ns() / 1000;
		clients[i].netns_cookie = UINT64_MAX;
		clients[i].connected = i != 2;
		clients[i].cgroup_id = 77;
		if (i == 1)
			clients[i].container = web;
		list[body.n_clients++] = &clients[i];
	}
	body.clients = list;
	reply->body_case = SVAD__V1__REPLY__BODY_LIST_CLIENTS;
	reply->list_clients = &body;
	send_reply(fd, reply);
}

static void get_status(int fd, Svad__V1__Reply *reply)
{
	static char version[] = "0.1.0", backend[] = "sim", kmod[] = "kmod", conf[] = "/etc/svad/svad.conf",
		    s[] = "/run/svad/svad.sock";
	Svad__V1__StatusReply body = SVAD__V1__STATUS_REPLY__INIT;

	body.version = version;
	body.broker_pid = getpid();
	body.uptime_ns = 7384000000000u;
	body.backend = mode == FAKE_KMOD || mode == FAKE_KMOD_GONE ? kmod : backend;
	body.backend_up = true;
	body.devices = mode == FAKE_EMPTY ? 0 : 2;
	body.devices_degraded = mode == FAKE_EMPTY ? 0 : 1;
	body.clients = 3;
	body.bonds = FAKE_BONDS;
	body.quarantined = 1;
	body.config = conf;
	body.socket = s;
	body.admin_socket = s;
	reply->body_case = SVAD__V1__REPLY__BODY_GET_STATUS;
	reply->get_status = &body;
	send_reply(fd, reply);
}

static void get_stats(int fd, Svad__V1__Reply *reply)
{
	static char requests[] = "requests_total", odd[] = "odd-name.x", result[] = "result",
		    value[] = "a\"b\\c\303\244", bonds[] = "svad_bonds", refused[] = "refused";
	Svad__V1__StatsReply body = SVAD__V1__STATS_REPLY__INIT;
	Svad__V1__Counter c[4], *list[4];
	Svad__V1__Device devices[2], *dlist[2];

	for (unsigned i = 0; i < 4; i++) {
		svad__v1__counter__init(&c[i]);
		c[i].help = none;
		c[i].value = 10 + i;
		list[i] = &c[i];
	}
	c[0].name = requests;
	c[0].label = result;
	c[0].label_value = mode == FAKE_EVIL_METRICS ? value : refused;
	c[1].name = mode == FAKE_EVIL_METRICS ? odd : refused;
	c[2].name = bonds; /* also derived by svadctl: this one wins */
	c[2].gauge = true;
	c[3].name = requests; /* not beside its like */
	c[3].label = result;
	c[3].label_value = comm;
	for (unsigned i = 0; i < 2 && mode != FAKE_EMPTY; i++) {
		make_device(&devices[i], i);
		dlist[body.n_devices++] = &devices[i];
	}
	body.devices = dlist;
	body.counters = list;
	body.n_counters = mode == FAKE_EMPTY ? 0 : 4;
	body.monotonic_ns = now_ns();
	reply->body_case = SVAD__V1__REPLY__BODY_GET_STATS;
	reply->get_stats = &body;
	send_reply(fd, reply);
}

static void send_event(int fd, Svad__V1__EventKind kind, unsigned bond)
{
	Svad__V1__Reply reply = SVAD__V1__REPLY__INIT;
	Svad__V1__Event e = SVAD__V1__EVENT__INIT;

	e.kind = kind;
	e.monotonic_ns = now_ns();
	e.client = 1;
	e.pid = 1234;
	e.uid = 1000;
	e.bond = bond;
	e.device = name(sim0);
	e.pasid = bond;
	e.cause = SVAD__V1__CAUSE__CAUSE_ADMIN;
	e.duration_ns = 1234567;
	if (bond % 2)
		e.container = web;
	reply.body_case = SVAD__V1__REPLY__BODY_EVENT;
	reply.event = &e;
	send_reply(fd, &reply);
}

static int watcher = -1; /* the connection that watches */

static void end_bonds(int fd, Svad__V1__Reply *reply, const Svad__V1__Revoke *req)
{
	static char late[] = "2 bonds were not drained in time";
	Svad__V1__Status status = SVAD__V1__STATUS__INIT;
	Svad__V1__RevokeReply body = SVAD__V1__REVOKE_REPLY__INIT;
	bool stuck = mode == FAKE_STUCK || mode == FAKE_STUCK_FIXED;

	body.slowest_ns = 1234567;
	body.ended = req->bond ? 1 : *req->container ? 2 : 3;
	body.clean = stuck && req->bond ? 0 : body.ended - (stuck ? 1 : 0);
	body.quarantined = stuck ? 1 : 0;
	if (mode == FAKE_EMPTY)
		body.ended = body.clean = 0;
	if (mode == FAKE_DEADLINE) {
		body.clean = 1;
		body.pending = 2;
		status.code = SVAD_DEADLINE_EXCEEDED;
		status.message = late;
		reply->status = &status;
	}
	if (watcher >= 0 && (req->all || !strcmp(req->container, web))) {
		send_event(watcher, SVAD__V1__EVENT_KIND__EVENT_CLEAN, 7);
		send_event(watcher,
			   stuck ? SVAD__V1__EVENT_KIND__EVENT_QUARANTINED
				 : SVAD__V1__EVENT_KIND__EVENT_CLEAN,
			   8);
	}
	reply->body_case = SVAD__V1__REPLY__BODY_REVOKE;
	reply->revoke = &body;
	send_reply(fd, reply);
}

static const struct {
	char *name;
	Svad__V1__ContainerState state;
} world[] = {
	{ web, SVAD__V1__CONTAINER_STATE__CONTAINER_ACTIVE },
	{ worker, SVAD__V1__CONTAINER_STATE__CONTAINER_REMOVING },
	{ old, SVAD__V1__CONTAINER_STATE__CONTAINER_REMOVED },
};
#define N_CONTAINERS (sizeof(world) / sizeof(world[0]))

static void make_end(Svad__V1__BondEnd *e, unsigned id, bool stuck)
{
	svad__v1__bond_end__init(e);
	e->bond = id;
	e->device = sim0;
	e->pasid = id;
	e->state = stuck ? SVAD__V1__PASID_STATE__PASID_QUARANTINED : SVAD__V1__PASID_STATE__PASID_CLEAN;
	e->duration_ns = 1234567;
	e->pid = 1234;
	e->cause = SVAD__V1__CAUSE__CAUSE_CONTAINER_GONE;
}

static void list_containers(int fd, Svad__V1__Reply *reply, const Svad__V1__ListContainers *req)
{
	static char network[] = "podman", eth0[] = "eth0", ns[] = "shop", pod[] = "web-1",
		    path[] = "/run/netns/w", glob[] = "sim*", by[] = "cni", cni[] = "cni",
		    several[] = "that is the beginning of several ids", nobody[] = "no such container";
	static char *globs[] = { glob };
	Svad__V1__ListContainersReply body = SVAD__V1__LIST_CONTAINERS_REPLY__INIT;
	Svad__V1__ContainerLimits limits = SVAD__V1__CONTAINER_LIMITS__INIT;
	Svad__V1__Container c[N_CONTAINERS], *list[N_CONTAINERS];
	Svad__V1__Attachment a[N_CONTAINERS], *al[N_CONTAINERS];
	Svad__V1__TimelineEntry t[4], *tl[4];
	Svad__V1__Status status = SVAD__V1__STATUS__INIT;
	Svad__V1__BondEnd ends[2];
	uint64_t cgroups[] = { 1, UINT64_MAX };
	size_t matches = 0;

	limits.bonds = 64;
	limits.drain_deadline_ms = 1500;
	for (unsigned i = 0; i < 4; i++) {
		svad__v1__timeline_entry__init(&t[i]);
		t[i].monotonic_ns = 1000000000u + i * 2000000u;
		t[i].realtime_ns = 1700000000000000000;
		tl[i] = &t[i];
	}
	t[0].kind = SVAD__V1__TIMELINE_KIND__TIMELINE_REGISTERED;
	t[1].kind = SVAD__V1__TIMELINE_KIND__TIMELINE_REMOVE_ASKED;
	t[1].text = cni;
	for (unsigned i = 0; i < 2; i++) {
		make_end(&ends[i], 7 + i, i == 1 && mode == FAKE_STUCK);
		t[2 + i].kind = SVAD__V1__TIMELINE_KIND__TIMELINE_BOND_END;
		t[2 + i].bond = &ends[i];
	}
	for (unsigned i = 0; i < N_CONTAINERS && mode != FAKE_EMPTY; i++) {
		svad__v1__container__init(&c[i]);
		svad__v1__attachment__init(&a[i]);
		a[i].network = network;
		a[i].container_id = world[i].name;
		a[i].ifname = eth0;
		al[i] = &a[i];
		c[i].id = i + 1;
		c[i].name = i ? world[i].name : name(world[i].name);
		c[i].attachments = &al[i];
		c[i].n_attachments = world[i].state == SVAD__V1__CONTAINER_STATE__CONTAINER_REMOVED ? 0 : 1;
		c[i].state = world[i].state;
		c[i].netns_cookie = UINT64_MAX;
		c[i].netns_inode = 4026532000u + i;
		c[i].netns_path = path;
		c[i].limits = &limits;
		c[i].by = by;
		c[i].age_ns = 5000000000u;
		c[i].requests = now_ns() / 1000;
		if (!i) {
			c[i].pod_namespace = ns;
			c[i].pod_name = pod;
			c[i].devices = globs;
			c[i].n_devices = 1;
			c[i].bonds = 3;
			c[i].quarantined = 1;
			c[i].refused = 12;
			c[i].cgroup_ids = cgroups;
			c[i].n_cgroup_ids = 2;
		}
		if (world[i].state == SVAD__V1__CONTAINER_STATE__CONTAINER_REMOVED && !req->removed)
			continue;
		if (*req->only && strncmp(world[i].name, req->only, strlen(req->only)))
			continue;
		if (*req->network && strcmp(req->network, network))
			continue;
		if (req->timeline && *req->only) {
			c[i].timeline = tl;
			c[i].n_timeline = 4;
		}
		matches++;
		list[body.n_containers++] = &c[i];
	}
	if (*req->only && matches != 1) {
		status.code = matches ? SVAD_FAILED_PRECONDITION : SVAD_NOT_FOUND;
		status.message = matches ? several : nobody;
		reply->status = &status;
		send_reply(fd, reply);
		return;
	}
	body.containers = list;
	if (mode == FAKE_ENDLESS)
		body.next = req->page && req->page->after ? req->page->after : 1;
	reply->body_case = SVAD__V1__REPLY__BODY_LIST_CONTAINERS;
	reply->list_containers = &body;
	send_reply(fd, reply);
}

static void remove_container(int fd, Svad__V1__Reply *reply, const Svad__V1__RemoveContainer *req)
{
	static char late[] = "1 bond was not drained in time";
	const char *id = req->attachment ? req->attachment->container_id : "";
	Svad__V1__RemoveContainerReply body = SVAD__V1__REMOVE_CONTAINER_REPLY__INIT;
	Svad__V1__Status status = SVAD__V1__STATUS__INIT;
	Svad__V1__BondEnd ends[2], *list[2] = { &ends[0], &ends[1] };

	body.known = !strcmp(id, web) || !strcmp(id, worker);
	if (!strcmp(id, web) || !strcmp(id, old)) {
		make_end(&ends[0], 7, false);
		make_end(&ends[1], 8, mode == FAKE_STUCK);
		body.ended = 2;
		body.clean = mode == FAKE_STUCK || mode == FAKE_DEADLINE ? 1 : 2;
		body.quarantined = mode == FAKE_STUCK;
		body.slowest_ns = 1234567;
		body.bonds = list;
		body.n_bonds = 2;
	}
	if (!strcmp(req->attachment->network, "second"))
		body.attachments_left = 1;
	if (mode == FAKE_DEADLINE) {
		ends[1].state = SVAD__V1__PASID_STATE__PASID_STOPPING;
		body.pending = 1;
		status.code = SVAD_DEADLINE_EXCEEDED;
		status.message = late;
		reply->status = &status;
	}
	reply->body_case = SVAD__V1__REPLY__BODY_REMOVE_CONTAINER;
	reply->remove_container = &body;
	send_reply(fd, reply);
}

/* What was registered comes back as the names of the devices, for tests to see. */
static void register_container(int fd, Svad__V1__Reply *reply, const Svad__V1__RegisterContainer *req)
{
	static char no_cookie[] = "the request has no cookie or no netns";
	static char said[6][300];
	char *list[6] = { said[0], said[1], said[2], said[3], said[4], said[5] };
	Svad__V1__RegisterContainerReply body = SVAD__V1__REGISTER_CONTAINER_REPLY__INIT;
	Svad__V1__Status status = SVAD__V1__STATUS__INIT;

	if (!req->netns_cookie || !req->netns_dev || !req->netns_inode || !req->attachment) {
		status.code = SVAD_INVALID_ARGUMENT;
		status.message = no_cookie;
		reply->status = &status;
		send_reply(fd, reply);
		return;
	}
	snprintf(said[0], sizeof(said[0]), "key=%.60s/%.60s/%s", req->attachment->network,
		 req->attachment->container_id, req->attachment->ifname);
	snprintf(said[1], sizeof(said[1]), "by=%.20s,pid=%d", req->by, req->pid);
	snprintf(said[2], sizeof(said[2]), "pod=%.60s+%.60s+%.60s", req->pod_namespace, req->pod_name,
		 req->pod_uid);
	snprintf(said[3], sizeof(said[3]), "globs=%zu:%.60s:%.60s", req->n_devices,
		 req->n_devices ? req->devices[0] : "", req->n_devices > 1 ? req->devices[1] : "");
	snprintf(said[4], sizeof(said[4]), "limits=%u,%u,%u,%u", req->limits ? req->limits->bonds : 0,
		 req->limits ? req->limits->connections : 0,
		 req->limits ? req->limits->requests_per_second : 0,
		 req->limits ? req->limits->drain_deadline_ms : 0);
	snprintf(said[5], sizeof(said[5]), "path=%.200s", req->netns_path);
	body.container = 4;
	body.devices = list;
	body.n_devices = 6;
	reply->body_case = SVAD__V1__REPLY__BODY_REGISTER_CONTAINER;
	reply->register_container = &body;
	send_reply(fd, reply);
}

static void reconcile(int fd, Svad__V1__Reply *reply)
{
	Svad__V1__ReconcileContainersReply body = SVAD__V1__RECONCILE_CONTAINERS_REPLY__INIT;
	char *names[] = { worker };

	body.looked_at = N_CONTAINERS;
	body.removed = 1;
	body.names = names;
	body.n_names = 1;
	reply->body_case = SVAD__V1__REPLY__BODY_RECONCILE_CONTAINERS;
	reply->reconcile_containers = &body;
	send_reply(fd, reply);
}

static void reset(int fd, Svad__V1__Reply *reply)
{
	Svad__V1__ResetDeviceReply body = SVAD__V1__RESET_DEVICE_REPLY__INIT;

	body.clean = 2;
	body.quarantined = mode == FAKE_STUCK;
	reply->body_case = SVAD__V1__REPLY__BODY_RESET_DEVICE;
	reply->reset_device = &body;
	send_reply(fd, reply);
}

static void hello(int fd, Svad__V1__Reply *reply)
{
	Svad__V1__HelloReply body = SVAD__V1__HELLO_REPLY__INIT;
	Svad__V1__Version v = SVAD__V1__VERSION__INIT;

	v.major = mode == FAKE_VERSION ? 9 : 1;
	body.version = &v;
	reply->body_case = SVAD__V1__REPLY__BODY_HELLO;
	reply->hello = &body;
	send_reply(fd, reply);
}

/* As svad does with whom it does not let in. */
static void turn_away(int fd)
{
	static char text[] = "administrators are of the host";
	Svad__V1__Status status = SVAD__V1__STATUS__INIT;
	Svad__V1__Reply reply = SVAD__V1__REPLY__INIT;

	status.code = SVAD_PERMISSION_DENIED;
	status.message = text;
	reply.status = &status;
	send_reply(fd, &reply);
}

/* False: close the connection. */
static bool answer(int fd, const Svad__V1__Request *req)
{
	static char limit[] = "too many requests; ask less often", limit_name[] = "requests_per_second";
	Svad__V1__Reply reply = SVAD__V1__REPLY__INIT;
	Svad__V1__Status status = SVAD__V1__STATUS__INIT;
	Svad__V1__WatchReply watch = SVAD__V1__WATCH_REPLY__INIT;

	reply.id = req->id;
	if (req->body_case == SVAD__V1__REQUEST__BODY_HELLO) {
		if (mode == FAKE_EOF_HELLO)
			return false;
		hello(fd, &reply);
		return true;
	}
	switch (mode) {
	case FAKE_EOF_CALL:
		return false;
	case FAKE_SILENT:
		return true;
	case FAKE_EOF_PAGE:
		if (req->admin_list_bonds->page->after)
			return false;
		break;
	case FAKE_WRONG_ID:
		reply.id += 100;
		break;
	case FAKE_CHATTY:
		for (;;)
			send_event(fd, SVAD__V1__EVENT_KIND__EVENT_CLEAN, 1);
	case FAKE_REFUSE:
		status.code = SVAD_RESOURCE_EXHAUSTED;
		status.message = limit;
		status.limit_name = limit_name;
		status.limit_value = 42;
		reply.status = &status;
		send_reply(fd, &reply);
		return true;
	case FAKE_WRONG_BODY:
		hello(fd, &reply);
		return true;
	default:
		break;
	}
	switch (req->body_case) {
	case SVAD__V1__REQUEST__BODY_GET_STATUS:
		get_status(fd, &reply);
		break;
	case SVAD__V1__REQUEST__BODY_GET_STATS:
		get_stats(fd, &reply);
		break;
	case SVAD__V1__REQUEST__BODY_LIST_CLIENTS:
		list_clients(fd, &reply);
		break;
	case SVAD__V1__REQUEST__BODY_ADMIN_LIST_BONDS:
		list_bonds(fd, &reply, req->admin_list_bonds);
		break;
	case SVAD__V1__REQUEST__BODY_ADMIN_LIST_DEVICES:
		list_devices(fd, &reply,
			     req->admin_list_devices->only ? req->admin_list_devices->only : none);
		break;
	case SVAD__V1__REQUEST__BODY_REVOKE:
		end_bonds(fd, &reply, req->revoke);
		break;
	case SVAD__V1__REQUEST__BODY_RESET_DEVICE:
		reset(fd, &reply);
		break;
	case SVAD__V1__REQUEST__BODY_LIST_CONTAINERS:
		list_containers(fd, &reply, req->list_containers);
		break;
	case SVAD__V1__REQUEST__BODY_REMOVE_CONTAINER:
		remove_container(fd, &reply, req->remove_container);
		break;
	case SVAD__V1__REQUEST__BODY_REGISTER_CONTAINER:
		register_container(fd, &reply, req->register_container);
		break;
	case SVAD__V1__REQUEST__BODY_RECONCILE_CONTAINERS:
		reconcile(fd, &reply);
		break;
	case SVAD__V1__REQUEST__BODY_WATCH:
		watcher = fd;
		reply.body_case = SVAD__V1__REPLY__BODY_WATCH;
		reply.watch = &watch;
		send_reply(fd, &reply);
		if (req->watch->snapshot)
			for (unsigned i = 1; i <= 3; i++)
				send_event(fd, SVAD__V1__EVENT_KIND__EVENT_BOUND, i);
		break;
	default:
		return false;
	}
	return true;
}

static void serve(int listener)
{
	struct pollfd pfd[16] = { { .fd = listener, .events = POLLIN } };
	struct wire_arena arena;
	nfds_t n = 1;

	wire_arena_init(&arena, memory, sizeof(memory));
	for (;;) {
		if (poll(pfd, n, -1) < 0)
			_exit(1);
		for (nfds_t i = 1; i < n; i++) {
			struct wire_fds fds = WIRE_FDS_NONE;
			Svad__V1__Request *req;
			ssize_t len;

			if (!pfd[i].revents)
				continue;
			wire_arena_reset(&arena);
			len = 0;
			if (mode == FAKE_STRANGER) {
				turn_away(pfd[i].fd);
			} else {
				len = wire_recv(pfd[i].fd, in, sizeof(in), &fds, NULL, 0);
				wire_fds_close(&fds);
			}
			if (len > 0 && !wire_decode_request(in, (size_t)len, &arena, &req) &&
			    answer(pfd[i].fd, req))
				continue;
			if (watcher == pfd[i].fd)
				watcher = -1;
			close(pfd[i].fd);
			pfd[i--] = pfd[--n];
		}
		if (pfd[0].revents && n < 16) {
			pfd[n] = (struct pollfd){ .fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC),
						  .events = POLLIN };
			n++;
		}
	}
}

pid_t fake_start(const char *path, enum fake_mode which)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	pid_t self = getpid(), pid;

	mode = which;
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	unlink(path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&sun, sizeof(sun)) || listen(fd, 16))
		return -1;
	pid = fork();
	if (pid == 0) {
		die_with_parent(self, SIGKILL);
		serve(fd);
		_exit(0);
	}
	close(fd);
	return pid;
}
