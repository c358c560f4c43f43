// SPDX-License-Identifier: GPL-2.0-or-later
// libsvaclient against a broker and a device that misbehave.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sva/queue.h>
#include <sva/sva.h>

#include "../../proto/status.h"
#include "lib-world.h"

/* ---- connecting ---- */

START_TEST(test_connect_errors)
{
	char longer[200];
	struct sva *sva = NULL;

	ck_words(NULL, sva_connect("/nonexistent/svad.sock", -1, &sva), -ECONNREFUSED, "is it running");
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	ck_words(NULL, sva_connect(longer, -1, &sva), -ENAMETOOLONG, "too long");
	ck_assert_int_eq(sva_connect(fake.path, -1, NULL), -EINVAL);
	ck_assert_int_eq(sva_fd(NULL), -EINVAL);
	ck_assert_int_eq(sva_dispatch(NULL), -EINVAL);
	sva_disconnect(NULL);

	atomic_store(&fake.hello, FAKE_STATUS);
	atomic_store(&fake.status, SVAD_RESOURCE_EXHAUSTED);
	ck_words(NULL, sva_connect(fake.path, PATIENT, &sva), -ENOSPC, "(limit bonds_per_client = 3)");
	atomic_store(&fake.status, SVAD_FAILED_PRECONDITION);
	ck_words(NULL, sva_connect(fake.path, PATIENT, &sva), -EPROTONOSUPPORT, "the fake refuses");
	atomic_store(&fake.status, SVAD_PERMISSION_DENIED);
	atomic_store(&fake.hello, FAKE_UNHEARD);
	for (int i = 0; i < 4; i++)
		ck_words(NULL, sva_connect(fake.path, PATIENT, &sva), -EACCES, "does not let you in");
	atomic_store(&fake.hello, FAKE_VERSION);
	ck_words(NULL, sva_connect(fake.path, PATIENT, &sva), -EPROTONOSUPPORT, "protocol 2.0");
	atomic_store(&fake.hello, FAKE_GARBAGE);
	ck_words(NULL, sva_connect(fake.path, PATIENT, &sva), -EPROTO, "does not speak");
	atomic_store(&fake.hello, FAKE_WRONG);
	ck_words(NULL, sva_connect(fake.path, PATIENT, &sva), -EPROTO, "does not speak");
	atomic_store(&fake.hello, FAKE_NO_FD);
	ck_words(NULL, sva_connect(fake.path, PATIENT, &sva), -EPROTO, "does not speak");
	atomic_store(&fake.hello, FAKE_EOF);
	ck_words(NULL, sva_connect(fake.path, PATIENT, &sva), -ECONNRESET, "closed the connection");
	atomic_store(&fake.hello, FAKE_SILENT);
	ck_words(NULL, sva_connect(fake.path, 50, &sva), -ETIMEDOUT, "did not answer");
	ck_assert_ptr_null(sva);
}
END_TEST

START_TEST(test_address)
{
	struct sva *sva;

	setenv("SVAD_SOCKET", fake.path, 1);
	ck_assert_int_eq(sva_connect(NULL, PATIENT, &sva), 0);
	sva_disconnect(sva);
	unsetenv("SVAD_SOCKET");
	setenv("XDG_RUNTIME_DIR", fake.directory, 1);
	/* There is no svad/svad.sock below it: the built-in default, whatever that gives. */
	if (sva_connect(NULL, 100, &sva) == 0)
		sva_disconnect(sva);
	ck_assert_str_eq(sva_strerror(NULL, 0), "no error");
	ck_assert_ptr_nonnull(sva_strerror(NULL, -99999));
}
END_TEST

START_TEST(test_list)
{
	struct sva *sva = connected(PATIENT);
	struct sva_device d[3];

	ck_assert_int_eq(sva_list_devices(sva, NULL, 0), 2);
	ck_assert_int_eq(sva_list_devices(sva, d, 1), 2);
	ck_assert_int_eq(sva_list_devices(sva, d, 3), 2);
	ck_assert_str_eq(d[0].name, "sim0");
	ck_assert_str_eq(d[1].name, "sim1");
	ck_assert_int_eq(sva_list_devices(sva, NULL, 1), -EINVAL);
	sva_disconnect(sva);
}
END_TEST

/* ---- replies that are wrong, late or missing ---- */

START_TEST(test_rpc_garbage)
{
	struct sva *sva = connected(PATIENT);
	static const unsigned char unknown_id[] = {0x08, 0x7f};

	atomic_store(&fake.rpc, FAKE_GARBAGE);
	ck_words(sva, sva_list_devices(sva, NULL, 0), -EPROTO, "makes no sense");
	atomic_store(&fake.rpc, FAKE_WRONG);
	ck_words(sva, sva_list_devices(sva, NULL, 0), -EPROTO, "makes no sense");
	atomic_store(&fake.rpc, FAKE_STATUS);
	atomic_store(&fake.status, SVAD_PERMISSION_DENIED);
	ck_words(sva, sva_list_devices(sva, NULL, 0), -EACCES, "the fake refuses");
	atomic_store(&fake.rpc, FAKE_GOOD);
	ck_assert_int_eq(sva_list_devices(sva, NULL, 0), 2); /* on a new connection */
	fake_raw(&fake, unknown_id, sizeof(unknown_id));     /* an answer to what was never asked */
	ck_assert_int_eq(sva_list_devices(sva, NULL, 0), -EPROTO);
	ck_assert_int_eq(sva_list_devices(sva, NULL, 0), 2);
	sva_disconnect(sva);
}
END_TEST

START_TEST(test_rpc_late)
{
	struct sva *sva = connected(PATIENT), *hasty = connected(HASTY);

	atomic_store(&fake.rpc, FAKE_LATE);
	ck_words(hasty, sva_list_devices(hasty, NULL, 0), -ETIMEDOUT, "did not answer");
	fake_release(&fake);
	atomic_store(&fake.rpc, FAKE_GOOD);
	ck_assert_int_eq(listed(hasty), 2);
	sva_disconnect(hasty);
	atomic_store(&fake.rpc, FAKE_EOF); /* a request that the broker dies of is not sent for ever */
	ck_words(sva, sva_list_devices(sva, NULL, 0), -ECONNRESET, "broke");
	sva_disconnect(sva);
}
END_TEST

START_TEST(test_bind_rpc_errors)
{
	static const struct {
		int how, error;
	} cases[] = {
		{FAKE_GARBAGE, -EPROTO},  {FAKE_WRONG, -EPROTO}, {FAKE_NO_FD, -EPROTO},
		{FAKE_WRONG_FD, -EPROTO}, {FAKE_STATUS, -EBUSY}, {FAKE_SILENT, -ETIMEDOUT},
		{FAKE_LATE, -ETIMEDOUT},
	};
	struct sva *sva = connected(PATIENT), *hasty = connected(HASTY);
	struct sva_bond *bond = NULL;

	atomic_store(&fake.status, SVAD_FAILED_PRECONDITION);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		atomic_store(&fake.bind_fd, cases[i].how);
		ck_assert_int_eq(sva_bind(cases[i].error == -ETIMEDOUT ? hasty : sva, "sim0", &bond),
				 cases[i].error);
	}
	fake_release(&fake); /* the ctx of a bind that was given up: nobody takes it, so it is closed */
	atomic_store(&fake.bind_fd, FAKE_GOOD);
	bond = bound(hasty, "sim0");
	fake_await(&fake, &fake.n_ctx_open, 1);
	sva_disconnect(hasty);
	bond = bound(sva, "sim0");
	ck_assert_int_eq(sva_unbind(bond, SVA_STATE_NONE), 0);
	ck_assert_int_eq(
		sva_bind(sva, "0123456789012345678901234567890123456789012345678901234567890123", &bond),
		-ENOENT);
	sva_disconnect(sva);
}
END_TEST

START_TEST(test_device_errors)
{
	static const struct {
		int how, result, error;
	} cases[] = {
		{FAKE_STATUS, -EBUSY, -EBUSY},	 {FAKE_STATUS, -ENOSPC, -ENOSPC},
		{FAKE_STATUS, -EACCES, -EACCES}, {FAKE_STATUS, 5, -EPROTO},
		{FAKE_GARBAGE, 0, -EPROTO},	 {FAKE_NO_FD, 0, -EPROTO},
		{FAKE_WRONG_FD, 0, -EPROTO},	 {FAKE_SILENT, 0, -ETIMEDOUT},
		{FAKE_LATE, 0, -ETIMEDOUT},	 {FAKE_EOF, 0, -ENODEV},
	};
	struct sva *sva = connected(PATIENT), *hasty = connected(HASTY);
	struct sva_bond *bond = NULL;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		atomic_store(&fake.bind, cases[i].how);
		atomic_store(&fake.device_error, cases[i].result);
		ck_assert_int_eq(sva_bind(cases[i].error == -ETIMEDOUT ? hasty : sva, "sim0", &bond),
				 cases[i].error);
		if (cases[i].how == FAKE_LATE) {
			fake_release(&fake); /* dropped by the next bind, and with it the bond socket */
			atomic_store(&fake.bind, FAKE_STALE);
			bond = bound(hasty, "sim0");
			fake_await(&fake, &fake.n_bond_open, 1);
			sva_disconnect(hasty);
		}
	}
	atomic_store(&fake.bind, FAKE_GOOD);
	bond = bound(sva, "sim0");
	fake_kill_device(&fake); /* ... and a device that was restarted gets a new ctx */
	ck_assert_int_eq(sva_bond_revoked(bond), 1);
	ck_assert_int_eq(sva_unbind(bond, SVA_STATE_NONE), 0);
	bond = bound(sva, "sim0");
	sva_disconnect(sva);
}
END_TEST

START_TEST(test_not_dumpable)
{
	struct sva *sva;
	struct sva_bond *bond;

	if (geteuid() == 0 && (chown(fake.directory, 65534, 65534) < 0 ||
			       chown(fake.path, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0))
		tap_skip("cannot become an ordinary user here");
	prctl(PR_SET_DUMPABLE, 0);
	sva = connected(PATIENT);
	ck_words(sva, sva_bind(sva, "sim0", &bond), -EACCES, "not dumpable");
	sva_disconnect(sva);
}
END_TEST

/* ---- references ---- */

#define THREADS 8

static void *bind_main(void *arg)
{
	struct sva_bond *bond = NULL;

	if (sva_bind(arg, "sim0", &bond) < 0)
		return NULL;
	return bond;
}

START_TEST(test_racing_binds)
{
	struct sva *sva = connected(PATIENT);
	pthread_t t[THREADS];
	void *bond[THREADS];

	for (unsigned round = 0; round < tap_scale(20); round++) {
		unsigned before = atomic_load(&fake.n_device_bind);

		for (int i = 0; i < THREADS; i++)
			ck_assert_int_eq(pthread_create(&t[i], NULL, bind_main, sva), 0);
		for (int i = 0; i < THREADS; i++)
			pthread_join(t[i], &bond[i]);
		for (int i = 0; i < THREADS; i++)
			ck_assert_ptr_eq(bond[i], bond[0]);
		ck_assert_ptr_nonnull(bond[0]);
		ck_assert_uint_eq(sva_bond_references(bond[0]), THREADS);
		ck_assert_uint_eq(atomic_load(&fake.n_device_bind), before + 1);
		ck_assert_uint_eq(sva_bond_pasid(bond[0]), 41);
		for (int i = THREADS; i > 1; i--)
			ck_assert_int_eq(sva_unbind(bond[0], SVA_STATE_NONE), 1);
		ck_assert_int_eq(sva_unbind(bond[0], SVA_STATE_NONE), 0);
	}
	sva_disconnect(sva);
}
END_TEST

static void *churn_main(void *arg)
{
	for (unsigned i = 0; i < tap_scale(100); i++) {
		struct sva_bond *bond;
		int r = sva_bind(arg, i % 3 ? "sim0" : "sim1", &bond);

		if (r < 0 || sva_list_devices(arg, NULL, 0) != 2 || sva_unbind(bond, SVA_STATE_NONE) < 0)
			return (void *)1;
		if (i % 8 == 0)
			(void)sva_dispatch(arg);
	}
	return NULL;
}

START_TEST(test_churn)
{
	struct sva *sva = connected(PATIENT);
	pthread_t t[4];
	void *failed;

	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, churn_main, sva), 0);
	for (int i = 0; i < 4; i++) {
		pthread_join(t[i], &failed);
		ck_assert_ptr_null(failed);
	}
	sva_disconnect(sva);
}
END_TEST

START_TEST(test_selector)
{
	struct sva_selector s = {.size = sizeof(s), .flags = SVA_SELECT_NUMA, .numa_node = -1};
	struct sva *sva = connected(PATIENT);
	struct sva_bond *a = bound(sva, "sim0"), *b = NULL, *c = NULL;
	char name[8];

	ck_assert_int_eq(sva_bind_selector(sva, &s, &b), 0);
	ck_assert_ptr_eq(a, b); /* the broker chose the device that we have */
	c = bound(sva, "sim1");
	ck_assert_ptr_ne(a, c);
	ck_assert_int_eq(sva_bond_device(c, name, sizeof(name)), 4);
	ck_assert_str_eq(name, "sim1");
	s.size = 3;
	ck_assert_int_eq(sva_bind_selector(sva, &s, &b), -EINVAL);
	sva_disconnect(sva);
}
END_TEST

START_TEST(test_unbind_results)
{
	struct sva *sva = connected(PATIENT);
	struct sva_bond *bond = bound(sva, "sim0");

	ck_assert_int_eq(sva_unbind(NULL, SVA_STATE_NONE), -EINVAL);
	ck_assert_int_eq(sva_unbind(bond, (enum sva_state)2), -EINVAL);
	atomic_store(&fake.unbind, FAKE_STATUS);
	atomic_store(&fake.device_error, -EINVAL);
	ck_words(sva, sva_unbind(bond, SVA_STATE_NONE), -EINVAL, "cannot stop by itself");
	atomic_store(&fake.device_error, -EBUSY);
	ck_words(sva, sva_unbind(bond, SVA_STATE_CLEAN), -EEXIST, "not CLEAN");
	ck_assert_uint_eq(sva_bond_references(bond), 1); /* kept both times */
	atomic_store(&fake.unbind, FAKE_QUARANTINED);
	ck_words(sva, sva_unbind(bond, SVA_STATE_NONE), -EBUSY, "quarantined");
	fake_await(&fake, &fake.n_bond_open, 0); /* and gone all the same */

	bond = bound(sva, "sim0");
	atomic_store(&fake.unbind, FAKE_EOF_CLEAN);
	ck_assert_int_eq(sva_unbind(bond, SVA_STATE_NONE), 0);
	bond = bound(sva, "sim0");
	atomic_store(&fake.unbind, FAKE_EOF); /* no event: the broker's list no longer has it */
	ck_assert_int_eq(sva_unbind(bond, SVA_STATE_NONE), 0);
	bond = bound(sva, "sim0");
	atomic_store(&fake.unbind, FAKE_GARBAGE);
	ck_assert_int_eq(sva_unbind(bond, SVA_STATE_NONE), -EPROTO);
	sva_disconnect(sva);
	sva = connected(HASTY);
	bond = bound(sva, "sim0");
	atomic_store(&fake.unbind, FAKE_SILENT);
	ck_words(sva, sva_unbind(bond, SVA_STATE_NONE), -ETIMEDOUT, "goes on without");
	sva_disconnect(sva);
}
END_TEST

/* ---- events, reconnect ---- */

struct seen {
	unsigned n[5];
	struct sva_event last;
	struct sva_bond *bond;
};

static void on_event(struct sva *sva, struct sva_bond *bond, const struct sva_event *event, void *userdata)
{
	struct seen *seen = userdata;

	(void)sva;
	seen->n[event->reason]++;
	seen->last = *event;
	seen->bond = bond;
}

static void dispatch_until(struct sva *sva, const unsigned *what, unsigned value)
{
	struct pollfd p = {.fd = sva_fd(sva), .events = POLLIN};

	while (*what != value) {
		ck_assert_int_eq(poll(&p, 1, PATIENT), 1);
		ck_assert_int_ge(sva_dispatch(sva), 0);
	}
}

START_TEST(test_events)
{
	struct sva *sva = connected(PATIENT);
	struct sva_bond *bond = bound(sva, "sim0");
	struct seen seen = {.n = {0}};
	struct pollfd p = {.fd = sva_fd(sva), .events = POLLIN};

	sva_set_revoked_handler(sva, on_event, &seen);
	while (poll(&p, 1, 0) > 0)
		ck_assert_int_eq(sva_dispatch(sva), 0);
	fake_event(&fake, SVAD__V1__EVENT_KIND__EVENT_FAULT);
	dispatch_until(sva, &seen.n[SVA_FAULT], 1);
	ck_assert_uint_eq(seen.last.address, 0xdead000);
	ck_assert_ptr_eq(seen.bond, bond);

	fake_event(&fake, SVAD__V1__EVENT_KIND__EVENT_FAULT);
	ck_assert_int_eq(sva_list_devices(sva, NULL, 0), 2); /* read by a call, kept for dispatch */
	dispatch_until(sva, &seen.n[SVA_FAULT], 2);

	fake_revoke(&fake, true);
	dispatch_until(sva, &seen.n[SVA_REVOKED], 1);
	ck_assert_uint_eq(seen.last.cause, SVAD__V1__CAUSE__CAUSE_ADMIN);
	ck_assert_int_eq(sva_bond_revoked(bond), 1);
	ck_assert_int_eq(sva_bond_kick(bond), -ESHUTDOWN);
	while (poll(&p, 1, 0) > 0) /* told once, and the fd comes to rest */
		ck_assert_int_eq(sva_dispatch(sva), 0);
	ck_assert_uint_eq(seen.n[SVA_REVOKED], 1);
	/* A new bond beside the revoked one. */
	ck_assert_ptr_ne(bound(sva, "sim0"), bond);
	ck_assert_int_eq(sva_unbind(bond, SVA_STATE_NONE), 0);
	fake_revoke(&fake, false); /* by the hang-up alone */
	dispatch_until(sva, &seen.n[SVA_REVOKED], 2);
	sva_disconnect(sva);
}
END_TEST

START_TEST(test_reconnect)
{
	struct sva *sva = connected(PATIENT);
	struct sva_bond *bond = bound(sva, "sim0"), *other;
	struct seen seen = {.n = {0}};

	sva_set_revoked_handler(sva, on_event, &seen);
	fake_drop(&fake);
	ck_assert_int_eq(sva_list_devices(sva, NULL, 0), 2); /* by itself */
	ck_assert_uint_eq(atomic_load(&fake.n_hello), 2);
	dispatch_until(sva, &seen.n[SVA_RECONNECTED], 1);
	ck_assert_uint_eq(seen.n[SVA_DISCONNECTED], 1);
	ck_assert_ptr_null(seen.bond);
	ck_assert_int_eq(sva_bond_revoked(bond), 0);
	other = bound(sva, "sim1");
	fake_await(&fake, &fake.n_ctx_open, 1); /* the same ctx */

	fake_down(&fake);
	dispatch_until(sva, &seen.n[SVA_DISCONNECTED], 2);
	fake_up(&fake);
	dispatch_until(sva, &seen.n[SVA_RECONNECTED], 2); /* by dispatching alone */
	ck_assert_int_eq(sva_unbind(other, SVA_STATE_NONE), 0);

	/* A broker that has forgotten the ctx gives another; the bond lives on in the old one. */
	atomic_store(&fake.know_context, false);
	fake_drop(&fake);
	other = bound(sva, "sim1");
	fake_await(&fake, &fake.n_ctx_open, 2);
	ck_assert_int_eq(sva_bond_revoked(bond), 0);
	ck_assert_int_eq(sva_unbind(bond, SVA_STATE_NONE), 0);
	fake_await(&fake, &fake.n_ctx_open, 1);
	sva_disconnect(sva);
}
END_TEST

static void *up_main(void *arg)
{
	fake_up(arg);
	return NULL;
}

START_TEST(test_daemon_away)
{
	struct sva *sva = connected(2 * HASTY);
	pthread_t t;

	fake_down(&fake);
	ck_words(sva, sva_list_devices(sva, NULL, 0), -ECONNREFUSED, "is it running");
	sva_disconnect(sva);
	fake_up(&fake);
	sva = connected(PATIENT);
	fake_down(&fake);
	pthread_create(&t, NULL, up_main, &fake);
	ck_assert_int_eq(sva_list_devices(sva, NULL, 0), 2); /* waits for it */
	pthread_join(t, NULL);
	sva_disconnect(sva);
}
END_TEST

/* ---- fork ---- */

static int in_child(struct sva *sva, struct sva_bond *bond, struct sva_queue *queue, volatile void *portal)
{
	struct sva_bond *b;
	struct sva *own;
	unsigned char c;

	if (sva_dispatch(sva) != -EOWNERDEAD || sva_fd(sva) != -EOWNERDEAD ||
	    sva_bind(sva, "sim0", &b) != -EOWNERDEAD || sva_list_devices(sva, NULL, 0) != -EOWNERDEAD ||
	    sva_unbind(bond, SVA_STATE_NONE) != -EOWNERDEAD || sva_bond_kick(bond) != -EOWNERDEAD ||
	    sva_bond_revoked(bond) != -EOWNERDEAD ||
	    sva_queue_submit(queue, &(struct sva_demo_desc){.op = 0}, NULL) != -EOWNERDEAD ||
	    sva_copy(queue, &c, &c, 1, NULL) != -EOWNERDEAD)
		return 1;
	if (sva_bond_portal(bond, NULL) || mincore((void *)(uintptr_t)portal, 4096, &c) == 0)
		return 2; /* the portal came along */
	if (!strstr(sva_strerror(sva, -EOWNERDEAD), "forked"))
		return 3;
	sva_queue_free(queue);
	sva_disconnect(sva);
	if (sva_connect(fake.path, PATIENT, &own) < 0) /* one of its own */
		return 4;
	if (sva_bind(own, "sim1", &b) < 0 || sva_unbind(b, SVA_STATE_NONE) < 0)
		return 5;
	sva_disconnect(own);
	return 0;
}

START_TEST(test_fork)
{
	struct sva *sva = connected(PATIENT);
	struct sva_bond *bond = bound(sva, "sim0");
	struct sva_queue *queue;
	int hold[2], status;
	volatile void *portal = sva_bond_portal(bond, NULL);
	pid_t pid;
	char c;

	ck_assert_int_eq(sva_queue_new(bond, 4, &queue), 0);
	ck_assert_int_eq(pipe2(hold, O_CLOEXEC), 0);
	fake_settle(&fake); /* else the child had its copies of what it handed to us */
	pid = fork();
	if (pid == 0) {
		close(hold[1]);
		_exit(read(hold[0], &c, 1) == 0 ? in_child(sva, bond, queue, portal) : 9);
	}
	/* The child lives, and has no copy of the ctx or the bond: our close is the last. */
	sva_queue_free(queue);
	ck_assert_int_eq(sva_unbind(bond, SVA_STATE_NONE), 0);
	fake_await(&fake, &fake.n_bond_open, 0);
	bond = bound(sva, "sim0");
	sva_disconnect(sva);
	fake_await(&fake, &fake.n_ctx_open, 0);
	fake_await(&fake, &fake.n_conn, 0);
	close(hold[1]);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "child: %#x", (unsigned)status);
	close(hold[0]);
}
END_TEST

/* ---- the queue ---- */

START_TEST(test_queue)
{
	struct sva *sva = connected(PATIENT);
	struct sva_bond *bond = bound(sva, "sim0");
	unsigned char *a = malloc(100000), *b = calloc(1, 100000);
	struct sva_queue *queue, *second;
	struct sva_demo_completion done[4];
	uint64_t fault = 0;
	uint32_t crc = 0;

	memset(a, 0xa5, 100000);
	ck_assert_int_eq(sva_queue_new(bond, 3, &queue), -EINVAL);
	ck_assert_int_eq(sva_queue_new(bond, 4, &queue), 0);
	ck_assert_int_eq(sva_queue_new(bond, 4, &second), -EBUSY);
	ck_assert_int_eq(sva_copy(queue, b, a, 100000, NULL), 0);
	ck_assert_mem_eq(a, b, 100000);
	ck_assert_int_eq(sva_crc32c(queue, a, 10, &crc, NULL), 0);
	ck_assert_uint_eq(crc, 0x12345678);
	ck_words(sva, sva_copy(queue, b, (void *)4096, 10, &fault), -EFAULT, "nothing is mapped");
	ck_assert_uint_eq(fault, 4096);
	for (int i = 0; i < 40; i++) {
		struct sva_demo_desc desc = {.op = SVA_DEMO_NOP, .tag = (uint32_t)i};

		ck_assert_int_eq(sva_queue_submit(queue, &desc, &done[i % 4]), 0);
		ck_assert_int_eq(sva_queue_wait(queue, &done[i % 4], PATIENT), 0);
		ck_assert_uint_eq(done[i % 4].tag, (uint32_t)i);
	}
	sva_queue_free(queue);
	ck_assert_int_eq(sva_queue_new(bond, 2, &queue), 0); /* goes on in the ring that is there */
	ck_assert_int_eq(sva_copy(queue, b, a, 5000, NULL), 0);
	sva_queue_free(queue);
	ck_assert_int_eq(sva_queue_new(bond, 64, &queue), 0); /* a new ring */
	ck_assert_int_eq(sva_copy(queue, b, a, 5000, NULL), 0);

	/* Revoked without warning: no signal reaches the program, every call says so. */
	fake_revoke(&fake, false);
	ck_words(sva, sva_copy(queue, b, a, 10, NULL), -ESHUTDOWN, "revoked");
	ck_assert_int_eq(sva_queue_submit(queue, &(struct sva_demo_desc){.op = 0}, NULL), -ESHUTDOWN);
	done[0].status = SVA_DEMO_PENDING;
	ck_assert_int_eq(sva_queue_wait(queue, &done[0], -1), -ESHUTDOWN);
	sva_queue_free(queue);
	ck_assert_int_eq(sva_queue_new(bond, 4, &queue), -ESHUTDOWN);
	ck_assert_int_eq(sva_unbind(bond, SVA_STATE_NONE), 0);
	free(a);
	free(b);
	sva_disconnect(sva);
}
END_TEST

static volatile sig_atomic_t strangers;

static void on_bus(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)context;
	strangers++;
	(void)mmap(info->si_addr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		   0);
}

START_TEST(test_sigbus_chains)
{
	struct sigaction action = {.sa_sigaction = on_bus, .sa_flags = SA_SIGINFO};
	struct sva *sva = connected(PATIENT);
	struct sva_bond *bond = bound(sva, "sim0");
	struct sva_queue *queue;
	volatile char *stranger;
	int fd = memfd_create("stranger", MFD_CLOEXEC);

	sigaction(SIGBUS, &action, NULL);
	stranger = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0); /* empty: an access faults */
	ck_assert_int_eq(sva_queue_new(bond, 4, &queue), 0);
	ck_assert_int_eq(*stranger, 0);
	ck_assert_int_eq(strangers, 1);
	fake_revoke(&fake, false);
	ck_assert_int_eq(sva_queue_submit(queue, &(struct sva_demo_desc){.op = 0}, NULL), -ESHUTDOWN);
	ck_assert_int_eq(strangers, 1);
	sva_queue_free(queue);
	munmap((void *)(uintptr_t)stranger, 4096);
	close(fd);
	sva_disconnect(sva);
}
END_TEST

static Suite *lib_suite(void)
{
	const struct {
		const char *name;
		const TTest *test;
	} tests[] = {
		{"connect", test_connect_errors},
		{"address", test_address},
		{"list", test_list},
		{"garbage", test_rpc_garbage},
		{"late", test_rpc_late},
		{"bind-rpc", test_bind_rpc_errors},
		{"device", test_device_errors},
		{"dumpable", test_not_dumpable},
		{"race", test_racing_binds},
		{"churn", test_churn},
		{"selector", test_selector},
		{"unbind", test_unbind_results},
		{"events", test_events},
		{"reconnect", test_reconnect},
		{"away", test_daemon_away},
		{"fork", test_fork},
		{"queue", test_queue},
		{"sigbus", test_sigbus_chains},
	};
	Suite *s = suite_create("lib");

	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		TCase *tc = tcase_create(tests[i].name);

		tcase_set_timeout(tc, 200);
		tcase_add_checked_fixture(tc, world_setup, world_teardown);
		tcase_add_test(tc, tests[i].test);
		suite_add_tcase(s, tc);
	}
	return s;
}

int main(int argc, char **argv)
{
	return tap_main(argc, argv, lib_suite, NULL);
}
