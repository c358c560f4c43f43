/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bindings that somebody else ends: administrators, resets, devices that do not stop; and what is told of it to whom. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../client/lib/sva/queue.h"
#include "harness.h"

#define LONG_STOP "[device \"sim0\"]\ndrain_deadline = 10min\n[device \"sim1\"]\n"
#define SHORT_STOP "[device \"sim0\"]\ndrain_deadline = 600ms\n[device \"sim1\"]\n"

static void hold_bond(void *arg)
{
	struct raw raw;
	struct raw_bond bond;

	raw_open(&raw);
	raw_bind(&raw, arg, &bond);
	say("bond %llu pasid %u", (unsigned long long)bond.id, bond.pasid);
	hear_this("end");
}

static void hold_bond_as(void *arg)
{
	become(2222, 2222);
	hold_bond(arg);
}

struct holder {
	struct child child;
	uint64_t bond;
	unsigned pasid;
};

static void holder_start(struct holder *h, void (*fn)(void *arg), const char *device)
{
	unsigned long long id;

	sys_child(&h->child, fn, (void *)(uintptr_t)device);
	MUST_EQ(sscanf(sys_expect(&h->child, "bond "), "bond %llu pasid %u", &id, &h->pasid), 2);
	h->bond = id;
}

/* ---- administrators ------------------------------------------------------------------------------- */

static void revoked(const Svad__V1__Revoke *revoke, uint32_t ended)
{
	Svad__V1__Reply *reply = sys_revoke(revoke);

	ck_assert_uint_eq(sys_code(reply), SVAD_OK);
	ck_assert_uint_eq(reply->revoke->ended, ended);
	ck_assert_uint_eq(reply->revoke->clean, ended);
	ck_assert_uint_eq(reply->revoke->quarantined, 0);
	ck_assert_uint_eq(reply->revoke->pending, 0);
}

/* A list that names what does not exist is a mistake, not an empty list. */
START_TEST(test_list_of_nobody)
{
	Svad__V1__Request request = SVAD__V1__REQUEST__INIT;
	Svad__V1__AdminListBonds body = SVAD__V1__ADMIN_LIST_BONDS__INIT;

	sys_start("");
	request.body_case = SVAD__V1__REQUEST__BODY_ADMIN_LIST_BONDS;
	request.admin_list_bonds = &body;
	body.device = (char *)(uintptr_t) "sim1";
	ck_assert_uint_eq(sys_code(sys_call(sys.admin, &request, NULL)), SVAD_OK);
	body.device = (char *)(uintptr_t) "nosuch";
	ck_assert_uint_eq(sys_code(sys_call(sys.admin, &request, NULL)), SVAD_NOT_FOUND);
	body.device = (char *)(uintptr_t) "";
	body.client = 99;
	ck_assert_uint_eq(sys_code(sys_call(sys.admin, &request, NULL)), SVAD_NOT_FOUND);
	sys_stop();
}
END_TEST

START_TEST(test_revoke_by)
{
	Svad__V1__Revoke r = SVAD__V1__REVOKE__INIT;
	struct holder h[6];

	sys_start("[device \"sim0\"]\n[device \"sim1\"]\n[policy \"all\"]\nuid = *\ndevices = *\n");
	for (int i = 0; i < 6; i++)
		holder_start(&h[i], i < 4 || geteuid() ? hold_bond : hold_bond_as, i == 3 ? "sim1" : i == 4 ? "sim1" : "sim0");
	r.bond = h[0].bond;
	revoked(&r, 1);
	ck_assert_int_eq((int)sys_event(SVAD__V1__EVENT_KIND__EVENT_STOPPING, h[0].bond)->cause, (int)SVAB_CAUSE_ADMIN);
	r.bond = 0;
	r.client = sys_bonds()->list_bonds->bonds[0]->client;
	ck_assert_uint_eq(sys_bonds()->list_bonds->bonds[0]->id, h[1].bond);
	revoked(&r, 1);
	r.client = 0;
	r.device = (char *)(uintptr_t)"sim1";
	revoked(&r, 2);
	r.device = (char *)(uintptr_t)"";
	ck_assert_uint_eq(sys_counter("svad_bonds"), 2);
	r.has_uid = 1;
	r.uid = geteuid() ? geteuid() : 2222;
	revoked(&r, geteuid() ? 2 : 1);
	r.has_uid = 0;
	r.all = 1;
	revoked(&r, geteuid() ? 0 : 1);
	revoked(&r, 0);
	for (int i = 0; i < 6; i++)
		sys_end(&h[i].child);
	sys_stop();
}
END_TEST

START_TEST(test_revoke_nonsense)
{
	Svad__V1__Revoke r = SVAD__V1__REVOKE__INIT;
	struct holder h;

	sys_start("");
	holder_start(&h, hold_bond, "sim0");
	ck_assert_uint_eq(sys_code(sys_revoke(&r)), SVAD_INVALID_ARGUMENT); /* nothing named */
	r.bond = h.bond;
	r.all = 1;
	ck_assert_uint_eq(sys_code(sys_revoke(&r)), SVAD_INVALID_ARGUMENT); /* two things */
	r.all = 0;
	r.bond = 4711;
	ck_assert_uint_eq(sys_code(sys_revoke(&r)), SVAD_NOT_FOUND);
	r.bond = 0;
	r.client = 4711;
	ck_assert_uint_eq(sys_code(sys_revoke(&r)), SVAD_NOT_FOUND);
	r.client = 0;
	r.device = (char *)(uintptr_t)"nope";
	ck_assert_uint_eq(sys_code(sys_revoke(&r)), SVAD_NOT_FOUND);
	r.device = (char *)(uintptr_t)"";
	r.container = (char *)(uintptr_t)"c1";
	ck_assert_uint_eq(sys_code(sys_revoke(&r)), SVAD_NOT_FOUND);
	ck_assert_uint_eq(sys_code(sys_reset("nope")), SVAD_NOT_FOUND);
	ck_assert_uint_eq(sys_counter("svad_bonds"), 1);
	sys_end(&h.child);
	sys_stop();
}
END_TEST

START_TEST(test_revoke_ends_grants)
{
	Svad__V1__Revoke r = SVAD__V1__REVOKE__INIT;
	struct raw raw;
	struct raw_bond bond;
	uint32_t device;

	/* a client that was revoked cannot bind on what it was granted before */
	sys_start("");
	raw_open(&raw);
	raw_bind(&raw, "sim1", &bond);
	ck_assert_uint_eq(raw_grant(&raw, "sim0", &device), SVAD_OK);
	r.client = sys_bonds()->list_bonds->bonds[0]->client;
	revoked(&r, 1);
	(void)sys_counter("svad_bonds");
	raw_bond_close(&bond);
	ck_assert_int_eq(raw_bind_own(&raw, device, &bond), -EACCES);
	/* nor when all that a device has given was meant */
	ck_assert_uint_eq(raw_grant(&raw, "sim1", &device), SVAD_OK);
	r.client = 0;
	r.device = (char *)(uintptr_t)"sim1";
	revoked(&r, 0);
	(void)sys_counter("svad_bonds");
	ck_assert_int_eq(raw_bind_own(&raw, device, &bond), -EACCES);
	raw_close(&raw);
	sys_stop();
}
END_TEST

/* ---- what the client sees --------------------------------------------------------------------------- */

static sigjmp_buf bus;

static void on_bus(int sig)
{
	siglongjmp(bus, sig);
}

static void sigbus_client(void *arg)
{
	struct sigaction sa = { .sa_handler = on_bus };
	struct raw raw;
	struct raw_bond bond;

	raw_open(&raw);
	raw_bind(&raw, arg, &bond);
	MUST_EQ(*(volatile uint32_t *)bond.portal, SVA_DEMO_MAGIC);
	say("bond %llu pasid %u", (unsigned long long)bond.id, bond.pasid);
	hear_this("touch");
	sigaction(SIGBUS, &sa, NULL);
	MUST(raw_hup(bond.fd, sys_ms(10000)));
	if (sigsetjmp(bus, 1) == 0) {
		*(volatile uint32_t *)(bond.portal + SVA_DEMO_REG_DOORBELL) = 1;
		sys_fail(__FILE__, __LINE__, "the portal of a revoked bond can be written");
	}
	/* nor does it come back */
	MUST(ftruncate(bond.portal_fd, 4096) < 0);
	MUST_EQ(raw_unbind(&bond, SVAB_PASID_NONE, NULL), -EPIPE);
	hear_this("end");
}

START_TEST(test_sigbus)
{
	Svad__V1__Revoke r = SVAD__V1__REVOKE__INIT;
	struct holder h;

	sys_start("");
	holder_start(&h, sigbus_client, "sim0");
	r.bond = h.bond;
	revoked(&r, 1);
	sys_tell(&h.child, "touch");
	sys_end(&h.child);
	sys_stop();
}
END_TEST

static unsigned told;

static void on_revoked(struct sva *sva, struct sva_bond *bond, const struct sva_event *event, void *userdata)
{
	(void)sva;
	(void)bond;
	(void)userdata;
	if (event->reason == SVA_REVOKED && event->cause == SVAB_CAUSE_ADMIN)
		told++;
}

START_TEST(test_library_told)
{
	Svad__V1__Revoke r = SVAD__V1__REVOKE__INIT;
	struct sva_demo_completion done = { 0 };
	struct sva_demo_desc desc = { .op = SVA_DEMO_NOP };
	struct sva_queue *queue;
	struct sva_bond *bond;
	struct sva *sva;
	unsigned char to[64];

	sys_start("");
	ck_assert_int_eq(sva_connect(sys_path("run/svad.sock"), sys_ms(5000), &sva), 0);
	ck_assert_int_eq(sva_set_revoked_handler(sva, on_revoked, NULL), 0);
	ck_assert_int_eq(sva_bind(sva, "sim0", &bond), 0);
	ck_assert_int_eq(sva_queue_new(bond, 16, &queue), 0);
	ck_assert_int_eq(sva_fill(queue, to, 1, sizeof(to), NULL), 0);
	r.bond = sva_bond_id(bond);
	revoked(&r, 1);
	ck_assert_int_eq(sva_queue_submit(queue, &desc, &done), -ESHUTDOWN);
	ck_assert_int_eq(sva_fill(queue, to, 1, sizeof(to), NULL), -ESHUTDOWN);
	ck_assert_int_eq(sva_bond_revoked(bond), 1);
	while (!told) {
		ck_assert_int_ge(sva_dispatch(sva), 0);
		if (!told)
			raw_hup(sva_fd(sva), 10); /* its fd is one to poll */
	}
	sva_queue_free(queue);
	ck_assert_int_eq(sva_unbind(bond, SVA_STATE_NONE), 0);
	ck_assert_int_eq(sva_bind(sva, "sim0", &bond), 0); /* and it may bind anew */
	ck_assert_int_eq(sva_unbind(bond, SVA_STATE_NONE), 0);
	sva_disconnect(sva);
	sys_stop();
}
END_TEST

/* ---- the watch ---------------------------------------------------------------------------------------- */

START_TEST(test_watch_order)
{
	static const Svad__V1__EventKind expected[] = {
		SVAD__V1__EVENT_KIND__EVENT_BOUND,
		SVAD__V1__EVENT_KIND__EVENT_STOPPING,
		SVAD__V1__EVENT_KIND__EVENT_FLUSHED,
		SVAD__V1__EVENT_KIND__EVENT_CLEAN,
	};
	uint64_t last = 0, stopping = 0;
	unsigned seen = 0;
	struct holder h;

	sys_start("");
	holder_start(&h, hold_bond, "sim0");
	sys_kill(&h.child, SIGKILL);
	while (seen < 4) {
		Svad__V1__Event *e = sys_next_event(sys_ms(10000));

		ck_assert_ptr_nonnull(e);
		if (e->bond != h.bond)
			continue;
		ck_assert_int_eq((int)e->kind, (int)expected[seen]);
		ck_assert_uint_ge(e->monotonic_ns, last);
		ck_assert_uint_le(e->monotonic_ns, sys_now_ns());
		ck_assert_str_eq(e->device, "sim0");
		ck_assert_uint_eq(e->pasid, h.pasid);
		ck_assert_int_eq(e->pid, h.child.pid);
		last = e->monotonic_ns;
		if (seen == 1)
			stopping = last;
		if (seen == 3)
			ck_assert_uint_eq(e->duration_ns, last - stopping);
		seen++;
	}
	sys_stop();
}
END_TEST

START_TEST(test_watch_snapshot)
{
	Svad__V1__Request request = SVAD__V1__REQUEST__INIT;
	Svad__V1__Watch watch = SVAD__V1__WATCH__INIT;
	struct holder h[2];
	Svad__V1__Reply *reply;
	int fd;

	sys_start("");
	for (int i = 0; i < 2; i++)
		holder_start(&h[i], hold_bond, "sim0");
	fd = sys_connect("admin.sock");
	ck_assert_uint_eq(sys_code(sys_hello(fd, 0)), SVAD_OK);
	watch.snapshot = 1;
	request.body_case = SVAD__V1__REQUEST__BODY_WATCH;
	request.watch = &watch;
	ck_assert_uint_eq(sys_code(sys_call(fd, &request, NULL)), SVAD_OK);
	for (int i = 0; i < 2; i++) {
		reply = sys_receive(fd, sys_ms(10000), NULL);
		ck_assert_ptr_nonnull(reply);
		ck_assert_int_eq((int)reply->event->kind, (int)SVAD__V1__EVENT_KIND__EVENT_BOUND);
		ck_assert_uint_eq(reply->event->bond, h[i].bond);
	}
	close(fd);
	for (int i = 0; i < 2; i++)
		sys_end(&h[i].child);
	sys_stop();
}
END_TEST

/* ---- PASIDs and quarantine --------------------------------------------------------------------------- */

START_TEST(test_pasid_not_reused_before_clean)
{
	struct holder a, b, c;

	/* the lowest free number is given first: if it were free, the very next client would have it */
	sys_start(LONG_STOP);
	holder_start(&a, hold_bond, "sim0");
	sys_fault_ok("stop sim0 ignore forever");
	sys_kill(&a.child, SIGKILL);
	sys_event(SVAD__V1__EVENT_KIND__EVENT_STOPPING, a.bond);
	holder_start(&b, hold_bond, "sim0");
	ck_assert_uint_ne(b.pasid, a.pasid);
	sys_fault_ok("stop sim0 obey");
	sys_event(SVAD__V1__EVENT_KIND__EVENT_CLEAN, a.bond);
	holder_start(&c, hold_bond, "sim0");
	ck_assert_uint_eq(c.pasid, a.pasid);
	sys_end(&b.child);
	sys_end(&c.child);
	sys_stop();
}
END_TEST

START_TEST(test_quarantine_and_reset)
{
	Svad__V1__Reply *reply;
	struct holder a, b, c;

	sys_start(SHORT_STOP);
	holder_start(&a, hold_bond, "sim0");
	sys_fault_ok("stop sim0 ignore forever");
	sys_kill(&a.child, SIGKILL);
	sys_event(SVAD__V1__EVENT_KIND__EVENT_QUARANTINED, a.bond);
	/* the bond is seen by name, the device is degraded with a reason */
	reply = sys_bonds();
	ck_assert_uint_eq(reply->list_bonds->n_bonds, 1);
	ck_assert_int_eq((int)reply->list_bonds->bonds[0]->state, (int)SVAD__V1__PASID_STATE__PASID_QUARANTINED);
	ck_assert_int_eq(sys_device("sim0")->health, SVAD__V1__DEVICE_HEALTH__HEALTH_DEGRADED);
	ck_assert_ptr_nonnull(strstr(sys_device("sim0")->reason, "reset"));
	ck_assert_uint_eq(sys_counter("svad_quarantines_total"), 1);
	holder_start(&b, hold_bond, "sim0");
	ck_assert_uint_ne(b.pasid, a.pasid);
	sys_fault_ok("stop sim0 obey");
	reply = sys_reset("sim0");
	ck_assert_uint_eq(sys_code(reply), SVAD_OK);
	ck_assert_uint_ge(reply->reset_device->clean, 1);
	ck_assert_uint_eq(reply->reset_device->quarantined, 0);
	sys_event(SVAD__V1__EVENT_KIND__EVENT_CLEAN, a.bond);
	/* a reset ends what is bound, too */
	sys_await_counter("svad_bonds", 0);
	ck_assert_uint_eq(sys_counter("svad_quarantines_ended_total"), 1);
	holder_start(&c, hold_bond, "sim0");
	ck_assert_uint_eq(c.pasid, a.pasid);
	ck_assert_int_eq(sys_device("sim0")->health, SVAD__V1__DEVICE_HEALTH__HEALTH_OK);
	sys_end(&b.child);
	sys_end(&c.child);
	sys_stop();
}
END_TEST

START_TEST(test_reset_cause)
{
	struct holder h;

	sys_start("");
	holder_start(&h, hold_bond, "sim0");
	ck_assert_uint_eq(sys_code(sys_reset("sim0")), SVAD_OK);
	ck_assert_int_eq((int)sys_event(SVAD__V1__EVENT_KIND__EVENT_STOPPING, h.bond)->cause, (int)SVAB_CAUSE_DEVICE_RESET);
	sys_event(SVAD__V1__EVENT_KIND__EVENT_CLEAN, h.bond);
	sys_end(&h.child);
	sys_stop();
}
END_TEST

START_TEST(test_no_reset)
{
	struct holder h;

	sys_start("[device \"sim0\"]\nreset = no\n[device \"sim1\"]\n");
	holder_start(&h, hold_bond, "sim0");
	ck_assert_uint_eq(sys_code(sys_reset("sim0")), SVAD_FAILED_PRECONDITION);
	ck_assert_uint_eq(sys_counter("svad_bonds"), 1);
	sys_end(&h.child);
	sys_stop();
}
END_TEST

START_TEST(test_late_stop)
{
	Svad__V1__Event *event;
	struct holder h;

	/* late, and it succeeds at last: no reset is needed */
	sys_start(SHORT_STOP);
	holder_start(&h, hold_bond, "sim0");
	sys_fault_ok("stop sim0 ignore 2000");
	sys_kill(&h.child, SIGKILL);
	sys_event(SVAD__V1__EVENT_KIND__EVENT_QUARANTINED, h.bond);
	event = sys_event(SVAD__V1__EVENT_KIND__EVENT_CLEAN, h.bond);
	ck_assert_uint_ge(event->duration_ns, 1900000000u);
	ck_assert_uint_eq(sys_counter("svad_bonds_quarantined"), 0);
	sys_stop();
}
END_TEST

START_TEST(test_asked_once_more)
{
	Svad__V1__Revoke r = SVAD__V1__REVOKE__INIT;
	Svad__V1__Reply *reply;
	struct holder h;

	/* a stop that was lost: an administrator has the device asked again */
	sys_start(SHORT_STOP);
	holder_start(&h, hold_bond, "sim0");
	sys_fault_ok("stop sim0 ignore forever");
	r.bond = h.bond;
	reply = sys_revoke(&r);
	ck_assert_uint_eq(sys_code(reply), SVAD_OK);
	ck_assert_uint_eq(reply->revoke->quarantined, 1);
	r.timeout_ms = 300;
	reply = sys_revoke(&r); /* in vain */
	ck_assert_uint_eq(sys_code(reply), SVAD_OK);
	ck_assert_uint_eq(reply->revoke->quarantined, 1);
	ck_assert_uint_eq(reply->revoke->clean, 0);
	sys_fault_ok("stop sim0 obey");
	r.timeout_ms = 0;
	reply = sys_revoke(&r);
	ck_assert_uint_eq(sys_code(reply), SVAD_OK);
	ck_assert_uint_eq(reply->revoke->clean, 1);
	sys_event(SVAD__V1__EVENT_KIND__EVENT_CLEAN, h.bond);
	sys_end(&h.child);
	sys_stop();
}
END_TEST

START_TEST(test_two_waiters)
{
	Svad__V1__Revoke r = SVAD__V1__REVOKE__INIT;
	Svad__V1__Request request = SVAD__V1__REQUEST__INIT;
	unsigned char buf[1024];
	Svad__V1__Reply *reply;
	struct holder h;
	ssize_t len;

	/* two ask for the same end: each is told the one result. A third goes away in the middle. */
	sys_start(LONG_STOP);
	holder_start(&h, hold_bond, "sim0");
	sys_fault_ok("stop sim0 ignore forever");
	r.bond = h.bond;
	request.body_case = SVAD__V1__REQUEST__BODY_REVOKE;
	request.revoke = &r;
	for (request.id = 100001; request.id <= 100002; request.id++) {
		len = wire_encode_request(&request, buf, sizeof(buf));
		ck_assert(sys_send(sys.admin, buf, (size_t)len, NULL, 0));
	}
	{
		int fd = sys_connect("admin.sock");

		ck_assert_uint_eq(sys_code(sys_hello(fd, 0)), SVAD_OK);
		request.id = 1;
		len = wire_encode_request(&request, buf, sizeof(buf));
		ck_assert(sys_send(fd, buf, (size_t)len, NULL, 0));
		close(fd);
	}
	sys_event(SVAD__V1__EVENT_KIND__EVENT_STOPPING, h.bond);
	(void)sys_counter("svad_bonds"); /* asked after them on the same connection, so they have been heard */
	sys_fault_ok("stop sim0 obey");
	for (int i = 0; i < 2; i++) {
		reply = sys_receive(sys.admin, sys_ms(10000), NULL);
		ck_assert_ptr_nonnull(reply);
		ck_assert_uint_eq(sys_code(reply), SVAD_OK);
		ck_assert_uint_eq(reply->revoke->clean, 1);
	}
	sys_event(SVAD__V1__EVENT_KIND__EVENT_CLEAN, h.bond);
	ck_assert_uint_eq(sys_counter("svad_drains_total"), 1);
	sys_end(&h.child);
	sys_stop();
}
END_TEST

static Suite *revoke_suite(void)
{
	Suite *s = suite_create("revoke");

	sys_test(s, "nonsense", test_revoke_nonsense);
	sys_test(s, "ends-grants", test_revoke_ends_grants);
	sys_test(s, "list-of-nobody", test_list_of_nobody);
	sys_test(s, "by", test_revoke_by);
	sys_test(s, "sigbus", test_sigbus);
	sys_test(s, "library-told", test_library_told);
	sys_test(s, "watch-order", test_watch_order);
	sys_test(s, "watch-snapshot", test_watch_snapshot);
	sys_test(s, "pasid-not-reused-before-clean", test_pasid_not_reused_before_clean);
	sys_test(s, "quarantine-and-reset", test_quarantine_and_reset);
	sys_test(s, "reset-cause", test_reset_cause);
	sys_test(s, "no-reset", test_no_reset);
	sys_test(s, "late-stop", test_late_stop);
	sys_test(s, "asked-once-more", test_asked_once_more);
	sys_test(s, "two-waiters", test_two_waiters);
	return s;
}

int main(int argc, char **argv)
{
	return tap_main(argc, argv, revoke_suite, NULL);
}
