/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "netns-world.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

/* ---- boxes ---- */

void box_need(void)
{
	pid_t pid;
	int status;

	if (geteuid() != 0)
		tap_skip("network namespaces are made by root");
	pid = fork();
	MUST(pid >= 0);
	if (!pid)
		_exit(unshare(CLONE_NEWNET) < 0 ? 1 : 0);
	MUST_EQ(waitpid(pid, &status, 0), pid);
	if (status)
		tap_skip("no network namespace can be made here");
}

static void box_main(void *arg)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);
	struct stat st;
	int fd;

	(void)arg;
	MUST_EQ(unshare(CLONE_NEWNET), 0);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	MUST(fd >= 0);
	if (getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &len) < 0)
		cookie = 0;
	close(fd);
	MUST_EQ(stat("/proc/self/ns/net", &st), 0);
	say("box %llu %llu %llu", (unsigned long long)cookie, (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
	hear_this("end");
}

void box_start(struct box *box)
{
	unsigned long long cookie, dev, inode;

	sys_child(&box->child, box_main, NULL);
	MUST_EQ(sscanf(sys_expect(&box->child, "box "), "box %llu %llu %llu", &cookie, &dev, &inode), 3);
	if (!cookie) {
		sys_kill(&box->child, SIGKILL);
		tap_skip("this kernel has no SO_NETNS_COOKIE");
	}
	box->cookie = cookie;
	box->dev = dev;
	box->inode = inode;
	snprintf(box->path, sizeof(box->path), "/proc/%d/ns/net", (int)box->child.pid);
}

void box_kill(struct box *box)
{
	sys_kill(&box->child, SIGKILL);
}

/* ---- tenants ---- */

struct tenant_args {
	const struct box *box;
	const char *devices;
	pid_t host;
};

void world_enter(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	MUST(fd >= 0);
	MUST_EQ(setns(fd, CLONE_NEWNET), 0);
	close(fd);
}

static void keep(int fd)
{
	MUST_EQ(fcntl(fd, F_SETFD, 0), 0);
}

static void tenant_main(void *arg)
{
	const struct tenant_args *a = arg;
	struct raw_bond bonds[TENANT_BONDS];
	unsigned n = 0;
	struct raw raw;
	char devices[64], *at = devices, *device, home[64];

	snprintf(home, sizeof(home), "/proc/%d/ns/net", (int)a->host);
	snprintf(devices, sizeof(devices), "%s", a->devices);
	world_enter(a->box->path);
	raw_open(&raw);
	while ((device = strsep(&at, " ")))
		if (device[0] && n < TENANT_BONDS)
			raw_bind(&raw, device, &bonds[n++]);
	say("bonds %u %llu %llu", n, n > 0 ? (unsigned long long)bonds[0].id : 0, n > 1 ? (unsigned long long)bonds[1].id : 0);
	for (;;) {
		const char *what = hear();

		if (strcmp(what, "end") == 0)
			return;
		if (strcmp(what, "leave") == 0) {
			world_enter(home);
			say("left");
		} else if (strcmp(what, "ask") == 0) {
			Svad__V1__Request request = SVAD__V1__REQUEST__INIT;
			Svad__V1__ListBonds body = SVAD__V1__LIST_BONDS__INIT;
			Svad__V1__Reply *reply;

			request.body_case = SVAD__V1__REQUEST__BODY_LIST_BONDS;
			request.list_bonds = &body;
			reply = sys_call(raw.conn, &request, NULL);
			say("asked %d %u", reply ? (int)sys_code(reply) : -1,
			    reply && reply->list_bonds ? (unsigned)reply->list_bonds->n_bonds : 0u);
		} else if (strcmp(what, "exec") == 0) {
			keep(raw.conn);
			keep(raw.ctx);
			for (unsigned i = 0; i < n; i++) {
				keep(bonds[i].fd);
				keep(bonds[i].portal_fd);
			}
			execlp("sleep", "sleep", "100000", NULL);
			sys_fail(__FILE__, __LINE__, "exec: %s", strerror(errno));
		}
	}
}

void tenant_start(struct tenant *t, const struct box *box, const char *devices)
{
	struct tenant_args args = { .box = box, .devices = devices, .host = getpid() };
	unsigned long long a, b;

	*t = (struct tenant) { .alive = true };
	sys_child(&t->child, tenant_main, &args);
	MUST_EQ(sscanf(sys_expect(&t->child, "bonds "), "bonds %u %llu %llu", &t->n_bonds, &a, &b), 3);
	t->bonds[0] = a;
	t->bonds[1] = b;
}

static void try_main(void *arg)
{
	const struct tenant_args *a = arg;
	static unsigned char buf[WIRE_MAX];
	Svad__V1__Request request = SVAD__V1__REQUEST__INIT;
	Svad__V1__Hello hello = SVAD__V1__HELLO__INIT;
	Svad__V1__Version version = SVAD__V1__VERSION__INIT;
	Svad__V1__Reply *reply;
	struct raw raw = { .ctx = -1 };
	ssize_t len;

	world_enter(a->box->path);
	raw.conn = sys_connect("svad.sock");
	MUST(raw.conn >= 0);
	/* By hand: who is refused may be told so before it has said anything. */
	version.major = WIRE_VERSION_MAJOR;
	hello.min = hello.max = &version;
	request.id = 1;
	request.body_case = SVAD__V1__REQUEST__BODY_HELLO;
	request.hello = &hello;
	len = wire_encode_request(&request, buf, sizeof(buf));
	(void)sys_send(raw.conn, buf, (size_t)len, NULL, 0);
	reply = sys_receive(raw.conn, sys_ms(10000), NULL);
	if (!reply) /* a Hello that was not read any more is an error of the socket, once; then comes what it was told */
		reply = sys_receive(raw.conn, sys_ms(10000), NULL);
	if (reply && sys_code(reply) == SVAD_OK)
		say("code %u", raw_grant(&raw, a->devices, NULL));
	else
		say("code %u", sys_code(reply));
	hear_this("end");
}

unsigned tenant_try(const struct box *box, const char *device)
{
	struct tenant_args args = { .box = box, .devices = device, .host = getpid() };
	struct child child;
	unsigned code;

	sys_child(&child, try_main, &args);
	MUST_EQ(sscanf(sys_expect(&child, "code "), "code %u", &code), 1);
	sys_end(&child);
	return code;
}

void tenant_exec(struct tenant *t)
{
	sys_tell(&t->child, "exec");
	t->execed = true;
}

void tenant_leave(struct tenant *t)
{
	sys_tell(&t->child, "leave");
	sys_expect(&t->child, "left");
}

void tenant_kill(struct tenant *t)
{
	if (t->alive)
		sys_kill(&t->child, SIGKILL);
	t->alive = false;
}

void tenant_end(struct tenant *t)
{
	if (t->alive)
		sys_end(&t->child);
	t->alive = false;
}

bool tenant_has_connection(struct tenant *t)
{
	int code;
	unsigned n;

	sys_tell(&t->child, "ask");
	MUST_EQ(sscanf(sys_expect(&t->child, "asked "), "asked %d %u", &code, &n), 2);
	return code == SVAD_OK;
}

/* ---- by hand ---- */

int world_connect(int fd, const char *name)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/run/%s", sys.dir, name);
	MUST_EQ(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

/* Who is refused may be told so before it has said anything. */
unsigned world_hello(int fd, char why[600])
{
	static unsigned char buf[WIRE_MAX];
	Svad__V1__Request request = SVAD__V1__REQUEST__INIT;
	Svad__V1__Hello body = SVAD__V1__HELLO__INIT;
	Svad__V1__Version version = SVAD__V1__VERSION__INIT;
	Svad__V1__Reply *reply;
	ssize_t len;

	version.major = WIRE_VERSION_MAJOR;
	body.min = body.max = &version;
	request.id = 1;
	request.body_case = SVAD__V1__REQUEST__BODY_HELLO;
	request.hello = &body;
	len = wire_encode_request(&request, buf, sizeof(buf));
	MUST(len > 0);
	(void)sys_send(fd, buf, (size_t)len, NULL, 0);
	reply = sys_receive(fd, sys_ms(60000), NULL);
	snprintf(why, 600, "%s", reply && reply->status ? reply->status->message : "");
	return sys_code(reply);
}

/* A line in a file has no event. */
void world_logged(const char *line)
{
	uint64_t end = sys_now_ns() + (uint64_t)sys_ms(60000) * 1000000u;

	while (!sys_log_has(line)) {
		if (sys_now_ns() > end)
			sys_fail(__FILE__, __LINE__, "the log does not say: %s", line);
		poll(NULL, 0, 20);
	}
}

/* ---- kernels ---- */

const char *const world_lacks[WORLD_LACKS] = { "", "netns-id", "netns-id,pidfd-netns", "netns-id,pidfd-netns,pidfd-info,peerpidfd" };

void sys_start_lacking(const char *lacks, const char *config)
{
	MUST_EQ(setenv("SVAD_TEST_LACKS", lacks, 1), 0);
	sys_start(config);
}

void world_each(Suite *suite, const char *name, const TTest *test)
{
	TCase *c = tcase_create(name);

	tcase_set_timeout(c, 300);
	tcase_add_loop_test(c, test, 0, WORLD_LACKS);
	suite_add_tcase(suite, c);
}

/* ---- what runtimes say ---- */

static char *text(const char *s)
{
	return (char *)(uintptr_t)s;
}

static void attachment(Svad__V1__Attachment *a, const char *network, const char *id, const char *ifname)
{
	svad__v1__attachment__init(a);
	a->network = text(network);
	a->container_id = text(id);
	a->ifname = text(ifname);
}

Svad__V1__Reply *ct_register_with(Svad__V1__RegisterContainer *ask, const struct box *box, const char *network, const char *id,
				  const char *ifname)
{
	Svad__V1__Request request = SVAD__V1__REQUEST__INIT;
	Svad__V1__Attachment a;

	attachment(&a, network, id, ifname);
	ask->attachment = &a;
	ask->netns_cookie = box->cookie;
	ask->netns_dev = box->dev;
	ask->netns_inode = box->inode;
	ask->netns_path = text(box->path);
	ask->pid = box->child.pid;
	if (!ask->by[0])
		ask->by = text("cni");
	request.body_case = SVAD__V1__REQUEST__BODY_REGISTER_CONTAINER;
	request.register_container = ask;
	return sys_call(sys.admin, &request, NULL);
}

Svad__V1__Reply *ct_register(const struct box *box, const char *network, const char *id, const char *ifname)
{
	Svad__V1__RegisterContainer ask = SVAD__V1__REGISTER_CONTAINER__INIT;

	return ct_register_with(&ask, box, network, id, ifname);
}

void ct_registered(const struct box *box, const char *id)
{
	Svad__V1__Reply *reply = ct_register(box, "net", id, "eth0");

	if (sys_code(reply) != SVAD_OK)
		sys_fail(__FILE__, __LINE__, "RegisterContainer %s: %u %s", id, sys_code(reply),
			 reply && reply->status ? reply->status->message : "");
}

static size_t remove_request(const char *network, const char *id, const char *ifname, uint32_t timeout_ms, const char *by,
			     unsigned char *buf)
{
	Svad__V1__Request request = SVAD__V1__REQUEST__INIT;
	Svad__V1__RemoveContainer ask = SVAD__V1__REMOVE_CONTAINER__INIT;
	Svad__V1__Attachment a;
	ssize_t len;

	attachment(&a, network, id, ifname);
	ask.attachment = &a;
	ask.timeout_ms = timeout_ms;
	ask.by = text(by);
	request.id = 4711;
	request.body_case = SVAD__V1__REQUEST__BODY_REMOVE_CONTAINER;
	request.remove_container = &ask;
	len = wire_encode_request(&request, buf, WIRE_MAX);
	MUST(len > 0);
	return (size_t)len;
}

int ct_remove_send(const char *network, const char *id, const char *ifname, uint32_t timeout_ms, const char *by)
{
	static unsigned char buf[WIRE_MAX];
	size_t len = remove_request(network, id, ifname, timeout_ms, by, buf);
	int fd = sys_connect("admin.sock");

	MUST(fd >= 0);
	MUST_EQ(sys_code(sys_hello(fd, 0)), SVAD_OK);
	MUST(sys_send(fd, buf, len, NULL, 0));
	return fd;
}

Svad__V1__Reply *ct_remove_receive(int fd)
{
	Svad__V1__Reply *reply = sys_receive(fd, sys_ms(10000), NULL);

	MUST(reply && reply->id == 4711);
	close(fd);
	return reply;
}

Svad__V1__Reply *ct_remove(const char *network, const char *id, const char *ifname, uint32_t timeout_ms, const char *by)
{
	return ct_remove_receive(ct_remove_send(network, id, ifname, timeout_ms, by));
}

Svad__V1__Reply *ct_list(const char *only, bool removed, bool timeline)
{
	Svad__V1__Request request = SVAD__V1__REQUEST__INIT;
	Svad__V1__ListContainers ask = SVAD__V1__LIST_CONTAINERS__INIT;

	ask.only = text(only);
	ask.removed = removed;
	ask.timeline = timeline;
	request.body_case = SVAD__V1__REQUEST__BODY_LIST_CONTAINERS;
	request.list_containers = &ask;
	return sys_call(sys.admin, &request, NULL);
}

Svad__V1__Container *ct_find(const char *only, bool removed)
{
	Svad__V1__Reply *reply = ct_list(only, removed, true);

	if (sys_code(reply) == SVAD_NOT_FOUND)
		return NULL;
	MUST_EQ(sys_code(reply), SVAD_OK);
	MUST_EQ(reply->list_containers->n_containers, 1);
	return reply->list_containers->containers[0];
}

Svad__V1__Reply *ct_reconcile(void)
{
	Svad__V1__Request request = SVAD__V1__REQUEST__INIT;
	Svad__V1__ReconcileContainers ask = SVAD__V1__RECONCILE_CONTAINERS__INIT;
	Svad__V1__Reply *reply;

	request.body_case = SVAD__V1__REQUEST__BODY_RECONCILE_CONTAINERS;
	request.reconcile_containers = &ask;
	reply = sys_call(sys.admin, &request, NULL);
	if (sys_code(reply) != SVAD_OK)
		sys_fail(__FILE__, __LINE__, "ReconcileContainers: %u %s", sys_code(reply),
			 reply && reply->status ? reply->status->message : "");
	return reply;
}
