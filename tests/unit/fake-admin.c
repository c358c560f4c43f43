// SPDX-License-Identifier: GPL-2.0-or-later
#include "fake-admin.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "../../proto/status.h"
#include "../../proto/wire.h"

#define N_CONN (sizeof(((struct fake_admin *)0)->conn) / sizeof(int))

static void copy(char to[ADMIN_TEXT], const char *from)
{
	(void)snprintf(to, ADMIN_TEXT, "%s", from);
}

static struct admin_attachment *find(struct fake_admin *f, const char *network, const char *id,
				     const char *ifname)
{
	for (unsigned i = 0; i < ADMIN_ATTACHMENTS; i++) {
		struct admin_attachment *a = &f->at[i];

		if (a->used && strcmp(a->network, network) == 0 && strcmp(a->container_id, id) == 0 &&
		    strcmp(a->ifname, ifname) == 0)
			return a;
	}
	return NULL;
}

static struct admin_attachment *make(struct fake_admin *f, const char *network, const char *id,
				     const char *ifname)
{
	for (unsigned i = 0; i < ADMIN_ATTACHMENTS; i++) {
		struct admin_attachment *a = &f->at[i];

		if (a->used)
			continue;
		memset(a, 0, sizeof(*a));
		a->used = true;
		a->container = ++f->next_container;
		copy(a->network, network);
		copy(a->container_id, id);
		copy(a->ifname, ifname);
		return a;
	}
	abort();
}

/* ---- answers ---- */

static void reply(int fd, const Svad__V1__Reply *msg, const int *fds, unsigned n)
{
	unsigned char buf[WIRE_MAX];
	ssize_t len = wire_encode_reply(msg, buf, sizeof(buf));

	if (len < 0)
		abort();
	(void)wire_send(fd, buf, (size_t)len, fds, n, 0);
}

static void refuse(int fd, uint64_t id, uint32_t code, bool limit)
{
	Svad__V1__Status status = SVAD__V1__STATUS__INIT;
	Svad__V1__Reply msg = SVAD__V1__REPLY__INIT;

	status.code = code;
	status.message = (char *)"the fake refuses";
	if (limit) {
		status.limit_name = (char *)"containers";
		status.limit_value = 3;
	}
	msg.id = id;
	msg.status = &status;
	reply(fd, &msg, NULL, 0);
}

/* True: nothing more is to be answered. */
static bool misbehave(struct fake_admin *f, int fd, uint64_t id, int how)
{
	Svad__V1__ReloadReply wrong = SVAD__V1__RELOAD_REPLY__INIT;
	Svad__V1__Reply msg = SVAD__V1__REPLY__INIT;
	Svad__V1__Event event = SVAD__V1__EVENT__INIT;

	switch (how) {
	case ADMIN_STATUS:
	case ADMIN_LIMIT:
		refuse(fd, id, (uint32_t)atomic_load(&f->status), how == ADMIN_LIMIT);
		return true;
	case ADMIN_EOF:
		(void)shutdown(fd, SHUT_RDWR);
		return true;
	case ADMIN_SILENT:
		return true;
	case ADMIN_GARBAGE:
		(void)wire_send(fd, "\xff\xff\xff garbage", 11, NULL, 0, 0);
		return true;
	case ADMIN_WRONG:
		msg.id = id;
		msg.body_case = SVAD__V1__REPLY__BODY_RELOAD;
		msg.reload = &wrong;
		reply(fd, &msg, NULL, 0);
		return true;
	case ADMIN_EVENTS:
		event.kind = SVAD__V1__EVENT_KIND__EVENT_RELOADED;
		msg.body_case = SVAD__V1__REPLY__BODY_EVENT;
		msg.event = &event;
		for (int i = 0; i < 3; i++)
			reply(fd, &msg, NULL, 0);
		return false;
	default:
		return false;
	}
}

static void answer(int fd, Svad__V1__Reply *msg, int how)
{
	int null;

	if (how == ADMIN_WRONG_ID)
		msg->id += 1000;
	if (how != ADMIN_FD) {
		reply(fd, msg, NULL, 0);
		return;
	}
	null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	msg->fds = 1;
	reply(fd, msg, &null, 1);
	close(null);
}

/* ---- requests ---- */

static void on_hello(struct fake_admin *f, int fd, Svad__V1__Reply *msg, int how)
{
	Svad__V1__HelloReply body = SVAD__V1__HELLO_REPLY__INIT;
	Svad__V1__Version version = SVAD__V1__VERSION__INIT;

	(void)f;
	version.major = how == ADMIN_VERSION ? 2 : 1;
	body.version = &version;
	body.server = (char *)"fake";
	msg->body_case = SVAD__V1__REPLY__BODY_HELLO;
	msg->hello = &body;
	answer(fd, msg, how);
}

static void on_register(struct fake_admin *f, int fd, const Svad__V1__RegisterContainer *from,
			Svad__V1__Reply *msg, int how)
{
	static char *names[] = { (char *)"sim0", (char *)"sim1" };
	Svad__V1__RegisterContainerReply body = SVAD__V1__REGISTER_CONTAINER_REPLY__INIT;
	struct admin_attachment *a;

	pthread_mutex_lock(&f->lock);
	a = find(f, from->attachment->network, from->attachment->container_id, from->attachment->ifname);
	body.existed = a != NULL;
	if (!a)
		a = make(f, from->attachment->network, from->attachment->container_id,
			 from->attachment->ifname);
	copy(a->netns_path, from->netns_path);
	copy(a->by, from->by);
	copy(a->pod_namespace, from->pod_namespace);
	copy(a->pod_name, from->pod_name);
	copy(a->pod_uid, from->pod_uid);
	a->cookie = from->netns_cookie;
	a->dev = from->netns_dev;
	a->inode = from->netns_inode;
	a->pid = from->pid;
	a->limits[0] = from->limits ? from->limits->bonds : 0;
	a->limits[1] = from->limits ? from->limits->connections : 0;
	a->limits[2] = from->limits ? from->limits->requests_per_second : 0;
	a->limits[3] = from->limits ? from->limits->drain_deadline_ms : 0;
	a->devices[0] = '\0';
	for (size_t i = 0; i < from->n_devices; i++) {
		size_t at = strlen(a->devices);

		(void)snprintf(a->devices + at, sizeof(a->devices) - at, "%s%s", at ? " " : "",
			       from->devices[i]);
	}
	body.container = a->container;
	pthread_mutex_unlock(&f->lock);
	body.devices = names;
	body.n_devices = 2;
	msg->body_case = SVAD__V1__REPLY__BODY_REGISTER_CONTAINER;
	msg->register_container = &body;
	answer(fd, msg, how);
}

static void removed(int fd, uint64_t id, unsigned found, int how)
{
	Svad__V1__RemoveContainerReply body = SVAD__V1__REMOVE_CONTAINER_REPLY__INIT;
	Svad__V1__Status status = SVAD__V1__STATUS__INIT;
	Svad__V1__BondEnd end[3], *ends[3];
	Svad__V1__Reply msg = SVAD__V1__REPLY__INIT;

	for (unsigned i = 0; i < 3; i++) {
		svad__v1__bond_end__init(&end[i]);
		end[i].bond = 100 + i;
		end[i].device = (char *)"sim0";
		end[i].pasid = 7 + i;
		end[i].state = SVAD__V1__PASID_STATE__PASID_CLEAN;
		end[i].duration_ns = 1000 * (i + 1);
		end[i].pid = 4242;
		end[i].cause = SVAD__V1__CAUSE__CAUSE_CONTAINER_GONE;
		ends[i] = &end[i];
	}
	msg.id = id;
	body.known = found > 0;
	if (found > 0) {
		body.ended = 3;
		body.clean = 3;
		body.slowest_ns = 3000;
		body.bonds = ends;
		body.n_bonds = 3;
	}
	if (how == ADMIN_PENDING) {
		body.clean = 2;
		body.pending = 1;
		end[2].state = SVAD__V1__PASID_STATE__PASID_STOPPING;
		status.code = SVAD_DEADLINE_EXCEEDED;
		status.message = (char *)"1 bond has not drained in time";
		msg.status = &status;
	} else if (how == ADMIN_QUARANTINED) {
		body.clean = 2;
		body.quarantined = 1;
		end[2].state = SVAD__V1__PASID_STATE__PASID_QUARANTINED;
	}
	msg.body_case = SVAD__V1__REPLY__BODY_REMOVE_CONTAINER;
	msg.remove_container = &body;
	answer(fd, &msg, how);
}

static void on_remove(struct fake_admin *f, int fd, const Svad__V1__RemoveContainer *from,
		      const Svad__V1__Reply *msg, int how)
{
	struct admin_attachment *a;
	unsigned found = 0;

	atomic_store(&f->last_timeout_ms, from->timeout_ms);
	pthread_mutex_lock(&f->lock);
	copy(f->last_by, from->by);
	a = find(f, from->attachment->network, from->attachment->container_id, from->attachment->ifname);
	if (a) {
		a->used = false;
		found = 1;
	}
	pthread_mutex_unlock(&f->lock);
	if (how != ADMIN_REVERSED) {
		removed(fd, msg->id, found, how);
		return;
	}
	f->held[f->n_held].fd = fd;
	f->held[f->n_held].id = msg->id;
	f->held[f->n_held++].found = found;
	if (f->n_held > atomic_load(&f->most_under_way))
		atomic_store(&f->most_under_way, f->n_held);
	if (f->n_held < atomic_load(&f->reverse))
		return;
	while (f->n_held > 0) {
		f->n_held--;
		removed(f->held[f->n_held].fd, f->held[f->n_held].id, f->held[f->n_held].found, ADMIN_GOOD);
	}
}

static bool wanted(const struct admin_attachment *a, const Svad__V1__ListContainers *from)
{
	const Svad__V1__Attachment *exactly = from->attachment;
	bool removed = a->state == SVAD__V1__CONTAINER_STATE__CONTAINER_REMOVED;
	bool removing = a->state == SVAD__V1__CONTAINER_STATE__CONTAINER_REMOVING;

	/* By its attachment one that is being removed is found only with those that were. */
	if (!a->used || ((removed || (exactly && removing)) && !from->removed) ||
	    (*from->network && strcmp(a->network, from->network) != 0))
		return false;
	if (*from->only && strncmp(a->container_id, from->only, strlen(from->only)) != 0)
		return false;
	return !exactly || (strcmp(a->network, exactly->network) == 0 &&
			    strcmp(a->container_id, exactly->container_id) == 0 &&
			    strcmp(a->ifname, exactly->ifname) == 0);
}

static void on_list(struct fake_admin *f, int fd, const Svad__V1__ListContainers *from, Svad__V1__Reply *msg,
		    int how)
{
	Svad__V1__ListContainersReply body = SVAD__V1__LIST_CONTAINERS_REPLY__INIT;
	Svad__V1__Container c[64], *cs[64];
	Svad__V1__Attachment at[64], *ats[64];
	unsigned page = atomic_load(&f->page);
	uint64_t after = from->page ? from->page->after : 0;

	pthread_mutex_lock(&f->lock);
	for (unsigned i = (unsigned)after; i < ADMIN_ATTACHMENTS; i++) {
		const struct admin_attachment *a = &f->at[i];

		if (!wanted(a, from))
			continue;
		if (body.n_containers == page) {
			body.next = i; /* slots from here on */
			break;
		}
		svad__v1__container__init(&c[body.n_containers]);
		svad__v1__attachment__init(&at[body.n_containers]);
		at[body.n_containers].network = (char *)(uintptr_t)a->network;
		at[body.n_containers].container_id = (char *)(uintptr_t)a->container_id;
		at[body.n_containers].ifname = (char *)(uintptr_t)a->ifname;
		ats[body.n_containers] = &at[body.n_containers];
		c[body.n_containers].id = a->container;
		c[body.n_containers].name = (char *)(uintptr_t)a->container_id;
		c[body.n_containers].attachments = &ats[body.n_containers];
		c[body.n_containers].n_attachments = 1;
		c[body.n_containers].netns_cookie = a->cookie;
		c[body.n_containers].state = (Svad__V1__ContainerState)a->state;
		c[body.n_containers].quarantined = a->quarantined;
		c[body.n_containers].pod_name = (char *)(uintptr_t)a->pod_name;
		cs[body.n_containers] = &c[body.n_containers];
		body.n_containers++;
	}
	if (how == ADMIN_NO_END)
		body.next = after ? after : 1;
	body.containers = cs;
	msg->body_case = SVAD__V1__REPLY__BODY_LIST_CONTAINERS;
	msg->list_containers = &body;
	if (from->attachment && body.n_containers == 0)
		refuse(fd, msg->id, SVAD_NOT_FOUND, false);
	else
		answer(fd, msg, how);
	pthread_mutex_unlock(&f->lock);
}

static void on_reconcile(int fd, Svad__V1__Reply *msg, int how)
{
	Svad__V1__ReconcileContainersReply body = SVAD__V1__RECONCILE_CONTAINERS_REPLY__INIT;

	body.looked_at = 5;
	body.removed = 2;
	msg->body_case = SVAD__V1__REPLY__BODY_RECONCILE_CONTAINERS;
	msg->reconcile_containers = &body;
	answer(fd, msg, how);
}

static void on_status(struct fake_admin *f, int fd, Svad__V1__Reply *msg, int how)
{
	Svad__V1__StatusReply body = SVAD__V1__STATUS_REPLY__INIT;

	body.version = (char *)"9.8.7";
	body.backend = (char *)"sim";
	body.backend_up = !atomic_load(&f->backend_down);
	body.shutting_down = atomic_load(&f->shutting_down);
	body.devices = 2;
	body.bonds = 11;
	body.broker_pid = 77;
	msg->body_case = SVAD__V1__REPLY__BODY_GET_STATUS;
	msg->get_status = &body;
	answer(fd, msg, how);
}

static void on_request(struct fake_admin *f, int fd, const Svad__V1__Request *req)
{
	Svad__V1__Reply msg = SVAD__V1__REPLY__INIT;
	int how;

	msg.id = req->id;
	switch (req->body_case) {
#define ON(BODY, HOW, COUNT, CALL)                                                                           \
	case SVAD__V1__REQUEST__BODY_##BODY:                                                                 \
		how = atomic_load(&f->HOW);                                                                  \
		atomic_fetch_add(&f->COUNT, 1);                                                              \
		if (!misbehave(f, fd, req->id, how))                                                         \
			CALL;                                                                                \
		break
		ON(HELLO, hello, n_hello, on_hello(f, fd, &msg, how));
		ON(REGISTER_CONTAINER, reg, n_register,
		   on_register(f, fd, req->register_container, &msg, how));
		ON(REMOVE_CONTAINER, remove, n_remove, on_remove(f, fd, req->remove_container, &msg, how));
		ON(LIST_CONTAINERS, list, n_list, on_list(f, fd, req->list_containers, &msg, how));
		ON(RECONCILE_CONTAINERS, reconcile, n_reconcile, on_reconcile(fd, &msg, how));
		ON(GET_STATUS, status_rpc, n_status, on_status(f, fd, &msg, how));
#undef ON
	default:
		refuse(fd, req->id, SVAD_UNIMPLEMENTED, false);
	}
}

/* ---- the thread ---- */

static void listen_again(struct fake_admin *f)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	(void)unlink(f->path);
	strcpy(address.sun_path, f->path);
	f->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (f->listener < 0 || bind(f->listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(f->listener, 64) < 0)
		abort();
}

static void hang_up(struct fake_admin *f, unsigned i)
{
	unsigned kept = 0;

	for (unsigned k = 0; k < f->n_held; k++)
		if (f->held[k].fd != f->conn[i])
			f->held[kept++] = f->held[k];
	f->n_held = kept;
	close(f->conn[i]);
	f->conn[i] = -1;
}

/* False: quit. */
static bool obey(struct fake_admin *f)
{
	char command;

	if (read(f->control[0], &command, 1) != 1 || command == 'q')
		return false;
	if (command == 'd' && f->listener >= 0) {
		close(f->listener);
		f->listener = -1;
		(void)unlink(f->path);
		for (unsigned i = 0; i < N_CONN; i++)
			if (f->conn[i] >= 0)
				hang_up(f, i);
	} else if (command == 'u' && f->listener < 0) {
		listen_again(f);
	}
	(void)!write(f->control[0], "k", 1);
	return true;
}

static void take(struct fake_admin *f)
{
	int fd = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC);

	for (unsigned i = 0; fd >= 0 && i < N_CONN; i++) {
		if (f->conn[i] < 0) {
			f->conn[i] = fd;
			return;
		}
	}
	if (fd >= 0)
		close(fd);
}

static void *serve(void *data)
{
	struct fake_admin *f = data;
	static unsigned char packet[WIRE_MAX];
	static unsigned char memory[1u << 20];
	struct wire_arena arena;

	wire_arena_init(&arena, memory, sizeof(memory));
	for (;;) {
		struct pollfd p[2 + N_CONN];

		p[0] = (struct pollfd){ .fd = f->control[0], .events = POLLIN };
		p[1] = (struct pollfd){ .fd = f->listener, .events = POLLIN };
		for (unsigned i = 0; i < N_CONN; i++)
			p[2 + i] = (struct pollfd){ .fd = f->conn[i], .events = POLLIN };
		if (poll(p, 2 + N_CONN, -1) < 0)
			continue;
		if (p[0].revents) {
			if (!obey(f))
				break;
			continue; /* what the rest says may be old */
		}
		if (p[1].revents)
			take(f);
		for (unsigned i = 0; i < N_CONN; i++) {
			struct wire_fds fds = WIRE_FDS_NONE;
			Svad__V1__Request *req;
			ssize_t n;

			if (!p[2 + i].revents)
				continue;
			if (atomic_load(&f->hello) == ADMIN_STRANGER) {
				refuse(f->conn[i], 0, (uint32_t)atomic_load(&f->status), false);
				hang_up(f, i);
				continue;
			}
			n = wire_recv(f->conn[i], packet, sizeof(packet), &fds, NULL, MSG_DONTWAIT);
			wire_fds_close(&fds);
			wire_arena_reset(&arena);
			if (n == -EAGAIN)
				continue;
			if (n <= 0 || wire_decode_request(packet, (size_t)n, &arena, &req) < 0)
				hang_up(f, i);
			else
				on_request(f, f->conn[i], req);
		}
	}
	for (unsigned i = 0; i < N_CONN; i++)
		if (f->conn[i] >= 0)
			hang_up(f, i);
	return NULL;
}

void fake_admin_start(struct fake_admin *f)
{
	memset(f, 0, sizeof(*f));
	strcpy(f->directory, "/tmp/svad-fake-admin.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(f->directory));
	(void)snprintf(f->path, sizeof(f->path), "%s/admin.sock", f->directory);
	(void)snprintf(f->state_dir, sizeof(f->state_dir), "%s/state", f->directory);
	ck_assert_int_eq(mkdir(f->state_dir, 0755), 0);
	f->at = calloc(ADMIN_ATTACHMENTS, sizeof(*f->at));
	ck_assert_ptr_nonnull(f->at);
	atomic_store(&f->page, 32);
	for (unsigned i = 0; i < N_CONN; i++)
		f->conn[i] = -1;
	pthread_mutex_init(&f->lock, NULL);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, f->control), 0);
	listen_again(f);
	ck_assert_int_eq(pthread_create(&f->thread, NULL, serve, f), 0);
}

static void command(struct fake_admin *f, char c)
{
	char done;

	ck_assert_int_eq(write(f->control[1], &c, 1), 1);
	if (c != 'q')
		ck_assert_int_eq(read(f->control[1], &done, 1), 1);
}

void fake_admin_stop(struct fake_admin *f)
{
	command(f, 'q');
	pthread_join(f->thread, NULL);
	if (f->listener >= 0)
		close(f->listener);
	close(f->control[0]);
	close(f->control[1]);
	(void)unlink(f->path);
	(void)rmdir(f->state_dir);
	(void)rmdir(f->directory);
	free(f->at);
	pthread_mutex_destroy(&f->lock);
}

void fake_admin_down(struct fake_admin *f)
{
	command(f, 'd');
}

void fake_admin_up(struct fake_admin *f)
{
	command(f, 'u');
}

void fake_admin_add(struct fake_admin *f, const char *network, const char *container_id, const char *ifname)
{
	pthread_mutex_lock(&f->lock);
	(void)make(f, network, container_id, ifname);
	pthread_mutex_unlock(&f->lock);
}

bool fake_admin_find(struct fake_admin *f, const char *network, const char *container_id, const char *ifname,
		     struct admin_attachment *ret)
{
	const struct admin_attachment *a;

	pthread_mutex_lock(&f->lock);
	a = find(f, network, container_id, ifname);
	if (a && ret)
		*ret = *a;
	pthread_mutex_unlock(&f->lock);
	return a != NULL;
}

void fake_admin_set(struct fake_admin *f, const char *container_id, uint32_t state, uint32_t quarantined)
{
	pthread_mutex_lock(&f->lock);
	for (unsigned i = 0; i < ADMIN_ATTACHMENTS; i++) {
		if (f->at[i].used && strcmp(f->at[i].container_id, container_id) == 0) {
			f->at[i].state = state;
			f->at[i].quarantined = quarantined;
		}
	}
	pthread_mutex_unlock(&f->lock);
}

unsigned fake_admin_count(struct fake_admin *f)
{
	unsigned n = 0;

	pthread_mutex_lock(&f->lock);
	for (unsigned i = 0; i < ADMIN_ATTACHMENTS; i++)
		n += f->at[i].used;
	pthread_mutex_unlock(&f->lock);
	return n;
}
