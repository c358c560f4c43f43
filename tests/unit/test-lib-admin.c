/* SPDX-License-Identifier: GPL-2.0-or-later */
/* libsvaclient's administrators' half, against a fake admin.sock. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sva/admin.h>

#include "../../proto/status.h"
#include "fake-admin.h"
#include "tap.h"

/* What is answered has much time; what is never answered is asked with little. */
#define PATIENT ((int)(10000 * tap_patience()))
#define HASTY ((int)(150 * tap_slow()))

static struct fake_admin fake;

static int open_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static int fds_before;

static void setup(void)
{
	fds_before = open_fds();
	fake_admin_start(&fake);
}

static void teardown(void)
{
	fake_admin_stop(&fake);
	ck_assert_int_eq(open_fds(), fds_before);
}

static struct sva_admin *connected(int timeout_ms)
{
	struct sva_admin *admin = NULL;
	int r;

	do
		r = sva_admin_connect(fake.path, PATIENT, &admin);
	while (r == -ETIMEDOUT);
	ck_assert_msg(r == 0, "%s", sva_admin_strerror(NULL, r));
	ck_assert_int_eq(sva_admin_set_timeout(admin, timeout_ms), 0);
	return admin;
}

static void ck_words(const struct sva_admin *admin, int r, int expected, const char *words)
{
	const char *text = sva_admin_strerror(admin, r);

	ck_assert_msg(r == expected, "%d (%s), not %d", r, text, expected);
	ck_assert_msg(strstr(text, words) != NULL, "\"%s\" says nothing of \"%s\"", text, words);
}

static struct sva_registration a_registration(const char *id)
{
	return (struct sva_registration){
		.size = sizeof(struct sva_registration),
		.attachment = { "net", id, "eth0" },
		.netns_cookie = 5,
		.netns_dev = 4,
		.netns_inode = 99,
		.by = "test",
	};
}

/* ---- connecting ---- */

START_TEST(test_connect_errors)
{
	struct sva_admin *admin = (void *)1;
	char path[200];
	int r, fd;

	ck_words(NULL, sva_admin_connect("/nonexistent/admin.sock", 0, &admin), -ECONNREFUSED,
		 "is it running");
	ck_assert_ptr_eq(admin, (void *)1);
	ck_assert_int_eq(sva_admin_connect(fake.path, 0, NULL), -EINVAL);
	memset(path, 'x', sizeof(path));
	path[0] = '/';
	path[sizeof(path) - 1] = '\0';
	ck_words(NULL, sva_admin_connect(path, 0, &admin), -ENAMETOOLONG, "too long");

	fake_admin_down(&fake);
	ck_words(NULL, sva_admin_connect(fake.path, 0, &admin), -ECONNREFUSED, fake.path);
	fd = open(fake.path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600); /* a plain file there */
	ck_assert_int_ge(fd, 0);
	close(fd);
	ck_assert_int_eq(sva_admin_connect(fake.path, 0, &admin), -ECONNREFUSED);
	if (geteuid() != 0) {
		ck_assert_int_eq(chmod(fake.directory, 0), 0);
		r = sva_admin_connect(fake.path, 0, &admin);
		(void)chmod(fake.directory, 0700);
		ck_words(NULL, r, -EACCES, "root");
	}
	fake_admin_up(&fake);
}
END_TEST

START_TEST(test_connect_kind)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct sva_admin *admin = NULL;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/stream", fake.directory);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(listen(fd, 1), 0);
	ck_words(NULL, sva_admin_connect(address.sun_path, 0, &admin), -EPROTOTYPE, "another kind");
	close(fd);
	unlink(address.sun_path);
}
END_TEST

START_TEST(test_connect_hello)
{
	static const struct {
		int how, error;
		const char *words;
	} cases[] = {
		{ ADMIN_SILENT, -ETIMEDOUT, "did not answer" },
		{ ADMIN_EOF, -ECONNRESET, "closed the connection" },
		{ ADMIN_GARBAGE, -EPROTO, "makes no sense" },
		{ ADMIN_WRONG, -EPROTO, "makes no sense" },
		{ ADMIN_WRONG_ID, -EPROTO, "makes no sense" },
		{ ADMIN_FD, -EPROTO, "makes no sense" },
		{ ADMIN_VERSION, -EPROTONOSUPPORT, "speaks protocol 2.0" },
		{ ADMIN_STATUS, -EPROTONOSUPPORT, "the fake refuses" },
		{ ADMIN_STRANGER, -EPROTONOSUPPORT, "the fake refuses" },
	};
	struct sva_admin *admin = NULL;

	atomic_store(&fake.status, SVAD_FAILED_PRECONDITION);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		atomic_store(&fake.hello, cases[i].how);
		ck_words(NULL,
			 sva_admin_connect(fake.path, cases[i].how == ADMIN_SILENT ? HASTY : PATIENT, &admin),
			 cases[i].error, cases[i].words);
	}
	atomic_store(&fake.hello, ADMIN_EVENTS);
	sva_admin_disconnect(connected(PATIENT));
}
END_TEST

/* A listener whose backlog is full and that nobody reads. */
START_TEST(test_connect_full)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), filler[8];
	struct sva_admin *admin = NULL;

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/full", fake.directory);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(listen(fd, 0), 0);
	for (size_t i = 0; i < 8; i++) {
		filler[i] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		(void)connect(filler[i], (struct sockaddr *)&address, sizeof(address));
	}
	ck_words(NULL, sva_admin_connect(address.sun_path, HASTY, &admin), -ETIMEDOUT, "does not accept");
	for (size_t i = 0; i < 8; i++)
		close(filler[i]);
	close(fd);
	unlink(address.sun_path);
}
END_TEST

START_TEST(test_address)
{
	struct sva_admin *admin = NULL;

	setenv("SVAD_ADMIN_SOCKET", fake.path, 1);
	ck_assert_int_eq(sva_admin_connect(NULL, PATIENT, &admin), 0);
	sva_admin_disconnect(admin);
	ck_assert_int_eq(sva_admin_connect("", PATIENT, &admin), 0);
	sva_admin_disconnect(admin);
	unsetenv("SVAD_ADMIN_SOCKET");
	sva_admin_disconnect(NULL);
	ck_assert_int_eq(sva_admin_set_timeout(NULL, 5), -EINVAL);
	ck_assert_int_eq(sva_admin_reconcile(NULL, NULL), -EINVAL);
}
END_TEST

/* ---- one call after the other ---- */

START_TEST(test_register)
{
	static const char *const devices[] = { "sim*", "accel0" };
	struct sva_admin *admin = connected(PATIENT);
	struct sva_registration reg = a_registration("abc");
	struct sva_registered ret = { .size = sizeof(ret) };
	struct admin_attachment seen;

	reg.netns_path = "/proc/1/ns/net";
	reg.pid = 17;
	reg.pod_namespace = "space";
	reg.pod_name = "pod";
	reg.pod_uid = "uid";
	reg.devices = devices;
	reg.n_devices = 2;
	reg.limits = (struct sva_container_limits){ 1, 2, 3, 4 };
	ck_assert_int_eq(sva_admin_register(admin, &reg, &ret), 0);
	ck_assert_uint_eq(ret.size, sizeof(ret));
	ck_assert_uint_eq(ret.existed, 0);
	ck_assert_uint_eq(ret.n_devices, 2);
	ck_assert_str_eq(ret.devices, "sim0 sim1");
	ck_assert(fake_admin_find(&fake, "net", "abc", "eth0", &seen));
	ck_assert_uint_eq(ret.container, seen.container);
	ck_assert_uint_eq(seen.cookie, 5);
	ck_assert_uint_eq(seen.dev, 4);
	ck_assert_uint_eq(seen.inode, 99);
	ck_assert_int_eq(seen.pid, 17);
	ck_assert_str_eq(seen.netns_path, "/proc/1/ns/net");
	ck_assert_str_eq(seen.pod_namespace, "space");
	ck_assert_str_eq(seen.pod_name, "pod");
	ck_assert_str_eq(seen.pod_uid, "uid");
	ck_assert_str_eq(seen.devices, "sim* accel0");
	ck_assert_str_eq(seen.by, "test");
	for (unsigned i = 0; i < 4; i++)
		ck_assert_uint_eq(seen.limits[i], i + 1);

	ck_assert_int_eq(sva_admin_register(admin, &reg, &ret), 0);
	ck_assert_uint_eq(ret.existed, 1);
	ck_assert_int_eq(sva_admin_register(admin, &reg, NULL), 0);
	sva_admin_disconnect(admin);
}
END_TEST

START_TEST(test_arguments)
{
	struct sva_admin *admin = connected(PATIENT);
	struct sva_registration reg = a_registration("a\nb");
	struct sva_registered ret = { .size = 0 };
	struct sva_status_none {
		uint32_t size;
	} none = { 0 };
	struct {
		struct sva_registration reg;
		uint64_t newer;
	} grown = { a_registration("grown"), 0 };
	char big[5000];

	ck_words(admin, sva_admin_register(admin, &reg, NULL), -EINVAL, "container_id");
	reg = a_registration("abc");
	ck_words(admin, sva_admin_register(admin, &reg, &ret), -EINVAL, "size");
	reg.size = 8;
	ck_words(admin, sva_admin_register(admin, &reg, NULL), -EINVAL, "size");
	reg = a_registration("abc");
	reg.n_devices = 3;
	ck_words(admin, sva_admin_register(admin, &reg, NULL), -EINVAL, "devices");
	memset(big, 'x', sizeof(big));
	big[sizeof(big) - 1] = '\0';
	reg = a_registration("abc");
	reg.netns_path = big;
	ck_words(admin, sva_admin_register(admin, &reg, NULL), -EINVAL, "netns_path");
	reg.netns_path = "\xff\xfe";
	ck_words(admin, sva_admin_register(admin, &reg, NULL), -EINVAL, "netns_path");
	ck_assert_int_eq(sva_admin_register(admin, NULL, NULL), -EINVAL);
	ck_assert_int_eq(sva_admin_status(admin, (struct sva_admin_status *)&none), -EINVAL);
	ck_assert_int_eq(sva_admin_list(admin, NULL, NULL, NULL), -EINVAL);
	ck_assert_int_eq(sva_admin_remove(admin, NULL, 0, "test", NULL, NULL, NULL), -EINVAL);
	ck_assert_uint_eq(atomic_load(&fake.n_register), 0); /* nothing of this was sent */

	/* A newer program's struct: fields that we do not know, unset and set. */
	grown.reg.size = sizeof(grown);
	ck_assert_int_eq(sva_admin_register(admin, &grown.reg, NULL), 0);
	grown.newer = 1;
	ck_words(admin, sva_admin_register(admin, &grown.reg, NULL), -E2BIG, "update");
	sva_admin_disconnect(admin);
}
END_TEST

/* An older program's result is shorter, a newer one's longer. */
START_TEST(test_result_sizes)
{
	struct sva_admin *admin = connected(PATIENT);
	struct {
		struct sva_admin_status status;
		uint32_t newer;
	} grown;
	struct {
		uint32_t size, backend_up, shutting_down, canary;
	} old = { .size = 12, .canary = 0xdecade };

	memset(&grown, 0xff, sizeof(grown));
	grown.status.size = sizeof(grown);
	ck_assert_int_eq(sva_admin_status(admin, &grown.status), 0);
	ck_assert_uint_eq(grown.status.size, sizeof(grown));
	ck_assert_uint_eq(grown.newer, 0);
	ck_assert_str_eq(grown.status.version, "9.8.7");
	ck_assert_str_eq(grown.status.backend, "sim");
	ck_assert_uint_eq(grown.status.bonds, 11);
	ck_assert_int_eq(grown.status.broker_pid, 77);
	ck_assert_int_eq(sva_admin_status(admin, (struct sva_admin_status *)(void *)&old), 0);
	ck_assert_uint_eq(old.backend_up, 1);
	ck_assert_uint_eq(old.canary, 0xdecade);
	sva_admin_disconnect(admin);
}
END_TEST

START_TEST(test_refusals)
{
	static const struct {
		uint32_t code;
		int error;
	} cases[] = {
		{ SVAD_INVALID_ARGUMENT, -EINVAL },   { SVAD_PERMISSION_DENIED, -EACCES },
		{ SVAD_FAILED_PRECONDITION, -EBUSY }, { SVAD_UNAVAILABLE, -ENODEV },
		{ SVAD_RESOURCE_EXHAUSTED, -ENOSPC }, { SVAD_UNIMPLEMENTED, -EOPNOTSUPP },
	};
	struct sva_admin *admin = connected(PATIENT);
	struct sva_registration reg = a_registration("abc");

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		atomic_store(&fake.reg, ADMIN_STATUS);
		atomic_store(&fake.status, (int)cases[i].code);
		ck_words(admin, sva_admin_register(admin, &reg, NULL), cases[i].error, "the fake refuses");
	}
	atomic_store(&fake.reg, ADMIN_LIMIT);
	ck_words(admin, sva_admin_register(admin, &reg, NULL), -EOPNOTSUPP, "limit containers = 3");
	atomic_store(&fake.reg, ADMIN_EVENTS);
	ck_assert_int_eq(sva_admin_register(admin, &reg, NULL),
			 0); /* a refusal does no harm to the connection */
	sva_admin_disconnect(admin);
}
END_TEST

START_TEST(test_broken)
{
	static const struct {
		int how, error;
	} cases[] = {
		{ ADMIN_SILENT, -ETIMEDOUT }, { ADMIN_EOF, -ECONNRESET },  { ADMIN_GARBAGE, -EPROTO },
		{ ADMIN_WRONG, -EPROTO },     { ADMIN_WRONG_ID, -EPROTO }, { ADMIN_FD, -EPROTO },
	};
	struct sva_attachment a = { "net", "abc", "eth0" };
	struct sva_removed removed = { .size = sizeof(removed) };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sva_admin *admin = connected(cases[i].how == ADMIN_SILENT ? HASTY : PATIENT);

		atomic_store(&fake.reconcile, cases[i].how);
		ck_assert_int_eq(sva_admin_reconcile(admin, NULL), cases[i].error);
		atomic_store(&fake.reconcile, ADMIN_GOOD);
		ck_words(admin, sva_admin_reconcile(admin, NULL), -ECONNRESET, "connect again");
		sva_admin_disconnect(admin);

		admin = connected(cases[i].how == ADMIN_SILENT ? HASTY : PATIENT);
		atomic_store(&fake.remove, cases[i].how);
		ck_assert_int_eq(sva_admin_remove(admin, &a, 1, "test", NULL, NULL, &removed),
				 cases[i].error);
		ck_assert_int_eq(removed.result, -ECANCELED);
		sva_admin_disconnect(admin);
	}
}
END_TEST

START_TEST(test_fork)
{
	struct sva_admin *admin = connected(PATIENT);
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (sva_admin_reconcile(admin, NULL) != -EOWNERDEAD)
			_exit(1);
		sva_admin_disconnect(admin);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	ck_assert_int_eq(sva_admin_reconcile(admin, NULL), 0);
	sva_admin_disconnect(admin);
}
END_TEST

/* ---- removing ---- */

struct ends {
	unsigned n, quarantined;
	size_t which;
};

static void count_end(void *userdata, size_t which, const struct sva_bond_end *end)
{
	struct ends *ends = userdata;

	ck_assert_str_eq(end->device, "sim0");
	ck_assert_int_eq(end->pid, 4242);
	ck_assert_uint_eq(end->cause, 5);
	ck_assert_uint_eq(end->pasid, 7 + end->bond - 100);
	ends->n++;
	ends->quarantined += end->state == 5;
	ends->which = which;
}

START_TEST(test_remove)
{
	struct sva_admin *admin = connected(PATIENT);
	struct sva_attachment a = { "net", "abc", "eth0" };
	struct sva_removed removed = { .size = sizeof(removed) };
	struct ends ends = { 0 };

	fake_admin_add(&fake, "net", "abc", "eth0");
	ck_assert_int_eq(sva_admin_remove(admin, &a, 1234, "test", count_end, &ends, &removed), 0);
	ck_assert_uint_eq(ends.n, 3);
	ck_assert_uint_eq(removed.known, 1);
	ck_assert_uint_eq(removed.clean, 3);
	ck_assert_uint_eq(removed.slowest_ns, 3000);
	ck_assert_uint_eq(atomic_load(&fake.last_timeout_ms), 1234);
	ck_assert_str_eq(fake.last_by, "test");

	ck_assert_int_eq(sva_admin_remove(admin, &a, 0, NULL, count_end, &ends, &removed), 0);
	ck_assert_uint_eq(removed.known, 0);
	ck_assert_uint_eq(ends.n, 3);
	ck_assert_uint_eq(atomic_load(&fake.last_timeout_ms), 0);

	fake_admin_add(&fake, "net", "abc", "eth0");
	atomic_store(&fake.remove, ADMIN_PENDING);
	ck_words(admin, sva_admin_remove(admin, &a, 5, "test", count_end, &ends, &removed), -ETIMEDOUT,
		 "not drained");
	ck_assert_int_eq(removed.result, -ETIMEDOUT);
	ck_assert_uint_eq(removed.pending, 1);
	ck_assert_uint_eq(removed.clean, 2);
	ck_assert_uint_eq(ends.n, 6);

	fake_admin_add(&fake, "net", "abc", "eth0");
	atomic_store(&fake.remove, ADMIN_QUARANTINED); /* on the same connection: it is well */
	ck_assert_int_eq(sva_admin_remove(admin, &a, 5, "test", count_end, &ends, &removed), 0);
	ck_assert_uint_eq(removed.quarantined, 1);
	ck_assert_uint_eq(ends.quarantined, 1);
	sva_admin_disconnect(admin);
}
END_TEST

static struct sva_attachment *many(unsigned n, struct sva_removed **ret)
{
	struct sva_attachment *a = calloc(n, sizeof(*a));
	struct sva_removed *removed = calloc(n, sizeof(*removed));

	ck_assert(a && removed);
	for (unsigned i = 0; i < n; i++) {
		char id[32];

		(void)snprintf(id, sizeof(id), "c%u", i);
		a[i] = (struct sva_attachment){ "net", strdup(id), "eth0" };
		removed[i].size = sizeof(*removed);
		if (i % 2 == 0)
			fake_admin_add(&fake, "net", id, "eth0");
	}
	*ret = removed;
	return a;
}

static void free_many(struct sva_attachment *a, unsigned n, struct sva_removed *removed)
{
	for (unsigned i = 0; i < n; i++)
		free((void *)(uintptr_t)a[i].container_id);
	free(a);
	free(removed);
}

/* Answers in another order than the requests: each finds its own. */
START_TEST(test_remove_many)
{
	struct sva_admin *admin = connected(PATIENT);
	struct sva_removed *removed;
	struct sva_attachment *a = many(1000, &removed);
	struct ends ends = { 0 };

	atomic_store(&fake.remove, ADMIN_REVERSED);
	atomic_store(&fake.reverse, 8);
	ck_assert_int_eq(sva_admin_remove_many(admin, a, 1000, 5, PATIENT, "gc", count_end, &ends, removed),
			 0);
	for (unsigned i = 0; i < 1000; i++) {
		ck_assert_int_eq(removed[i].result, 0);
		ck_assert_uint_eq(removed[i].known, i % 2 == 0);
		ck_assert_uint_eq(removed[i].clean, i % 2 == 0 ? 3 : 0);
	}
	ck_assert_uint_eq(ends.n, 1500);
	ck_assert_uint_eq(atomic_load(&fake.most_under_way), 8);
	ck_assert_uint_eq(fake_admin_count(&fake), 0);
	ck_assert_int_eq(sva_admin_remove_many(admin, NULL, 0, 5, 0, "gc", NULL, NULL, NULL), 0);
	free_many(a, 1000, removed);
	sva_admin_disconnect(admin);
}
END_TEST

/* Some cannot be asked for, and then svad falls silent: what was answered is told, what was not is too. */
START_TEST(test_remove_many_partly)
{
	struct sva_admin *admin = connected(PATIENT);
	struct sva_removed *removed;
	struct sva_attachment *a = many(40, &removed);
	const char *good = a[3].container_id;
	unsigned cancelled = 0;

	a[3].container_id = "control\x01character";
	atomic_store(&fake.remove, ADMIN_REVERSED);
	atomic_store(&fake.reverse, 30); /* and the last 9 are never answered */
	ck_assert_int_eq(sva_admin_remove_many(admin, a, 40, 5, HASTY, "gc", NULL, NULL, removed),
			 -ETIMEDOUT);
	ck_assert_int_eq(removed[3].result, -EINVAL);
	for (unsigned i = 0; i < 40; i++)
		cancelled += removed[i].result == -ECANCELED;
	ck_assert_uint_ge(cancelled, 9); /* all, where the 30 took longer than we waited */
	a[3].container_id = good;
	removed[7].size = 4;
	ck_assert_int_eq(sva_admin_remove_many(admin, a, 40, 5, HASTY, "gc", NULL, NULL, removed),
			 -ECONNRESET);
	sva_admin_disconnect(admin);
	admin = connected(PATIENT);
	ck_words(admin, sva_admin_remove_many(admin, a, 40, 5, HASTY, "gc", NULL, NULL, removed), -EINVAL,
		 "ret_removed[7]");
	free_many(a, 40, removed);
	sva_admin_disconnect(admin);
}
END_TEST

/* ---- looking ---- */

static int count_container(void *userdata, const struct sva_container *c)
{
	unsigned *n = userdata;

	ck_assert_uint_eq(c->n_attachments, 1);
	ck_assert_str_eq(c->attachments[0].container_id, c->name);
	ck_assert_str_eq(c->pod_uid, "");
	++*n;
	return 0;
}

static int stop_at_2(void *userdata, const struct sva_container *c)
{
	(void)c;
	return ++*(unsigned *)userdata == 2 ? -ECANCELED : 0;
}

START_TEST(test_list)
{
	struct sva_admin *admin = connected(PATIENT);
	struct sva_attachment exactly = { "other", "x", "eth0" };
	struct sva_container_filter filter = { .size = sizeof(filter), .network = "net" };
	struct sva_removed *removed;
	struct sva_attachment *a = many(200, &removed);
	unsigned n = 0;

	fake_admin_add(&fake, "other", "x", "eth0");
	ck_assert_int_eq(sva_admin_list(admin, NULL, count_container, &n), 101);
	ck_assert_uint_eq(n, 101);
	ck_assert_uint_eq(atomic_load(&fake.n_list), 4); /* pages of 32 */
	ck_assert_int_eq(sva_admin_list(admin, &filter, count_container, &n), 100);
	filter = (struct sva_container_filter){ .size = sizeof(filter), .attachment = &exactly };
	ck_assert_int_eq(sva_admin_list(admin, &filter, count_container, &n), 1);
	fake_admin_set(&fake, "x", SVAD__V1__CONTAINER_STATE__CONTAINER_REMOVED, 0);
	ck_words(admin, sva_admin_list(admin, &filter, count_container, &n), -ENOENT, "the fake refuses");
	filter.removed = 1;
	ck_assert_int_eq(sva_admin_list(admin, &filter, count_container, &n), 1);
	exactly.ifname = "eth1";
	ck_assert_int_eq(sva_admin_list(admin, &filter, count_container, &n), -ENOENT);
	fake_admin_set(&fake, "x", SVAD__V1__CONTAINER_STATE__CONTAINER_ACTIVE, 0);
	n = 0;
	ck_assert_int_eq(sva_admin_list(admin, NULL, stop_at_2, &n), -ECANCELED);
	ck_assert_uint_eq(n, 2);
	atomic_store(&fake.list, ADMIN_NO_END);
	ck_words(admin, sva_admin_list(admin, NULL, count_container, &n), -EPROTO, "does not end");
	free_many(a, 200, removed);
	sva_admin_disconnect(admin);
}
END_TEST

START_TEST(test_reconcile)
{
	struct sva_admin *admin = connected(PATIENT);
	struct sva_reconciled done = { .size = sizeof(done) };

	ck_assert_int_eq(sva_admin_reconcile(admin, &done), 0);
	ck_assert_uint_eq(done.looked_at, 5);
	ck_assert_uint_eq(done.removed, 2);
	sva_admin_disconnect(admin);
}
END_TEST

static Suite *lib_admin_suite(void)
{
	const struct {
		const char *name;
		const TTest *test;
	} cases[] = {
		{ "connect", test_connect_errors },
		{ "connect", test_connect_kind },
		{ "connect", test_connect_hello },
		{ "connect", test_connect_full },
		{ "connect", test_address },
		{ "register", test_register },
		{ "arguments", test_arguments },
		{ "arguments", test_result_sizes },
		{ "refused", test_refusals },
		{ "broken", test_broken },
		{ "fork", test_fork },
		{ "remove", test_remove },
		{ "many", test_remove_many },
		{ "many", test_remove_many_partly },
		{ "list", test_list },
		{ "reconcile", test_reconcile },
	};
	Suite *s = suite_create("lib-admin");
	TCase *tc = NULL;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (i == 0 || strcmp(cases[i].name, cases[i - 1].name) != 0) {
			tc = tcase_create(cases[i].name);
			tcase_add_checked_fixture(tc, setup, teardown);
			tcase_set_timeout(tc, 120);
			suite_add_tcase(s, tc);
		}
		tcase_add_test(tc, cases[i].test);
	}
	return s;
}

int main(int argc, char **argv)
{
	return tap_main(argc, argv, lib_admin_suite, NULL);
}
