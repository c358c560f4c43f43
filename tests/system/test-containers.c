/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The registry of containers as runtimes and administrators meet it: who is known by what, what a removal leaves, what is refused. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "netns-world.h"

#define QUIET "[drain]\ndeadline = 30s\n[containers]\nreconcile = 0\n"
#define LONG_STOP "[device \"sim0\"]\ndrain_deadline = 10min\n[device \"sim1\"]\n" QUIET
#define SHORT_STOP "[device \"sim0\"]\ndrain_deadline = 600ms\n[device \"sim1\"]\n" QUIET

static char *text(const char *s)
{
	return (char *)(uintptr_t)s;
}

static void removed(const char *id, uint32_t ended)
{
	const Svad__V1__Reply *reply = ct_remove("net", id, "eth0", 0, "cni");

	ck_assert_uint_eq(sys_code(reply), SVAD_OK);
	ck_assert(reply->remove_container->known);
	ck_assert_uint_eq(reply->remove_container->ended, ended);
	ck_assert_uint_eq(reply->remove_container->clean, ended);
	ck_assert_uint_eq(reply->remove_container->pending, 0);
}

/* ---- who is who ---------------------------------------------------------------------------------- */

START_TEST(test_known)
{
	const Svad__V1__Container *c;
	const Svad__V1__Reply *reply;
	struct tenant t;
	struct box box;

	box_need();
	sys_start(QUIET);
	box_start(&box);
	reply = ct_register(&box, "net", "web-0123456789", "eth0");
	ck_assert_uint_eq(sys_code(reply), SVAD_OK);
	ck_assert(!reply->register_container->existed);
	ck_assert_uint_eq(reply->register_container->n_devices, 2);
	reply = ct_register(&box, "net", "web-0123456789", "eth0");
	ck_assert(reply->register_container->existed);
	tenant_start(&t, &box, "sim0 sim1");
	c = ct_find("web-0", false);
	ck_assert_ptr_nonnull(c);
	ck_assert_str_eq(c->name, "web-0123456789");
	ck_assert_uint_eq(c->netns_cookie, box.cookie);
	ck_assert_uint_eq(c->n_attachments, 1);
	ck_assert_uint_eq(c->clients, 1);
	ck_assert_uint_eq(c->connections, 1);
	ck_assert_uint_eq(c->bonds, 2);
	ck_assert_int_eq((int)c->state, (int)SVAD__V1__CONTAINER_STATE__CONTAINER_ACTIVE);
	ck_assert_uint_eq(c->n_timeline, 2);
	ck_assert_int_eq((int)c->timeline[0]->kind, (int)SVAD__V1__TIMELINE_KIND__TIMELINE_REGISTERED);
	ck_assert_int_eq((int)c->timeline[1]->kind, (int)SVAD__V1__TIMELINE_KIND__TIMELINE_FIRST_BIND);
	reply = sys_bonds();
	ck_assert_uint_eq(reply->list_bonds->n_bonds, 2);
	for (int i = 0; i < 2; i++)
		ck_assert_str_eq(reply->list_bonds->bonds[i]->container, "web-0123456789");
	ck_assert_uint_eq(sys_counter("svad_charged_uids"), 1); /* administrators' */
	tenant_end(&t);
	sys_await_counter("svad_bonds", 0);
	sys_await_counter("svad_clients", 0);
	c = ct_find("web", false);
	ck_assert_uint_eq(c->bonds, 0);
	ck_assert_uint_eq(c->connections, 0);
	ck_assert_uint_eq(c->clients, 0);
	removed("web-0123456789", 0);
	removed("web-0123456789", 0); /* DEL comes twice */
	reply = ct_remove("net", "stranger", "eth0", 0, "cni");
	ck_assert_uint_eq(sys_code(reply), SVAD_OK);
	ck_assert(!reply->remove_container->known);
	box_kill(&box);
	sys_stop();
}
END_TEST

static bool one_bond_of_its_own(struct tenant *t)
{
	unsigned n = 0;
	int code;

	sys_tell(&t->child, "ask");
	ck_assert_int_eq(sscanf(sys_expect(&t->child, "asked "), "asked %d %u", &code, &n), 2);
	return code == SVAD_OK && n == 1;
}

START_TEST(test_two_of_them)
{
	struct tenant a, b;
	struct box box[2];

	box_need();
	sys_start(QUIET);
	for (int i = 0; i < 2; i++)
		box_start(&box[i]);
	ct_registered(&box[0], "a");
	ct_registered(&box[1], "b");
	tenant_start(&a, &box[0], "sim0");
	tenant_start(&b, &box[1], "sim0");
	ck_assert(one_bond_of_its_own(&a));
	ck_assert(one_bond_of_its_own(&b));
	ck_assert_uint_eq(ct_find("a", false)->bonds, 1);
	ck_assert_uint_eq(ct_find("b", false)->bonds, 1);
	removed("a", 1);
	ck_assert(one_bond_of_its_own(&b));
	ck_assert_uint_eq(ct_find("b", false)->bonds, 1);
	tenant_kill(&a);
	tenant_end(&b);
	sys_await_counter("svad_bonds", 0);
	removed("b", 0);
	for (int i = 0; i < 2; i++)
		box_kill(&box[i]);
	sys_stop();
}
END_TEST

/* A container that is removed while processes of it live: they are refused, and are not the host's either. */
START_TEST(test_left_over)
{
	struct tenant t;
	struct box box;

	box_need();
	sys_start("[policy \"root\"]\nuid = 0\ndevices = *\n" QUIET);
	box_start(&box);
	ck_assert_uint_eq(tenant_try(&box, "sim0"), SVAD_OK); /* of no container: the host's policy */
	ct_registered(&box, "c");
	tenant_start(&t, &box, "sim0 sim1");
	removed("c", 2);
	ck_assert(!tenant_has_connection(&t));
	tenant_kill(&t);
	ck_assert_uint_eq(tenant_try(&box, "sim0"), SVAD_PERMISSION_DENIED);
	ck_assert_uint_eq(sys_counter("svad_containers_removed"), 1);
	/* ... until the runtime says that it is there again. */
	ct_registered(&box, "c2");
	ck_assert_uint_eq(sys_counter("svad_containers_removed"), 0);
	ck_assert_uint_eq(tenant_try(&box, "sim0"), SVAD_OK);
	ck_assert_str_eq(ct_find("c2", false)->name, "c2");
	ck_assert_ptr_null(ct_find("c", false) && strcmp(ct_find("c", false)->name, "c") == 0 ? "c" : NULL);
	sys_await_counter("svad_bonds", 0);
	removed("c2", 0);
	box_kill(&box);
	/* Nobody can come from a dead netns. */
	(void)ct_reconcile();
	ck_assert_uint_eq(sys_counter("svad_containers_removed"), 0);
	ck_assert_ptr_nonnull(ct_find("c2", true));
	sys_stop();
}
END_TEST

static const Svad__V1__Container *forgotten_or_removed(const char *id)
{
	const Svad__V1__Container *c = ct_find(id, true);

	ck_assert_ptr_nonnull(c);
	ck_assert_int_eq((int)c->state, (int)SVAD__V1__CONTAINER_STATE__CONTAINER_REMOVED);
	return c;
}

/* The kernel gives a dead netns's inode to the next one at once: its cookie tells them apart. */
START_TEST(test_same_inode)
{
	struct box old, next;
	struct tenant t;

	box_need();
	sys_start(QUIET);
	box_start(&old);
	ct_registered(&old, "old");
	tenant_start(&t, &old, "sim0 sim1");
	box_start(&next);
	/* As if the first had been dead for long: nothing says so to svad but this. */
	next.dev = old.dev;
	next.inode = old.inode;
	ct_registered(&next, "next");
	sys_await_counter("svad_bonds", 0);
	(void)forgotten_or_removed("old");
	ck_assert_uint_eq(sys_counter("svad_containers"), 1);
	sys_await_counter("svad_containers_removed", 0); /* it is known to be dead: no tombstone is needed */
	tenant_kill(&t);
	removed("next", 0);
	box_kill(&old);
	box_kill(&next);
	sys_stop();
}
END_TEST

START_TEST(test_same_attachment)
{
	struct box box[2];
	struct tenant t;

	box_need();
	sys_start(QUIET);
	for (int i = 0; i < 2; i++)
		box_start(&box[i]);
	ct_registered(&box[0], "again");
	tenant_start(&t, &box[0], "sim0");
	ct_registered(&box[1], "again");
	sys_await_counter("svad_bonds", 0);
	ck_assert_uint_eq(sys_counter("svad_containers"), 1);
	ck_assert_uint_eq(sys_counter("svad_containers_removed"), 1); /* whose netns may live */
	ck_assert_uint_eq(ct_find("again", false)->netns_cookie, box[1].cookie);
	ck_assert_uint_eq(tenant_try(&box[0], "sim0"), SVAD_PERMISSION_DENIED);
	ck_assert_uint_eq(tenant_try(&box[1], "sim0"), SVAD_OK);
	tenant_kill(&t);
	sys_await_counter("svad_bonds", 0);
	removed("again", 0);
	for (int i = 0; i < 2; i++)
		box_kill(&box[i]);
	(void)ct_reconcile();
	ck_assert_uint_eq(sys_counter("svad_containers_removed"), 0);
	sys_stop();
}
END_TEST

/* A pod's second network: the container goes on while one attachment is left, with what that permits. */
START_TEST(test_attachments)
{
	Svad__V1__RegisterContainer ask = SVAD__V1__REGISTER_CONTAINER__INIT;
	char *globs[] = { text("sim0") };
	const Svad__V1__Reply *reply;
	const Svad__V1__Event *event;
	struct tenant t;
	struct box box;

	box_need();
	sys_start(QUIET);
	box_start(&box);
	ask.devices = globs;
	ask.n_devices = 1;
	ck_assert_uint_eq(sys_code(ct_register_with(&ask, &box, "first", "pod", "eth0")), SVAD_OK);
	ck_assert_uint_eq(tenant_try(&box, "sim1"), SVAD_PERMISSION_DENIED);
	globs[0] = text("sim1");
	reply = ct_register_with(&ask, &box, "second", "pod", "eth1");
	ck_assert_uint_eq(sys_code(reply), SVAD_OK);
	ck_assert_uint_eq(reply->register_container->n_devices, 2);
	tenant_start(&t, &box, "sim0 sim1");
	reply = ct_remove("second", "pod", "eth1", 0, "cni");
	ck_assert_uint_eq(sys_code(reply), SVAD_OK);
	ck_assert_uint_eq(reply->remove_container->attachments_left, 1);
	ck_assert_uint_eq(reply->remove_container->ended, 0);
	event = sys_event(SVAD__V1__EVENT_KIND__EVENT_CLEAN, t.bonds[1]);
	ck_assert_int_eq((int)event->cause, SVAB_CAUSE_POLICY);
	ck_assert(one_bond_of_its_own(&t));
	ck_assert_uint_eq(tenant_try(&box, "sim1"), SVAD_PERMISSION_DENIED);
	/* Without network and ifname: all that is left of that id. */
	reply = ct_remove("", "pod", "", 0, "svadctl");
	ck_assert_uint_eq(sys_code(reply), SVAD_OK);
	ck_assert(reply->remove_container->known);
	ck_assert_uint_eq(reply->remove_container->ended, 1);
	ck_assert_uint_eq(reply->remove_container->clean, 1);
	tenant_kill(&t);
	box_kill(&box);
	sys_stop();
}
END_TEST

/* ---- removal ---------------------------------------------------------------------------------------- */

/* DEL comes while ADD is not finished: the supervisor, which stores, stands still meanwhile. */
START_TEST(test_del_before_add)
{
	static unsigned char buf[WIRE_MAX];
	Svad__V1__Request request = SVAD__V1__REQUEST__INIT;
	Svad__V1__RegisterContainer ask = SVAD__V1__REGISTER_CONTAINER__INIT;
	Svad__V1__Attachment a = SVAD__V1__ATTACHMENT__INIT;
	const Svad__V1__Reply *reply;
	struct box box;
	ssize_t len;
	int del;

	box_need();
	sys_start(QUIET);
	box_start(&box);
	a.network = text("net");
	a.container_id = text("hasty");
	a.ifname = text("eth0");
	ask.attachment = &a;
	ask.netns_cookie = box.cookie;
	ask.netns_dev = box.dev;
	ask.netns_inode = box.inode;
	request.id = 42;
	request.body_case = SVAD__V1__REQUEST__BODY_REGISTER_CONTAINER;
	request.register_container = &ask;
	len = wire_encode_request(&request, buf, sizeof(buf));
	MUST_EQ(kill(sys.pid, SIGSTOP), 0);
	ck_assert(sys_send(sys.admin, buf, (size_t)len, NULL, 0));
	sys_event(SVAD__V1__EVENT_KIND__EVENT_CONTAINER_ADDED, 0);
	del = ct_remove_send("net", "hasty", "eth0", 0, "cni");
	sys_event(SVAD__V1__EVENT_KIND__EVENT_CONTAINER_REMOVED, 0);
	MUST_EQ(kill(sys.pid, SIGCONT), 0);
	reply = sys_receive(sys.admin, sys_ms(10000), NULL);
	ck_assert_ptr_nonnull(reply);
	ck_assert_uint_eq(reply->id, 42);
	ck_assert_uint_eq(sys_code(reply), SVAD_ABORTED);
	reply = ct_remove_receive(del);
	ck_assert_uint_eq(sys_code(reply), SVAD_OK);
	ck_assert(reply->remove_container->known);
	ck_assert_ptr_null(ct_find("hasty", false));
	removed("hasty", 0);
	box_kill(&box);
	sys_stop();
}
END_TEST

/* A device that does not stop: DEL is answered in its time, and the quarantine keeps the container's name. */
START_TEST(test_stuck_device)
{
	const Svad__V1__Reply *reply;
	const Svad__V1__Container *c;
	const Svad__V1__Bond *bond;
	struct tenant t;
	struct box box;
	bool released = false;

	box_need();
	sys_start(SHORT_STOP);
	box_start(&box);
	ct_registered(&box, "stuck");
	tenant_start(&t, &box, "sim0 sim1");
	sys_fault_ok("stop sim0 ignore forever");
	reply = ct_remove("net", "stuck", "eth0", 0, "cni");
	ck_assert_uint_eq(sys_code(reply), SVAD_OK);
	ck_assert_uint_eq(reply->remove_container->ended, 2);
	ck_assert_uint_eq(reply->remove_container->clean, 1);
	ck_assert_uint_eq(reply->remove_container->quarantined, 1);
	ck_assert_uint_eq(reply->remove_container->pending, 0);
	ck_assert_uint_ge(reply->remove_container->slowest_ns, 600000000u);
	tenant_kill(&t);
	box_kill(&box);
	(void)ct_reconcile();
	/* The client and the netns are gone; whose the bond was is known. */
	reply = sys_bonds();
	ck_assert_uint_eq(reply->list_bonds->n_bonds, 1);
	bond = reply->list_bonds->bonds[0];
	ck_assert_str_eq(bond->container, "stuck");
	ck_assert_int_eq((int)bond->state, SVAB_PASID_QUARANTINED);
	ck_assert_int_eq((int)bond->cause, SVAB_CAUSE_CONTAINER_GONE);
	c = ct_find("stuck", true);
	ck_assert_ptr_nonnull(c);
	ck_assert_uint_eq(c->quarantined, 1);
	ck_assert_uint_eq(sys_counter("svad_containers_removed"), 1); /* a tombstone, as long as that is so */
	reply = ct_remove("net", "stuck", "eth0", 0, "cni");
	ck_assert_uint_eq(sys_code(reply), SVAD_OK);
	ck_assert_uint_eq(reply->remove_container->quarantined, 1);
	sys_fault_ok("stop sim0 obey");
	ck_assert_uint_eq(sys_code(sys_reset("sim0")), SVAD_OK);
	sys_await_counter("svad_bonds", 0);
	sys_await_counter("svad_containers_removed", 0);
	reply = ct_remove("net", "stuck", "eth0", 0, "cni");
	ck_assert_uint_eq(reply->remove_container->quarantined, 0);
	ck_assert_uint_eq(reply->remove_container->clean, 2);
	c = ct_find("stuck", true);
	for (size_t i = 0; i < c->n_timeline; i++)
		released |= c->timeline[i]->kind == SVAD__V1__TIMELINE_KIND__TIMELINE_QUARANTINE_END &&
			    c->timeline[i]->bond && c->timeline[i]->bond->bond == t.bonds[0];
	ck_assert(released);
	sys_stop();
}
END_TEST

/* The runtime has less patience than the device. */
START_TEST(test_impatient)
{
	const Svad__V1__Reply *reply;
	struct tenant t;
	struct box box;
	int later;

	box_need();
	sys_start(LONG_STOP);
	box_start(&box);
	ct_registered(&box, "slow");
	tenant_start(&t, &box, "sim0 sim1");
	sys_fault_ok("stop sim0 ignore forever");
	reply = ct_remove("net", "slow", "eth0", 200, "cni");
	ck_assert_uint_eq(sys_code(reply), SVAD_DEADLINE_EXCEEDED);
	ck_assert_uint_eq(reply->remove_container->ended, 2);
	ck_assert_uint_ge(reply->remove_container->pending, 1);
	ck_assert_int_eq((int)ct_find("slow", false)->state, (int)SVAD__V1__CONTAINER_STATE__CONTAINER_REMOVING);
	/* One that goes away while it waits takes nothing with it; one that stays is told. */
	close(ct_remove_send("net", "slow", "eth0", 0, "cni"));
	later = ct_remove_send("net", "slow", "eth0", 0, "gc");
	(void)sys_counter("svad_bonds");
	sys_fault_ok("stop sim0 obey");
	reply = ct_remove_receive(later);
	ck_assert_uint_eq(sys_code(reply), SVAD_OK);
	ck_assert_uint_eq(reply->remove_container->ended, 2);
	ck_assert_uint_eq(reply->remove_container->clean, 2);
	tenant_kill(&t);
	box_kill(&box);
	sys_stop();
}
END_TEST

/* A client that does not run is not asked: its bonds end all the same. */
START_TEST(test_frozen_client)
{
	struct tenant t;
	struct box box;

	box_need();
	sys_start(QUIET);
	box_start(&box);
	ct_registered(&box, "frozen");
	tenant_start(&t, &box, "sim0 sim1");
	MUST_EQ(kill(t.child.pid, SIGSTOP), 0);
	removed("frozen", 2);
	sys_await_counter("svad_bonds", 0);
	sys_await_counter("svad_clients", 0);
	MUST_EQ(kill(t.child.pid, SIGCONT), 0);
	ck_assert(!tenant_has_connection(&t));
	tenant_kill(&t);
	box_kill(&box);
	sys_stop();
}
END_TEST

START_TEST(test_revoke)
{
	Svad__V1__Revoke ask = SVAD__V1__REVOKE__INIT;
	const Svad__V1__Reply *reply;
	struct tenant a, b;
	struct box box[2];

	box_need();
	sys_start(QUIET);
	for (int i = 0; i < 2; i++)
		box_start(&box[i]);
	ct_registered(&box[0], "abc1");
	ct_registered(&box[1], "abc2");
	tenant_start(&a, &box[0], "sim0 sim1");
	tenant_start(&b, &box[1], "sim0");
	ask.container = text("abc");
	ck_assert_uint_eq(sys_code(sys_revoke(&ask)), SVAD_FAILED_PRECONDITION);
	ask.container = text("nobody");
	ck_assert_uint_eq(sys_code(sys_revoke(&ask)), SVAD_NOT_FOUND);
	ask.container = text("abc1");
	reply = sys_revoke(&ask);
	ck_assert_uint_eq(sys_code(reply), SVAD_OK);
	ck_assert_uint_eq(reply->revoke->ended, 2);
	ck_assert_uint_eq(reply->revoke->clean, 2);
	ck_assert(tenant_has_connection(&a)); /* it stays registered, and may bind again */
	ck_assert_uint_eq(tenant_try(&box[0], "sim0"), SVAD_OK);
	ck_assert(one_bond_of_its_own(&b));
	tenant_end(&a);
	tenant_end(&b);
	sys_await_counter("svad_bonds", 0);
	for (int i = 0; i < 2; i++)
		box_kill(&box[i]);
	sys_stop();
}
END_TEST

/* ---- nonsense, and much ------------------------------------------------------------------------------- */

static void refused(const struct box *box, const char *network, const char *id, const char *ifname, unsigned code)
{
	const Svad__V1__Reply *reply = ct_register(box, network, id, ifname);

	ck_assert_uint_eq(sys_code(reply), code);
	ck_assert(reply->status && strlen(reply->status->message) > 20);
}

START_TEST(test_nonsense)
{
	Svad__V1__RegisterContainer ask = SVAD__V1__REGISTER_CONTAINER__INIT;
	char longest[300], *globs[65];
	struct box box = { .cookie = 77, .dev = 4, .inode = 99 }, host;
	int fd;

	box_need();
	sys_start(QUIET);
	memset(longest, 'x', sizeof(longest));
	longest[256] = '\0';
	refused(&box, "net", "", "eth0", SVAD_INVALID_ARGUMENT);
	refused(&box, "net", "-x", "eth0", SVAD_INVALID_ARGUMENT);
	refused(&box, "net", "a/b", "eth0", SVAD_INVALID_ARGUMENT);
	refused(&box, "net", longest, "eth0", SVAD_INVALID_ARGUMENT);
	refused(&box, longest, "x", "eth0", SVAD_INVALID_ARGUMENT);
	refused(&box, "", "x", "eth0", SVAD_INVALID_ARGUMENT);
	refused(&box, "net", "x", "eth0123456789abcd", SVAD_INVALID_ARGUMENT);
	host = box;
	host.cookie = 0;
	refused(&host, "net", "x", "eth0", SVAD_INVALID_ARGUMENT);
	host.cookie = 77;
	host.inode = 0;
	refused(&host, "net", "x", "eth0", SVAD_INVALID_ARGUMENT);
	for (unsigned i = 0; i < 65; i++)
		globs[i] = text("sim*");
	ask.devices = globs;
	ask.n_devices = 65;
	ck_assert_uint_eq(sys_code(ct_register_with(&ask, &box, "net", "x", "eth0")), SVAD_INVALID_ARGUMENT);
	/* The host's own. */
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	host.inode = 5;
	MUST_EQ(getsockopt(fd, SOL_SOCKET, 71 /* SO_NETNS_COOKIE */, &host.cookie, &(socklen_t) { sizeof(host.cookie) }), 0);
	close(fd);
	refused(&host, "net", "x", "eth0", SVAD_FAILED_PRECONDITION);
	ck_assert_uint_eq(sys_code(ct_remove("net", "", "eth0", 0, "cni")), SVAD_INVALID_ARGUMENT);
	ck_assert_uint_eq(sys_code(ct_list("x", true, false)), SVAD_NOT_FOUND);
	ck_assert_uint_eq(sys_counter("svad_containers"), 0);
	sys_stop();
}
END_TEST

static void name_of(unsigned i, char name[256])
{
	memset(name, 'n', 255);
	snprintf(name + 200, 56, "-%06u", i);
}

/* Rows as wide as they can be: pages have as many as fit a packet, and all come. */
START_TEST(test_pages)
{
	enum { N = 150 };
	Svad__V1__Request request = SVAD__V1__REQUEST__INIT;
	Svad__V1__ListContainers ask = SVAD__V1__LIST_CONTAINERS__INIT;
	Svad__V1__Page page = SVAD__V1__PAGE__INIT;
	Svad__V1__RegisterContainer reg = SVAD__V1__REGISTER_CONTAINER__INIT;
	char name[256], pod[1024], *globs[64];
	unsigned seen = 0, pages_n = 0;

	box_need();
	sys_start(QUIET);
	memset(pod, 'p', sizeof(pod) - 1);
	pod[sizeof(pod) - 1] = '\0';
	for (unsigned i = 0; i < 64; i++) {
		globs[i] = malloc(64);
		snprintf(globs[i], 64, "some-device-with-a-rather-long-name-indeed-number-%02u-*", i);
	}
	reg.pod_name = reg.pod_namespace = reg.pod_uid = pod;
	reg.devices = globs;
	reg.n_devices = 64;
	for (unsigned i = 0; i < N; i++) {
		struct box box = { .cookie = 100000 + i, .dev = 4, .inode = 1 + i };

		name_of(i, name);
		ck_assert_uint_eq(sys_code(ct_register_with(&reg, &box, name, name, "eth0")), SVAD_OK);
	}
	ask.page = &page;
	page.size = 200;
	request.body_case = SVAD__V1__REQUEST__BODY_LIST_CONTAINERS;
	request.list_containers = &ask;
	do {
		const Svad__V1__Reply *reply;

		request.id = 0;
		reply = sys_call(sys.admin, &request, NULL);
		ck_assert_uint_eq(sys_code(reply), SVAD_OK);
		for (size_t i = 0; i < reply->list_containers->n_containers; i++) {
			name_of(seen++, name);
			ck_assert_str_eq(reply->list_containers->containers[i]->name, name);
		}
		page.after = reply->list_containers->next;
		pages_n++;
	} while (page.after);
	ck_assert_uint_eq(seen, N);
	ck_assert_uint_gt(pages_n, 5);
	for (unsigned i = 0; i < 64; i++)
		free(globs[i]);
	sys_stop();
}
END_TEST

/* A thousand, and GC of them all: no write for each. */
START_TEST(test_thousand)
{
	unsigned n = tap_scale(1000);
	uint64_t writes, before;
	int fds[50];

	box_need();
	sys_start(QUIET);
	for (unsigned i = 0; i < n; i++) {
		struct box box = { .cookie = 100000 + i, .dev = 4, .inode = 1 + i };
		char id[32];

		snprintf(id, sizeof(id), "c%u", i);
		ct_registered(&box, id);
	}
	ck_assert_uint_eq(sys_counter("svad_containers"), n);
	before = sys_counter("svad_store_writes_total");
	/* While the supervisor stands still all the requests come in; then one write is enough for what has come. */
	for (unsigned i = 0; i < n; i += 50) {
		unsigned k = n - i < 50 ? n - i : 50;

		MUST_EQ(kill(sys.pid, SIGSTOP), 0);
		for (unsigned j = 0; j < k; j++) {
			char id[32];

			snprintf(id, sizeof(id), "c%u", i + j);
			fds[j] = ct_remove_send("net", id, "eth0", (uint32_t)sys_ms(10000), "gc");
		}
		sys_await_counter("svad_containers", n - i - k);
		MUST_EQ(kill(sys.pid, SIGCONT), 0);
		for (unsigned j = 0; j < k; j++)
			ck_assert_uint_eq(sys_code(ct_remove_receive(fds[j])), SVAD_OK);
	}
	writes = sys_counter("svad_store_writes_total") - before;
	ck_assert_uint_le(writes, 3 * (n / 50 + 1));
	ck_assert_uint_eq(sys_counter("svad_containers_removed"), n);
	/* Their netnses never were: all can be forgotten, but for the last few, for people. */
	(void)ct_reconcile();
	ck_assert_uint_eq(sys_counter("svad_containers_removed"), 0);
	sys_stop();
}
END_TEST

static Suite *containers_suite(void)
{
	Suite *s = suite_create("containers");

	sys_test(s, "known", test_known);
	sys_test(s, "two-of-them", test_two_of_them);
	sys_test(s, "left-over", test_left_over);
	sys_test(s, "same-inode", test_same_inode);
	sys_test(s, "same-attachment", test_same_attachment);
	sys_test(s, "attachments", test_attachments);
	sys_test(s, "del-before-add", test_del_before_add);
	sys_test(s, "stuck-device", test_stuck_device);
	sys_test(s, "impatient", test_impatient);
	sys_test(s, "frozen-client", test_frozen_client);
	sys_test(s, "revoke", test_revoke);
	sys_test(s, "nonsense", test_nonsense);
	sys_test(s, "pages", test_pages);
	sys_test(s, "thousand", test_thousand);
	return s;
}

int main(int argc, char **argv)
{
	return tap_main(argc, argv, containers_suite, NULL);
}
