/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kernel module as a backend, on a module that is played: what is handed to the broker, in which order,
 * and what of it survives losses, interruptions, other versions' records and slow resets. */
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../daemon/backend_kmod.h"
#include "../../daemon/log.h"
#include "fake-kmod.h"
#include "tap.h"

static uv_loop_t loop;
static struct backend *backend;

/* What the broker was told, as letters: Up, Device, Info, Entry, Synced, and the events' types as digits in
 * brackets. */
static char told[1 << 20];
static size_t n_told;
static struct svab_list_entry entries[8192];
static unsigned n_entries;
static struct svab_event events[70000];
static unsigned n_events;
static struct svab_dev_info devices[64];
static unsigned n_devices;
static struct svab_info info;

static void tell(char c)
{
	ck_assert_uint_lt(n_told, sizeof(told) - 1);
	told[n_told++] = c;
	told[n_told] = '\0';
}

static void on_up(void *userdata)
{
	ck_assert_ptr_eq(userdata, &loop);
	tell('U');
}

static void on_down(void *userdata)
{
	(void)userdata;
	ck_abort_msg("the module's bonds do not die");
}

static void on_device(void *userdata, const struct svab_dev_info *d)
{
	(void)userdata;
	tell('D');
	devices[n_devices++ % 64] = *d;
}

static void on_entry(void *userdata, const struct svab_list_entry *e)
{
	(void)userdata;
	tell('E');
	ck_assert_uint_lt(n_entries, 8192);
	entries[n_entries++] = *e;
}

static void on_synced(void *userdata)
{
	(void)userdata;
	ck_assert(backend->is_synced);
	tell('S');
}

static void on_event(void *userdata, const struct svab_event *e)
{
	(void)userdata;
	tell('[');
	tell((char)('0' + e->type));
	ck_assert_uint_lt(n_events, 70000);
	events[n_events++] = *e;
}

static void on_info(void *userdata, const struct svab_info *i)
{
	(void)userdata;
	tell('I');
	info = *i;
}

static const struct backend_handler handler = {
	.up = on_up,
	.down = on_down,
	.device = on_device,
	.entry = on_entry,
	.synced = on_synced,
	.event = on_event,
	.info = on_info,
};

static void forget(void)
{
	n_told = n_entries = n_events = n_devices = 0;
	told[0] = '\0';
}

static void attach(void)
{
	ck_assert_int_eq(backend->ops->attach(backend, fake_kmod_open(), 0), 0);
}

static void setup(void)
{
	log_init("test", LOG_ERR);
	fake_kmod_load();
	ck_assert_int_eq(uv_loop_init(&loop), 0);
	ck_assert_int_eq(backend_kmod_new(&loop, &fake_kmod_sys, &handler, &loop, &backend), 0);
	forget();
}

static void teardown(void)
{
	if (backend)
		backend->ops->free(backend);
	backend = NULL;
	uv_run(&loop, UV_RUN_DEFAULT);
	ck_assert_int_eq(uv_loop_close(&loop), 0);
	fake_kmod_unload();
}

/* A ctx with a grant. */
static uint64_t granted(uint32_t device, uint64_t grant)
{
	static uint64_t cookie = 1000;
	struct svab_ctx_create create = { .size = sizeof(create), .cookie = ++cookie, .pid = getpid() };
	struct svab_ctx_grant g = {
		.size = sizeof(g), .cookie = cookie, .device = device, .grant = grant, .deadline_ms = 100
	};
	int fd = -1;

	ck_assert_int_eq(backend->ops->ctx_create(backend, &create, &fd), 0);
	ck_assert_int_ge(fd, 0);
	close(fd);
	ck_assert_int_eq(backend->ops->ctx_grant(backend, &g), 0);
	return cookie;
}

static uint64_t bound(uint32_t device, unsigned mm)
{
	int64_t bond = fake_bind(granted(device, mm), device, mm);

	ck_assert_int_gt(bond, 0);
	return (uint64_t)bond;
}

static unsigned seen(uint32_t type)
{
	unsigned n = 0;

	for (unsigned i = 0; i < n_events; i++)
		n += events[i].type == type;
	return n;
}

/* ---- attachment ---- */

START_TEST(test_empty)
{
	struct svab_ctx_create create = { .size = sizeof(create), .cookie = 1 };
	struct svab_ctx_grant grant = { .size = sizeof(grant), .cookie = 1 };
	int fd = -1;

	ck_assert_str_eq(backend->ops->name, "kmod");
	ck_assert(!backend->is_up);
	ck_assert_int_eq(backend->ops->ctx_create(backend, &create, &fd), -ENODEV);
	ck_assert_int_eq(backend->ops->ctx_grant(backend, &grant), -ENODEV);
	ck_assert_int_eq(backend->ops->refresh(backend), -ENODEV);
	ck_assert_int_eq(backend->ops->dev_reset(backend, 1, NULL, NULL), -ENODEV);
	backend->ops->catch_up(backend);
	ck_assert_str_eq(told, "");
	attach();
	ck_assert(backend->is_up && backend->is_synced);
	ck_assert_str_eq(told, "UIS");
}
END_TEST

START_TEST(test_listing)
{
	uint32_t a = fake_device_add("a", SVAB_DEV_CAP_CAN_STOP), b = fake_device_add("b", 0);
	unsigned lists, ctxs = 0, bonds = 0, grants = 0;

	attach();
	for (unsigned i = 0; i < 20; i++)
		bound(i % 2 ? a : b, 1 + i);
	granted(a, 99);
	forget();
	/* A broker's successor: a fd of its own, and pages that are shorter than it asks for. */
	fake_knobs.page = 3;
	lists = fake_lists();
	attach();
	ck_assert_uint_eq(fake_lists() - lists, (21 * 2 + 2) / 3);
	ck_assert_int_eq(strncmp(told, "UDDIE", 5), 0);
	ck_assert_int_eq(told[n_told - 1], 'S');
	for (unsigned i = 0; i < n_entries; i++) {
		ctxs += entries[i].type == SVAB_LIST_CTX;
		bonds += entries[i].type == SVAB_LIST_BOND && entries[i].state == SVAB_PASID_BOUND;
		grants += entries[i].type == SVAB_LIST_GRANT && entries[i].grant == 99;
	}
	ck_assert_uint_eq(ctxs, 21);
	ck_assert_uint_eq(bonds, 20);
	ck_assert_uint_eq(grants, 1);
	ck_assert_uint_eq(info.bonds, 20);
	ck_assert_str_eq(devices[1].name, "b");
	/* What the old fd's queue had is nobody's. */
	uv_run(&loop, UV_RUN_NOWAIT);
	ck_assert_uint_eq(n_events, 0);
}
END_TEST

/* ---- operations ---- */

START_TEST(test_operations)
{
	uint32_t a = fake_device_add("a", 0);
	struct svab_ctx_create create = { .size = sizeof(create), .cookie = 77 };
	struct svab_ctx_grant grant = { .size = sizeof(grant), .cookie = 76, .device = a };
	uint64_t cookie, bond;
	int fd = -1;

	attach();
	forget();
	fake_knobs.interrupts = 3; /* each call is made again */
	cookie = granted(a, 5);
	bond = (uint64_t)fake_bind(cookie, a, 1);
	fake_knobs.interrupts = 3;
	/* The client was answered: whoever catches up now knows, without a turn of the loop. */
	backend->ops->catch_up(backend);
	ck_assert_str_eq(told, "[1");
	ck_assert_uint_eq(events[0].bond, bond);
	ck_assert_uint_eq(events[0].grant, 5);
	ck_assert_uint_eq(events[0].cookie, cookie);

	fake_knobs.interrupts = 3;
	ck_assert_int_eq(backend->ops->bond_revoke(backend, bond, SVAB_CAUSE_ADMIN), 0);
	backend->ops->catch_up(backend);
	ck_assert_str_eq(told, "[1[4[5[6");
	ck_assert_uint_eq(events[1].cause, SVAB_CAUSE_ADMIN);
	ck_assert_int_eq(backend->ops->bond_revoke(backend, bond, SVAB_CAUSE_ADMIN), 1);

	granted(a, 6);
	ck_assert_uint_eq(fake_grants(), 1);
	ck_assert_int_eq(backend->ops->ctx_revoke_grant(backend, fake_last_ctx(), a), 0);
	ck_assert_int_eq(backend->ops->ctx_revoke_grant(backend, fake_last_ctx(), a), 0);
	ck_assert_uint_eq(fake_grants(), 0);
	fake_knobs.interrupts = 3;
	ck_assert_int_eq(backend->ops->ctx_revoke(backend, fake_last_ctx(), SVAB_CAUSE_CLIENT_GONE), 0);
	ck_assert_int_eq(backend->ops->ctx_revoke(backend, fake_last_ctx(), SVAB_CAUSE_CLIENT_GONE), 0);
	ck_assert_uint_eq(fake_ctxs(), 1);

	/* Refusals are handed on. */
	ck_assert_int_eq(backend->ops->ctx_grant(backend, &grant), -ENOENT);
	fake_knobs.fails = SVAB_CTX_CREATE;
	fake_knobs.fail_error = ENOSPC;
	ck_assert_int_eq(backend->ops->ctx_create(backend, &create, &fd), -ENOSPC);
	ck_assert_int_eq(fd, -1);
	fake_knobs.fails = SVAB_BOND_REVOKE;
	fake_knobs.fail_error = ENOMEM;
	ck_assert_int_eq(backend->ops->bond_revoke(backend, 1, SVAB_CAUSE_ADMIN), -ENOMEM);
}
END_TEST

START_TEST(test_loop)
{
	uint32_t a = fake_device_add("a", 0);
	uint64_t bond;

	attach();
	forget();
	bond = bound(a, 1);
	fake_fault(bond, 0x1234000);
	uv_run(&loop, UV_RUN_ONCE);
	ck_assert_str_eq(told, "[1[;"); /* BOUND, FAULT */
	ck_assert_uint_eq(events[1].value, 0x1234000);
	fake_mm_gone(1);
	uv_run(&loop, UV_RUN_ONCE);
	ck_assert_str_eq(told, "[1[;[3[4[5[6");
	/* Nothing is there: the loop does not turn for nothing. */
	ck_assert_int_ne(uv_backend_timeout(&loop), 0);
}
END_TEST

/* ---- devices ---- */

START_TEST(test_devices)
{
	uint32_t a;

	attach();
	forget();
	a = fake_device_add("a", 0);
	uv_run(&loop, UV_RUN_ONCE);
	ck_assert_str_eq(told, "[9DI");
	forget();
	bound(a, 1);
	fake_device_gone(a);
	uv_run(&loop, UV_RUN_ONCE);
	ck_assert_str_eq(told, "[1[:[4[5[6DI");
	ck_assert_uint_eq(devices[0].state, SVAB_DEV_GONE);
	forget();
	fake_device_forget(a);
	ck_assert_int_eq(backend->ops->refresh(backend), 0);
	ck_assert_str_eq(told, "I");
}
END_TEST

/* ---- losses ---- */

START_TEST(test_lost)
{
	uint32_t a = fake_device_add("a", 0);
	uint64_t bond, kept;

	attach();
	kept = bound(a, 1);
	uv_run(&loop, UV_RUN_ONCE);
	forget();
	fake_knobs.queue = 3;
	bond = bound(a, 2);
	fake_mm_gone(2); /* three of its four events do not fit any more */
	ck_assert_uint_eq(fake_bond_state(bond), SVAB_PASID_NONE);
	fake_knobs.queue = 65536;
	uv_run(&loop, UV_RUN_ONCE);
	/* What is left first, then everything anew, once. */
	ck_assert_str_eq(told, "[1[3[4[<UDIEEES");
	ck_assert_uint_eq(events[3].value, 2);
	for (unsigned i = 0; i < n_entries; i++)
		ck_assert(entries[i].type == SVAB_LIST_CTX || entries[i].bond == kept);
	forget();
	uv_run(&loop, UV_RUN_NOWAIT);
	ck_assert_str_eq(told, "");
}
END_TEST

static uint64_t late_cookie;
static uint32_t late_device;

static void bind_late(void)
{
	fake_knobs.on_list = NULL;
	ck_assert_int_gt(fake_bind(late_cookie, late_device, 9), 0);
}

START_TEST(test_meanwhile)
{
	uint32_t a = fake_device_add("a", 0);

	attach();
	late_cookie = granted(a, 1);
	late_device = a;
	forget();
	fake_event(SVAB_EV_LOST, 1);
	fake_knobs.on_list = bind_late;
	uv_run(&loop, UV_RUN_ONCE);
	/* A bond that came while it was listed is in the listing, or its event follows, or both. */
	ck_assert_str_eq(told, "[<UDIEES");
	uv_run(&loop, UV_RUN_ONCE);
	ck_assert_str_eq(told, "[<UDIEES[1");
}
END_TEST

START_TEST(test_many)
{
	unsigned n = tap_scale(20000);
	uint32_t a = fake_device_add("a", 0);
	uint64_t bond;
	unsigned turns = 0;

	attach();
	bond = bound(a, 1);
	uv_run(&loop, UV_RUN_ONCE);
	forget();
	for (unsigned i = 0; i < n; i++)
		fake_fault(bond, i);
	/* Some at a time: others have their turn. All of them in the end, in their order. */
	while (n_events < n) {
		uv_run(&loop, UV_RUN_ONCE);
		turns++;
		ck_assert_uint_le(n_events, turns * 1024);
	}
	for (unsigned i = 0; i < n; i++)
		ck_assert_uint_eq(events[i].value, i);
	for (unsigned i = 0; i < n; i++)
		fake_fault(bond, i);
	backend->ops->catch_up(backend); /* all of them at once */
	ck_assert_uint_eq(n_events, 2 * n);
}
END_TEST

/* ---- records of other versions ---- */

START_TEST(test_longer_records)
{
	uint32_t a = fake_device_add("a", 0);

	fake_knobs.record = 120;
	attach();
	forget();
	for (unsigned i = 0; i < 60; i++)
		bound(a, 1 + i);
	uv_run(&loop, UV_RUN_ONCE);
	ck_assert_uint_eq(seen(SVAB_EV_BOUND), n_events);
	for (unsigned i = 0; i < n_events; i++)
		ck_assert(events[i].device == a && events[i].pad == 0 && events[i].size == 120);
}
END_TEST

START_TEST(test_shorter_records)
{
	uint32_t a = fake_device_add("a", 0);

	fake_knobs.record = offsetof(struct svab_event, value);
	attach();
	forget();
	fake_fault(bound(a, 1), 0x1000);
	uv_run(&loop, UV_RUN_ONCE);
	ck_assert_str_eq(told, "[1[;");
	ck_assert_uint_eq(events[1].value, 0);
	ck_assert_uint_eq(events[1].device, a);
}
END_TEST

static ssize_t broken_read(int fd, void *buf, size_t len)
{
	uint32_t size = 4;
	ssize_t n = fake_kmod_sys.read(fd, buf, len);

	if (n > 0)
		memcpy(buf, &size, sizeof(size));
	return n;
}

START_TEST(test_broken_record)
{
	const struct kmod_sys sys = { .ioctl = fake_kmod_sys.ioctl, .read = broken_read };

	backend->ops->free(backend);
	ck_assert_int_eq(backend_kmod_new(&loop, &sys, &handler, &loop, &backend), 0);
	attach();
	forget();
	fake_event(SVAB_EV_DEV_ADDED, 0);
	uv_run(&loop, UV_RUN_ONCE);
	ck_assert_str_eq(told, ""); /* dropped and said, not taken for something else */
	backend->ops->free(backend);
	backend = NULL;
}
END_TEST

/* ---- resets ---- */

static int reset_result;
static unsigned reset_called;
static struct svab_dev_reset reset_answer;

static void on_reset(void *userdata, int result, const struct svab_dev_reset *reset)
{
	ck_assert_ptr_eq(userdata, &reset_result);
	reset_result = result;
	reset_called++;
	if (reset)
		reset_answer = *reset;
	tell('R');
}

START_TEST(test_reset)
{
	uint32_t a = fake_device_add("a", SVAB_DEV_CAP_CAN_RESET), b = fake_device_add("b", 0);
	uint64_t bond;

	attach();
	fake_knobs.slow_stop = true;
	bond = bound(a, 1);
	fake_mm_gone(1);
	fake_stopped(bond, false);
	uv_run(&loop, UV_RUN_ONCE);
	ck_assert_uint_eq(seen(SVAB_EV_QUARANTINED), 1);
	forget();
	fake_knobs.hold_reset = true;
	ck_assert_int_eq(backend->ops->dev_reset(backend, a, on_reset, &reset_result), 0);
	ck_assert(fake_reset_held());
	fake_reset_release();
	while (!reset_called)
		uv_run(&loop, UV_RUN_ONCE);
	/* Its bonds are known to be CLEAN when the answer comes. */
	ck_assert_ptr_nonnull(strstr(told, "[6[="));
	ck_assert_ptr_nonnull(strstr(told, "R"));
	ck_assert(strstr(told, "[6") < strstr(told, "R"));
	ck_assert_int_eq(reset_result, 0);
	ck_assert_uint_eq(reset_answer.clean, 1);

	ck_assert_int_eq(backend->ops->dev_reset(backend, b, on_reset, &reset_result), 0);
	while (reset_called < 2)
		uv_run(&loop, UV_RUN_ONCE);
	ck_assert_int_eq(reset_result, -EOPNOTSUPP);
}
END_TEST

static ssize_t loop_turns;

static void on_idle(uv_idle_t *idle)
{
	if (++loop_turns == 100)
		uv_idle_stop(idle);
}

START_TEST(test_reset_off_the_loop)
{
	uint32_t a = fake_device_add("a", SVAB_DEV_CAP_CAN_RESET);
	uv_idle_t idle;

	attach();
	fake_knobs.hold_reset = true;
	ck_assert_int_eq(backend->ops->dev_reset(backend, a, on_reset, &reset_result), 0);
	/* While the device takes its time the loop turns. (The played module's reset lets go of its lock as
	 * the real one's does.) */
	ck_assert(fake_reset_held());
	uv_idle_init(&loop, &idle);
	uv_idle_start(&idle, on_idle);
	while (loop_turns < 100)
		uv_run(&loop, UV_RUN_NOWAIT);
	forget();
	bound(a, 1);
	backend->ops->catch_up(backend);
	ck_assert_str_eq(told, "[1");
	ck_assert_uint_eq(reset_called, 0);
	ck_assert(backend->ops->is_waiting(backend));
	uv_close((uv_handle_t *)&idle, NULL);
	fake_reset_release();
	while (!reset_called)
		uv_run(&loop, UV_RUN_ONCE);
	ck_assert_int_eq(reset_result, 0);
	ck_assert(!backend->ops->is_waiting(backend));
}
END_TEST

START_TEST(test_reset_left_behind)
{
	uint32_t a = fake_device_add("a", SVAB_DEV_CAP_CAN_RESET);

	attach();
	fake_knobs.hold_reset = true;
	ck_assert_int_eq(backend->ops->dev_reset(backend, a, on_reset, &reset_result), 0);
	ck_assert_int_eq(backend->ops->dev_reset(backend, a, on_reset, &reset_result), 0);
	ck_assert(fake_reset_held());
	backend->ops->free(backend);
	backend = NULL;
	ck_assert_uint_eq(reset_called, 2);
	ck_assert_int_eq(reset_result, -ENODEV);
	fake_reset_release();
	uv_run(&loop, UV_RUN_DEFAULT);
	ck_assert_uint_eq(reset_called, 2);
}
END_TEST

/* ---- what cannot be gone on with: the process ends, and a new one lists ---- */

START_TEST(test_no_info)
{
	fake_knobs.fails = SVAB_INFO;
	fake_knobs.fail_error = EIO;
	attach();
}
END_TEST

START_TEST(test_no_devices)
{
	fake_knobs.fails = SVAB_DEV_NEXT;
	fake_knobs.fail_error = ENOMEM;
	attach();
}
END_TEST

START_TEST(test_no_list)
{
	fake_knobs.fails = SVAB_LIST;
	fake_knobs.fail_error = ENOMEM;
	attach();
}
END_TEST

START_TEST(test_no_events)
{
	attach();
	fake_knobs.read_error = EIO;
	backend->ops->catch_up(backend);
}
END_TEST

START_TEST(test_bad_fd)
{
	int fd[2];

	/* What the loop cannot watch is no control fd. */
	ck_assert_int_eq(pipe(fd), 0);
	close(fd[0]);
	close(fd[1]);
	ck_assert_int_lt(backend->ops->attach(backend, fd[0], 0), 0);
	ck_assert(!backend->is_up);
	ck_assert_str_eq(told, "");
}
END_TEST

static Suite *kmod_suite(void)
{
	Suite *s = suite_create("backend-kmod");
	TCase *c = tcase_create("backend-kmod"), *f = tcase_create("fatal");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_set_timeout(c, 30);
	tcase_add_test(c, test_empty);
	tcase_add_test(c, test_listing);
	tcase_add_test(c, test_operations);
	tcase_add_test(c, test_loop);
	tcase_add_test(c, test_devices);
	tcase_add_test(c, test_lost);
	tcase_add_test(c, test_meanwhile);
	tcase_add_test(c, test_many);
	tcase_add_test(c, test_longer_records);
	tcase_add_test(c, test_shorter_records);
	tcase_add_test(c, test_broken_record);
	tcase_add_test(c, test_reset);
	tcase_add_test(c, test_reset_off_the_loop);
	tcase_add_test(c, test_reset_left_behind);
	tcase_add_test(c, test_bad_fd);
	suite_add_tcase(s, c);
	tcase_add_checked_fixture(f, setup, teardown);
	tcase_add_test_raise_signal(f, test_no_info, SIGABRT);
	tcase_add_test_raise_signal(f, test_no_devices, SIGABRT);
	tcase_add_test_raise_signal(f, test_no_list, SIGABRT);
	tcase_add_test_raise_signal(f, test_no_events, SIGABRT);
	suite_add_tcase(s, f);
	return s;
}

int main(int argc, char **argv)
{
	return tap_main(argc, argv, kmod_suite, NULL);
}
