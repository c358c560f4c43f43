/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The broker on the kernel module, which is played: what it knows of contexts, grants and bonds is what the
 * module has, after a restart, after losses and whatever comes in which order; and what policy, processes and
 * a shutdown end is ended there. */
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../daemon/backend_kmod.h"
#include "../../daemon/bond.h"
#include "../../daemon/broker_run.h"
#include "../../daemon/client.h"
#include "../../daemon/conn.h"
#include "../../daemon/container_private.h"
#include "../../daemon/device.h"
#include "../../daemon/log.h"
#include "../../daemon/peer.h"
#include "../../daemon/rpc.h"
#include "../../daemon/user.h"
#include "fake-kmod.h"
#include "tap.h"

static struct broker broker;
static int chan[2];

static void broker_up(void)
{
	struct config_errors errors = { 0 };
	static const char text[] = "[daemon]\nbackend = kmod\nruntime_dir = /nonexistent\nuser = root\n"
				   "[policy \"all\"]\nuid = *\ndevices = *\n";

	ck_assert_int_eq(broker_init(&broker, chan[1]), 0);
	ck_assert_int_eq(uv_poll_init(&broker.loop, &broker.chan_poll, chan[1]), 0);
	ck_assert_int_eq(config_from_text(text, strlen(text), &broker.config, &errors), 0);
	ck_assert_int_eq(backend_kmod_new(&broker.loop, &fake_kmod_sys, &broker_backend_handler, &broker,
					  &broker.backend),
			 0);
	ck_assert_int_eq(broker.backend->ops->attach(broker.backend, fake_kmod_open(), 0), 0);
}

static void broker_down(void)
{
	broker_deinit(&broker);
}

static void setup(void)
{
	log_init("test", LOG_CRIT);
	fake_kmod_load();
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, chan), 0);
}

static void teardown(void)
{
	broker_down();
	fake_kmod_unload();
	close(chan[0]);
	close(chan[1]);
}

static void catch_up(void)
{
	broker.backend->ops->catch_up(broker.backend);
}

/* The last message of the type that the broker sent to its supervisor. */
static bool told(enum chan_type type, struct chan_hdr *ret)
{
	static char buf[CHAN_MAX];
	bool found = false;
	struct chan_hdr hdr;
	int fds[CHAN_MAX_FDS];

	while (chan_recv(chan[0], &hdr, buf, fds) >= 0) {
		if (hdr.type == type) {
			*ret = hdr;
			found = true;
		}
	}
	return found;
}

/* A client that is this process, with a ctx, as a connection would have made them. */
static struct ctx *ctx_of(struct client *client)
{
	static uint64_t cookie = 500;
	struct svab_ctx_create create = { .size = sizeof(create),
					  .cookie = ++cookie,
					  .pid = client->pid,
					  .uid = client->uid,
					  .gid = client->gid };
	struct ctx *ctx;
	int fd;

	ck_assert_int_eq(broker.backend->ops->ctx_create(broker.backend, &create, &fd), 0);
	close(fd);
	ck_assert_int_eq(ctx_new(client, cookie, &ctx), 0);
	return ctx;
}

static struct client *client_of(pid_t pid)
{
	struct client *client;

	ck_assert_int_eq(client_new_listed(&broker, pid, getuid(), getgid(), &client), 0);
	client->expected = false;
	return client;
}

static struct hold *grant(struct ctx *ctx, uint32_t device)
{
	struct svab_ctx_grant g = {
		.size = sizeof(g), .cookie = ctx->node.id, .device = device, .grant = ++broker.last_grant_id
	};
	struct hold *hold;

	ck_assert_int_eq(hold_new(ctx, device_find(&broker, device), g.grant, &hold), 0);
	ck_assert_int_eq(broker.backend->ops->ctx_grant(broker.backend, &g), 0);
	return hold;
}

static uint64_t bind_to(struct ctx *ctx, uint32_t device, unsigned mm)
{
	int64_t bond;

	grant(ctx, device);
	bond = fake_bind(ctx->node.id, device, mm);
	ck_assert_int_gt(bond, 0);
	return (uint64_t)bond;
}

/* Everything that the broker says of itself agrees with what the module has. */
static void agrees(void)
{
	unsigned holds = 0, bonds = 0, charged = 0;
	struct list *c, *x, *h, *d;

	catch_up();
	ck_assert_uint_eq(broker.bonds.n, fake_bonds());
	ck_assert_uint_eq(broker.ctxs.n, fake_ctxs());
	list_for_each(c, &broker.client_list) {
		struct client *client = container_of(c, struct client, link);
		unsigned mine = 0;

		list_for_each(x, &client->ctxs) {
			list_for_each(h, &container_of(x, struct ctx, link)->holds) {
				struct hold *hold = container_of(h, struct hold, link);

				mine++;
				bonds += hold->bond != NULL;
				if (hold->bond)
					ck_assert_uint_eq(hold->bond->drain.state,
							  fake_bond_state(hold->bond->node.id));
			}
		}
		ck_assert_uint_eq(client->bonds, mine);
		holds += mine;
	}
	ck_assert_uint_eq(holds - bonds, fake_grants());
	list_for_each(d, &broker.device_list)
		charged += container_of(d, struct device, link)->holds;
	ck_assert_uint_eq(charged, holds);
}

/* ---- a broker that comes after another ---- */

START_TEST(test_restart)
{
	uint32_t a = fake_device_add("a", 0), b = fake_device_add("b", 0);
	uint64_t bound, stuck, cookie;
	struct client *client;
	struct bond *bond;
	struct chan_hdr hdr;
	struct ctx *ctx;

	broker_up();
	ck_assert(told(CHAN_READY, &hdr));
	client = client_of(getpid());
	ctx = ctx_of(client);
	cookie = ctx->node.id;
	bound = bind_to(ctx, a, 1);
	fake_fault(bound, 0x1000);
	grant(ctx, b);
	fake_knobs.slow_stop = true;
	stuck = bind_to(ctx_of(client), a, 2);
	broker.backend->ops->bond_revoke(broker.backend, stuck, SVAB_CAUSE_ADMIN);
	fake_stopped(stuck, false);
	agrees();
	ck_assert_uint_eq(broker.n_quarantined, 1);

	/* It ends without a word: nothing ends with it. Its successor learns all from the listing. */
	broker_down();
	ck_assert_uint_eq(fake_bonds(), 2);
	ck_assert_uint_eq(fake_bond_state(bound), SVAB_PASID_BOUND);
	broker_up();
	agrees();
	ck_assert_uint_eq(broker.n_quarantined, 1);
	bond = bond_find(&broker, bound);
	ck_assert_ptr_nonnull(bond);
	ck_assert_int_eq(bond->pid, getpid());
	ck_assert_uint_eq(bond->faults, 1);
	ck_assert_uint_eq(bond_find(&broker, stuck)->drain.cause, SVAB_CAUSE_ADMIN);
	ctx = ctx_find(&broker, cookie);
	ck_assert_ptr_nonnull(ctx);
	ck_assert(ctx->client->expected && ctx->client->pidfd >= 0);
	ck_assert_ptr_nonnull(ctx_find_hold(ctx, device_find(&broker, b)));
	/* Grants that it gives are none that the old one gave. */
	ck_assert_uint_ge(broker.last_grant_id, 3);

	fake_stopped(stuck, true);
	fake_knobs.slow_stop = false;
	fake_unbind(cookie, bound);
	agrees();
	ck_assert_uint_eq(broker.bonds.n, 0);
}
END_TEST

START_TEST(test_restart_client_gone)
{
	uint32_t a = fake_device_add("a", 0);
	uint64_t bond;
	pid_t pid;

	broker_up();
	pid = fork();
	if (pid == 0)
		_exit(0);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	/* Its process ended while there was no broker, and yet somebody holds its context's fd. */
	bond = bind_to(ctx_of(client_of(pid)), a, 1);
	catch_up();
	broker_down();
	broker_up();
	catch_up();
	ck_assert_uint_eq(fake_bond_state(bond), SVAB_PASID_NONE);
	ck_assert_uint_eq(broker.bonds.n, 0);
	ck_assert_uint_eq(broker.clients.n, 0);
	agrees();
}
END_TEST

START_TEST(test_client_dies)
{
	uint32_t a = fake_device_add("a", 0);
	struct client *client;
	uint64_t bond;
	pid_t pid;

	broker_up();
	pid = fork();
	if (pid == 0) {
		pause();
		_exit(0);
	}
	client = client_of(pid);
	bond = bind_to(ctx_of(client), a, 1);
	agrees();
	kill(pid, SIGKILL);
	while (broker.clients.n)
		uv_run(&broker.loop, UV_RUN_ONCE);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ck_assert_uint_eq(fake_bond_state(bond), SVAB_PASID_NONE);
	ck_assert_uint_eq(fake_ctxs(), 0);
	ck_assert_uint_eq(broker.users.n, 0);
	agrees();
}
END_TEST

/* ---- what nobody granted, what is granted no more ---- */

START_TEST(test_not_granted)
{
	uint32_t a = fake_device_add("a", 0);
	struct ctx *ctx;
	struct hold *hold;
	int64_t bond;

	broker_up();
	ctx = ctx_of(client_of(getpid()));
	hold = grant(ctx, a);
	/* The grant is taken back here, and the client was faster. */
	bond = fake_bind(ctx->node.id, a, 1);
	fake_knobs.slow_stop = true;
	broker.backend->ops->ctx_revoke_grant(broker.backend, ctx->node.id, a);
	hold_free(hold);
	catch_up();
	ck_assert_uint_eq(fake_bond_state((uint64_t)bond), SVAB_PASID_STOPPING);
	ck_assert_uint_eq(fake_bond_cause((uint64_t)bond), SVAB_CAUSE_POLICY);
	fake_stopped((uint64_t)bond, true);
	agrees();
}
END_TEST

START_TEST(test_shared)
{
	uint32_t a = fake_device_add("a", 0);
	struct client *client;
	struct ctx *x, *y;
	struct bond *bond;
	uint64_t id;

	broker_up();
	client = client_of(getpid());
	x = ctx_of(client);
	y = ctx_of(client);
	id = bind_to(x, a, 1);
	ck_assert_uint_eq(bind_to(y, a, 1), id);
	agrees();
	bond = bond_find(&broker, id);
	ck_assert(!list_empty(&bond->holds));
	ck_assert_uint_eq(client->bonds, 2);
	fake_unbind(x->node.id, id);
	/* Before that is read, another grant is given: its charge is not the old one's. */
	hold_free(ctx_find_hold(x, device_find(&broker, a)));
	grant(x, a);
	agrees();
	ck_assert_uint_eq(client->bonds, 2);
	fake_unbind(y->node.id, id);
	agrees();
	ck_assert_uint_eq(client->bonds, 1);
}
END_TEST

/* A bond that a process outside of the container holds as well, for it shares the memory: the removal ends it
 * all the same. */
START_TEST(test_shared_with_container)
{
	struct registration r = {
		.key = { "net", "web", "eth0" },
		.cookie = 77,
		.netns_dev = 4,
		.netns_inode = 5,
		.netns_path = "",
		.pod_namespace = "",
		.pod_name = "",
		.pod_uid = "",
		.by = "test",
	};
	uint32_t a = fake_device_add("a", 0);
	struct client *inside, *outside;
	struct registration_undo undo;
	struct container *c;
	struct ctx *x, *y;
	uint64_t id;

	broker_up();
	inside = client_of(getpid());
	outside = client_of(getpid());
	x = ctx_of(inside);
	y = ctx_of(outside);
	id = bind_to(x, a, 1);
	agrees();
	ck_assert_int_eq(container_register(&broker, &r, &undo), 0);
	c = container_ref(undo.container);
	container_undo_free(&undo);
	container_join(c, inside);
	ck_assert_uint_eq(c->bonds, 1);
	ck_assert_uint_eq(c->n_bonds_live, 1);
	ck_assert_uint_eq(bind_to(y, a, 1), id);
	agrees();
	ck_assert(container_remove(c, NULL, SVAB_CAUSE_CONTAINER_GONE, "test"));
	agrees();
	ck_assert_ptr_null(bond_find(&broker, id));
	ck_assert_uint_eq(fake_bonds(), 0);
	ck_assert(!c->removal.active);
	ck_assert_uint_eq(c->removal.clean, 1);
	ck_assert_int_eq((int)c->state, (int)SVAD__V1__CONTAINER_STATE__CONTAINER_REMOVED);
	container_put(c);
}
END_TEST

/* ---- devices ---- */

START_TEST(test_hotplug)
{
	uint32_t a = fake_device_add("a", 0), again;
	struct ctx *ctx;
	uint64_t bond;

	broker_up();
	ctx = ctx_of(client_of(getpid()));
	fake_knobs.slow_stop = true;
	bond = bind_to(ctx, a, 1);
	fake_device_gone(a);
	agrees();
	ck_assert_uint_eq(device_health(device_find(&broker, a)), SVAD__V1__DEVICE_HEALTH__HEALTH_GONE);
	again = fake_device_add("a", 0);
	agrees();
	ck_assert_uint_eq(device_find_name(&broker, "a")->info.id, again);
	fake_stopped(bond, true);
	fake_device_forget(a);
	agrees();
	broker.backend->ops->refresh(broker.backend);
	ck_assert_ptr_null(device_find(&broker, a));
	ck_assert_ptr_nonnull(device_find(&broker, again));
}
END_TEST

/* ---- losses ---- */

START_TEST(test_losses)
{
	static const uint32_t caps = SVAB_DEV_CAP_CAN_RESET;
	uint32_t devices[3] = { fake_device_add("a", caps), fake_device_add("b", caps),
				fake_device_add("c", caps) };
	unsigned rounds = tap_scale(20000), seed = 1, lists;
	struct client *client;
	struct ctx *ctxs[8];

	broker_up();
	client = client_of(getpid());
	for (unsigned i = 0; i < 8; i++)
		ctxs[i] = ctx_of(client);
	fake_knobs.queue = 5;
	lists = fake_lists();
	for (unsigned i = 0; i < rounds; i++) {
		unsigned n = (seed = seed * 1103515245u + 12345u) >> 16, x = n % 8;
		uint32_t device = devices[n / 8 % 3];
		struct hold *hold = ctx_find_hold(ctxs[x], device_find(&broker, device));

		switch (n / 24 % 8) {
		case 0:
		case 1: /* as rpc_bind() does; a grant of a ctx that ended in between is refused */
			if (!hold && !ctxs[x]->revoked)
				grant(ctxs[x], device);
			break;
		case 2:
		case 3:
			(void)fake_bind(ctxs[x]->node.id, device, x / 2 + 1);
			break;
		case 4:
			fake_mm_gone(x / 2 + 1);
			break;
		case 5:
			if (hold && hold->bond)
				broker.backend->ops->bond_revoke(broker.backend, hold->bond->node.id,
								 SVAB_CAUSE_ADMIN);
			break;
		case 6:
			fake_knobs.slow_stop = n & 4096;
			break;
		default:
			if (n & 4096)
				catch_up();
			else
				uv_run(&broker.loop, UV_RUN_NOWAIT);
			break;
		}
		if (i % 64 == 63) {
			/* What would not stop is reset, and all is compared. */
			struct list *pos, *tmp;

			catch_up();
			fake_knobs.slow_stop = false;
			list_for_each_safe(pos, tmp, &broker.bond_list) {
				struct bond *bond = container_of(pos, struct bond, link);

				if (bond->drain.state == SVAB_PASID_STOPPING)
					fake_stopped(bond->node.id, true);
			}
			agrees();
		}
	}
	ck_assert_uint_gt(fake_lists() - lists, rounds / 200); /* it did lose */
}
END_TEST

static uint64_t meanwhile_cookie;
static uint32_t meanwhile_device;

/* Between the end of a queue that ran over and the listing a client binds and lets go. */
static void bind_meanwhile(void)
{
	int64_t bond = fake_bind(meanwhile_cookie, meanwhile_device, 1);

	fake_knobs.on_list = NULL;
	ck_assert_int_gt(bond, 0);
	fake_unbind(meanwhile_cookie, (uint64_t)bond);
}

/* What is told of that comes after the listing and is not taken for news of a grant given since; shared: the
 * bond is another context's too, and lives on. */
static void bound_before_listing(bool shared)
{
	uint32_t a = fake_device_add("a", 0);
	struct ctx *ctx, *other;
	struct hold *hold;
	uint64_t old = 0;
	int64_t bond;

	broker_up();
	ctx = ctx_of(client_of(getpid()));
	other = ctx_of(ctx->client);
	if (shared)
		old = bind_to(other, a, 1);
	grant(ctx, a);
	catch_up();
	meanwhile_cookie = ctx->node.id;
	meanwhile_device = a;
	fake_knobs.queue = 1;
	fake_event(SVAB_EV_FAULT, 0);
	fake_event(SVAB_EV_FAULT, 0);
	fake_knobs.queue = 100;
	fake_knobs.on_list = bind_meanwhile;
	/* One turn: what the listing has brought to the queue is for the next. */
	uv_run(&broker.loop, UV_RUN_NOWAIT);
	ck_assert_ptr_null(fake_knobs.on_list);
	ck_assert_ptr_null(ctx_find_hold(ctx, device_find(&broker, a)));
	hold = grant(ctx, a);
	bond = fake_bind(ctx->node.id, a, 1);
	ck_assert_int_gt(bond, 0);
	agrees();
	ck_assert_ptr_eq(ctx_find_hold(ctx, device_find(&broker, a)), hold);
	ck_assert_ptr_nonnull(hold->bond);
	ck_assert_uint_eq(hold->bond->node.id, (uint64_t)bond);
	ck_assert_uint_eq(fake_bond_state((uint64_t)bond), SVAB_PASID_BOUND);
	if (shared)
		ck_assert_uint_eq(old, (uint64_t)bond);
}

START_TEST(test_bound_before_listing)
{
	bound_before_listing(false);
}
END_TEST

START_TEST(test_shared_before_listing)
{
	bound_before_listing(true);
}
END_TEST

/* ---- resets ---- */

START_TEST(test_reset_twice)
{
	uint32_t a = fake_device_add("a", SVAB_DEV_CAP_CAN_RESET);
	Svad__V1__Request request = SVAD__V1__REQUEST__INIT;
	Svad__V1__ResetDevice body = SVAD__V1__RESET_DEVICE__INIT;
	struct device *device;
	struct conn *conn;
	struct user *user;
	int fds[2];

	broker_up();
	device = device_find(&broker, a);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	user = user_get(&broker, getuid());
	ck_assert_ptr_nonnull(user);
	ck_assert_int_eq(conn_new(&broker, fds[0], CONN_ADMIN, NULL, user, &conn), 0);
	user_put(user);
	body.device = (char *)(uintptr_t) "a";
	request.id = 1;
	request.body_case = SVAD__V1__REQUEST__BODY_RESET_DEVICE;
	request.reset_device = &body;
	fake_knobs.hold_reset = true;
	rpc_reset_device(conn, &request);
	ck_assert(fake_reset_held());
	ck_assert_int_eq(device_health(device), SVAD__V1__DEVICE_HEALTH__HEALTH_RESETTING);
	ck_assert_uint_eq(conn->in_flight, 1);
	/* A second one is refused at once, and is not the end of the first. */
	request.id = 2;
	rpc_reset_device(conn, &request);
	ck_assert_uint_eq(conn->in_flight, 1);
	ck_assert_int_eq(device_health(device), SVAD__V1__DEVICE_HEALTH__HEALTH_RESETTING);
	fake_reset_release();
	while (device->resetting)
		uv_run(&broker.loop, UV_RUN_ONCE);
	ck_assert_int_eq(device_health(device), SVAD__V1__DEVICE_HEALTH__HEALTH_OK);
	close(fds[1]);
}
END_TEST

/* ---- the end ---- */

START_TEST(test_shutdown)
{
	uint32_t a = fake_device_add("a", 0);
	struct client *client;
	struct chan_hdr hdr;
	uint64_t stuck;

	broker_up();
	client = client_of(getpid());
	bind_to(ctx_of(client), a, 1);
	grant(ctx_of(client), a);
	fake_knobs.slow_stop = true;
	stuck = bind_to(ctx_of(client), a, 2);
	catch_up();
	fake_knobs.slow_stop = false;
	broker.backend->ops->bond_revoke(broker.backend, 1, SVAB_CAUSE_ADMIN);
	fake_knobs.slow_stop = true;
	broker_shutdown(&broker, 60000);
	catch_up();
	ck_assert(!told(CHAN_DONE, &hdr)); /* one is draining */
	ck_assert_uint_eq(fake_bond_cause(stuck), SVAB_CAUSE_SHUTDOWN);
	fake_stopped(stuck, false);
	uv_run(&broker.loop, UV_RUN_ONCE);
	ck_assert(told(CHAN_DONE, &hdr)); /* nothing more will come */
	ck_assert_uint_eq(hdr.arg, 1);
	ck_assert_uint_eq(fake_bonds(), 1);
	ck_assert_uint_eq(fake_grants(), 0);
}
END_TEST

START_TEST(test_shutdown_clean)
{
	uint32_t a = fake_device_add("a", 0);
	struct chan_hdr hdr;

	broker_up();
	bind_to(ctx_of(client_of(getpid())), a, 1);
	broker_shutdown(&broker, 60000);
	while (!told(CHAN_DONE, &hdr))
		uv_run(&broker.loop, UV_RUN_ONCE);
	ck_assert_uint_eq(hdr.arg, 0);
	ck_assert_uint_eq(fake_bonds() + fake_ctxs(), 0);
}
END_TEST

static Suite *broker_suite(void)
{
	Suite *s = suite_create("broker-kmod");
	TCase *c = tcase_create("broker-kmod");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_set_timeout(c, 60);
	tcase_add_test(c, test_restart);
	tcase_add_test(c, test_restart_client_gone);
	tcase_add_test(c, test_client_dies);
	tcase_add_test(c, test_not_granted);
	tcase_add_test(c, test_shared);
	tcase_add_test(c, test_shared_with_container);
	tcase_add_test(c, test_hotplug);
	tcase_add_test(c, test_losses);
	tcase_add_test(c, test_bound_before_listing);
	tcase_add_test(c, test_shared_before_listing);
	tcase_add_test(c, test_reset_twice);
	tcase_add_test(c, test_shutdown);
	tcase_add_test(c, test_shutdown_clean);
	suite_add_tcase(s, c);
	return s;
}

int main(int argc, char **argv)
{
	return tap_main(argc, argv, broker_suite, NULL);
}
