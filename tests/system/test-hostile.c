/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Clients that use what they were given against svad: what they break is theirs alone. */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "harness.h"

#define SHORT_STOP "[device \"sim0\"]\ndrain_deadline = 600ms\n[device \"sim1\"]\n"

/* A page that comes when nobody provides it: never. Its userfaultfd goes with the process. */
static void *page_that_never_comes(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);

	MUST(page != MAP_FAILED && fd >= 0 && ioctl(fd, UFFDIO_API, &api) == 0);
	reg.range.start = (uintptr_t)page;
	reg.range.len = 4096;
	MUST(ioctl(fd, UFFDIO_REGISTER, &reg) == 0);
	return page;
}

struct writer {
	int fd, tid;
	void *page;
};

static void *write_for_ever(void *arg)
{
	struct writer *w = arg;

	__atomic_store_n(&w->tid, (int)syscall(SYS_gettid), __ATOMIC_RELEASE);
	(void)!pwrite(w->fd, w->page, 8, 0x100);
	return NULL;
}

/* Waits until the thread hangs in its write: in /proc, for that has no event. */
static void await_hanging(const struct writer *w)
{
	char path[64], call[64] = "";

	while (!__atomic_load_n(&w->tid, __ATOMIC_ACQUIRE))
		poll(NULL, 0, 1);
	snprintf(path, sizeof(path), "/proc/self/task/%d/wchan", w->tid);
	while (!strstr(call, "userfault")) {
		FILE *f = fopen(path, "re");

		MUST(f);
		call[fread(call, 1, sizeof(call) - 1, f)] = '\0';
		fclose(f);
		poll(NULL, 0, 1);
	}
}

/* Its write to the portal's file holds the file's lock until the page comes. */
static void portal_locker(void *arg)
{
	static struct writer w;
	struct raw raw;
	struct raw_bond bond;
	pthread_t thread;

	(void)arg;
	raw_open(&raw);
	raw_bind(&raw, "sim0", &bond);
	w.fd = bond.portal_fd;
	w.page = page_that_never_comes();
	MUST(pthread_create(&thread, NULL, write_for_ever, &w) == 0);
	await_hanging(&w);
	say("bond %llu", (unsigned long long)bond.id);
	hear_this("never");
}

static bool userfaultfd_works(void)
{
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

START_TEST(test_portal_lock)
{
	Svad__V1__Revoke revoke = SVAD__V1__REVOKE__INIT;
	struct child locker, bystander;
	unsigned long long bond;
	Svad__V1__Reply *reply;

	if (!userfaultfd_works())
		tap_skip("userfaultfd: %s; run as root, or with vm.unprivileged_userfaultfd = 1", strerror(errno));
	sys_start(SHORT_STOP);
	bystander_start(&bystander, "sim1");
	sys_child(&locker, portal_locker, NULL);
	MUST_EQ(sscanf(sys_expect(&locker, "bond "), "bond %llu", &bond), 1);
	revoke.bond = bond;
	reply = sys_revoke(&revoke);
	ck_assert_uint_eq(sys_code(reply), SVAD_OK);
	ck_assert_uint_eq(reply->revoke->quarantined, 1);
	bystander_check(&bystander);
	/* a reset does not wait for it either */
	reply = sys_reset("sim0");
	ck_assert_uint_eq(sys_code(reply), SVAD_OK);
	ck_assert_uint_eq(reply->reset_device->quarantined, 1);
	bystander_check(&bystander);
	/* with the process the lock goes, and the quarantine */
	sys_kill(&locker, SIGKILL);
	sys_event(SVAD__V1__EVENT_KIND__EVENT_CLEAN, bond);
	bystander_end(&bystander);
	sys_stop();
}
END_TEST

static void bind_once(void *arg)
{
	struct raw_bond bond;
	struct raw raw;

	(void)arg;
	raw_open(&raw);
	say("open");
	raw_bind(&raw, "sim0", &bond);
	MUST_EQ(raw_unbind(&bond, SVAB_PASID_NONE, NULL), 0);
	raw_close(&raw);
}

/* The device has not seen the context yet when its client binds: who sent it must be known all the same. */
START_TEST(test_bind_before_the_device_looks)
{
	struct child child;
	pid_t simdev;

	sys_start("");
	simdev = sys_simdev();
	ck_assert_int_eq(kill(simdev, SIGSTOP), 0);
	sys_child(&child, bind_once, NULL);
	sys_expect(&child, "open");
	/* The broker's answers go on while the device stands still; that the client has bound by then is likely, not certain. */
	for (int i = 0; i < 50; i++)
		ck_assert_uint_eq(sys_code(sys_bonds()), SVAD_OK);
	ck_assert_int_eq(kill(simdev, SIGCONT), 0);
	ck_assert_int_eq(sys_reap(&child), 0);
	sys_stop();
}
END_TEST

/* A name that is cut must not be cut inside a character: no receiver would take the list that it is in. */
START_TEST(test_long_name)
{
	Svad__V1__Request request = SVAD__V1__REQUEST__INIT;
	Svad__V1__Hello hello = SVAD__V1__HELLO__INIT;
	Svad__V1__Version version = SVAD__V1__VERSION__INIT;
	Svad__V1__ListClients list = SVAD__V1__LIST_CLIENTS__INIT;
	char name[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\xc3\xa9 and on";
	Svad__V1__Reply *reply;
	int fd;

	sys_start("");
	fd = sys_connect("svad.sock");
	version.major = WIRE_VERSION_MAJOR;
	hello.min = hello.max = &version;
	hello.program = name;
	request.body_case = SVAD__V1__REQUEST__BODY_HELLO;
	request.hello = &hello;
	ck_assert_uint_eq(sys_code(sys_call(fd, &request, NULL)), SVAD_OK);
	request = (Svad__V1__Request)SVAD__V1__REQUEST__INIT;
	request.body_case = SVAD__V1__REQUEST__BODY_LIST_CLIENTS;
	request.list_clients = &list;
	reply = sys_call(sys.admin, &request, NULL);
	ck_assert_uint_eq(sys_code(reply), SVAD_OK);
	ck_assert_str_eq(reply->list_clients->clients[0]->program, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
	close(fd);
	sys_stop();
}
END_TEST

static Suite *hostile_suite(void)
{
	Suite *s = suite_create("hostile");

	sys_test(s, "portal-lock", test_portal_lock);
	sys_test(s, "bind-before-the-device-looks", test_bind_before_the_device_looks);
	sys_test(s, "long-name", test_long_name);
	return s;
}

int main(int argc, char **argv)
{
	return tap_main(argc, argv, hostile_suite, NULL);
}
