/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Network namespaces that are dead, and that nobody tells of: what svad finds by itself, and what it does not take for dead. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "netns-world.h"

#define QUIET "[containers]\nreconcile = 0\n"
#define EVENTUALLY_MS 60000

static void await_removed(const char *id)
{
	Svad__V1__Event *event;
	uint64_t end = sys_now_ns() + (uint64_t)sys_ms(EVENTUALLY_MS) * 1000000u;

	do {
		event = sys_next_event(sys_ms(EVENTUALLY_MS));
		MUST(event && sys_now_ns() < end);
	} while (event->kind != SVAD__V1__EVENT_KIND__EVENT_CONTAINER_REMOVED || strcmp(event->container, id) != 0);
}

static void need_reconciler(void)
{
	Svad__V1__Request request = SVAD__V1__REQUEST__INIT;
	Svad__V1__ReconcileContainers ask = SVAD__V1__RECONCILE_CONTAINERS__INIT;
	struct box box;
	unsigned code;

	box_start(&box);
	ct_registered(&box, "probe");
	request.body_case = SVAD__V1__REQUEST__BODY_RECONCILE_CONTAINERS;
	request.reconcile_containers = &ask;
	code = sys_code(sys_call(sys.admin, &request, NULL));
	MUST_EQ(sys_code(ct_remove("net", "probe", "eth0", 0, "cni")), SVAD_OK);
	box_kill(&box);
	if (code != SVAD_OK)
		tap_skip("the namespaces of some processes cannot be looked at here");
}

/* Nobody says that it has ended, and nobody asks. */
START_TEST(test_found_dead)
{
	struct box a, b;

	box_need();
	sys_start_lacking(world_lacks[_i], "[containers]\nreconcile = 100ms\n");
	need_reconciler();
	box_start(&a);
	box_start(&b);
	ct_registered(&a, "alpha");
	ct_registered(&b, "beta");
	box_kill(&a);
	await_removed("alpha");
	ck_assert_ptr_null(ct_find("alpha", false));
	ck_assert_ptr_nonnull(ct_find("beta", false));
	box_kill(&b);
	await_removed("beta");
	sys_stop();
}
END_TEST

/* Long before it is time to look: its last client has gone, and soon after that a look finds it dead. */
START_TEST(test_last_client)
{
	struct tenant t;
	struct box a;

	box_need();
	sys_start_lacking("", "[containers]\nreconcile = 24h\n");
	need_reconciler();
	box_start(&a);
	ct_registered(&a, "alpha");
	tenant_start(&t, &a, "sim0");
	box_kill(&a); /* the client is all that is left in there */
	ck_assert_uint_eq(ct_reconcile()->reconcile_containers->removed, 0);
	tenant_kill(&t);
	await_removed("alpha");
	sys_stop();
}
END_TEST

/* Alive by a mount that only the list of mounts tells of. */
START_TEST(test_bind_mount)
{
	char mountpoint[96];
	Svad__V1__Reply *reply;
	struct box a;
	int fd;

	box_need();
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		tap_skip("nothing can be mounted here");
	sys_start_lacking(world_lacks[_i], QUIET);
	need_reconciler();
	box_start(&a);
	snprintf(mountpoint, sizeof(mountpoint), "%s/a netns", sys.dir);
	fd = open(mountpoint, O_CREAT | O_CLOEXEC | O_WRONLY, 0644);
	MUST(fd >= 0);
	close(fd);
	MUST_EQ(mount(a.path, mountpoint, NULL, MS_BIND, NULL), 0);
	ct_registered(&a, "alpha"); /* its path is the process's */
	box_kill(&a);
	reply = ct_reconcile();
	ck_assert_uint_ge(reply->reconcile_containers->looked_at, 1);
	ck_assert_uint_eq(reply->reconcile_containers->removed, 0);
	ck_assert_ptr_nonnull(ct_find("alpha", false));
	MUST_EQ(umount2(mountpoint, MNT_DETACH), 0);
	reply = ct_reconcile();
	ck_assert_uint_eq(reply->reconcile_containers->removed, 1);
	ck_assert_str_eq(reply->reconcile_containers->names[0], "alpha");
	ck_assert_uint_eq(ct_reconcile()->reconcile_containers->removed, 0);
	sys_stop();
}
END_TEST

/* Dead, though an fd still refers to it: nobody is in it. */
START_TEST(test_held_by_fd)
{
	struct box a;
	int fd;

	box_need();
	sys_start_lacking(world_lacks[_i], QUIET);
	need_reconciler();
	box_start(&a);
	ct_registered(&a, "alpha");
	fd = open(a.path, O_RDONLY | O_CLOEXEC);
	MUST(fd >= 0);
	ck_assert_uint_eq(ct_reconcile()->reconcile_containers->removed, 0);
	box_kill(&a);
	ck_assert_uint_eq(ct_reconcile()->reconcile_containers->removed, 1);
	close(fd);
	sys_stop();
}
END_TEST

/* Alive by a thread of a process that is elsewhere. */
static void *thread_main(void *arg)
{
	struct stat st;
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);
	int fd;

	(void)arg;
	MUST_EQ(unshare(CLONE_NEWNET), 0);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	MUST_EQ(getsockopt(fd, SOL_SOCKET, 71 /* SO_NETNS_COOKIE */, &cookie, &len), 0);
	close(fd);
	MUST_EQ(stat("/proc/thread-self/ns/net", &st), 0);
	say("box %llu %llu %llu", (unsigned long long)cookie, (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
	pause();
	return NULL;
}

static void threaded(void *arg)
{
	pthread_t thread;

	(void)arg;
	MUST_EQ(pthread_create(&thread, NULL, thread_main, NULL), 0);
	hear_this("end");
}

START_TEST(test_thread)
{
	unsigned long long cookie, dev, inode;
	struct box a = { .path = "" };
	struct child child;

	box_need();
	sys_start_lacking("", QUIET);
	need_reconciler();
	sys_child(&child, threaded, NULL);
	MUST_EQ(sscanf(sys_expect(&child, "box "), "box %llu %llu %llu", &cookie, &dev, &inode), 3);
	a.cookie = cookie;
	a.dev = dev;
	a.inode = inode;
	ct_registered(&a, "alpha");
	ck_assert_uint_eq(ct_reconcile()->reconcile_containers->removed, 0);
	sys_kill(&child, SIGKILL);
	ck_assert_uint_eq(ct_reconcile()->reconcile_containers->removed, 1);
	sys_stop();
}
END_TEST

/* Without the right to look nothing is found dead, and whoever asks is told why. */
START_TEST(test_may_not_look)
{
	Svad__V1__Request request = SVAD__V1__REQUEST__INIT;
	Svad__V1__ReconcileContainers ask = SVAD__V1__RECONCILE_CONTAINERS__INIT;
	const Svad__V1__Reply *reply;
	struct box a;

	box_need();
	sys_start_lacking("ptrace", QUIET);
	box_start(&a);
	ct_registered(&a, "alpha");
	box_kill(&a);
	request.body_case = SVAD__V1__REQUEST__BODY_RECONCILE_CONTAINERS;
	request.reconcile_containers = &ask;
	reply = sys_call(sys.admin, &request, NULL);
	ck_assert_uint_ne(sys_code(reply), SVAD_OK);
	ck_assert_msg(strstr(reply->status->message, "CAP_SYS_PTRACE") != NULL, "%s", reply->status->message);
	ck_assert_ptr_nonnull(ct_find("alpha", false));
	sys_stop();
}
END_TEST

static Suite *reconcile_suite(void)
{
	Suite *s = suite_create("reconcile");

	world_each(s, "found_dead", test_found_dead);
	sys_test(s, "last_client", test_last_client);
	world_each(s, "bind_mount", test_bind_mount);
	world_each(s, "held_by_fd", test_held_by_fd);
	sys_test(s, "thread", test_thread);
	sys_test(s, "may_not_look", test_may_not_look);
	return s;
}

int main(int argc, char **argv)
{
	return tap_main(argc, argv, reconcile_suite, NULL);
}
