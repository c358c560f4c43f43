/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Containers as lines of text: what is written is read back to the same, and what was damaged is never taken for something else. What is remembered
 * of a container is bounded. */
#include <check.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../daemon/broker_run.h"
#include "../../daemon/container_private.h"
#include "../../daemon/container_store.h"
#include "../../daemon/container_timeline.h"
#include "../../daemon/log.h"
#include "../../daemon/sim_crc32c.h"
#include "tap.h"

static struct broker broker;
static int chan[2];

static void setup(void)
{
	struct config_errors errors = { 0 };
	static const char text[] = "[daemon]\nruntime_dir = /nonexistent\nuser = root\n";

	log_init("test", LOG_CRIT);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, chan), 0);
	ck_assert_int_eq(broker_init(&broker, chan[1]), 0);
	ck_assert_int_eq(uv_poll_init(&broker.loop, &broker.chan_poll, chan[1]), 0);
	ck_assert_int_eq(config_from_text(text, strlen(text), &broker.config, &errors), 0);
}

static void teardown(void)
{
	broker_deinit(&broker);
	close(chan[0]);
	close(chan[1]);
}

static void none_there(void)
{
	ck_assert(list_empty(&broker.registry.all));
	ck_assert_uint_eq(broker.registry.by_cookie.n, 0);
	ck_assert_uint_eq(broker.registry.by_netns.n, 0);
	ck_assert_uint_eq(broker.registry.by_key.n, 0);
	ck_assert_uint_eq(broker.registry.n_active, 0);
	ck_assert_uint_eq(broker.registry.n_tombstones, 0);
}

static struct container *make(uint64_t cookie, const char *network, const char *id)
{
	char *globs[] = { (char *)(uintptr_t) "sim*", (char *)(uintptr_t) "a=b c%20\xc3\xa9" };
	struct registration r = {
		.key = { network, id, "eth0" },
		.cookie = cookie,
		.netns_dev = 4,
		.netns_inode = cookie + 7,
		.netns_path = "/run/netns/a b=%",
		.pid = 4321,
		.pod_namespace = "sh\xc3\xb6p",
		.pod_name = "web 1",
		.pod_uid = "",
		.devices = globs,
		.n_devices = 2,
		.limits = { .bonds = UINT32_MAX, .drain_deadline_ms = 5 },
		.by = "cni",
	};
	struct registration_undo undo;
	struct container *c;

	ck_assert_int_eq(container_register(&broker, &r, &undo), 0);
	c = undo.container;
	container_undo_free(&undo);
	return c;
}

/* Composed, and the container gone. */
static char *line_of(struct container *c, size_t *ret_len)
{
	char *line = record_compose(c, ret_len);

	ck_assert_ptr_nonnull(line);
	ck_assert_int_eq(line[*ret_len - 1], '\n');
	ck_assert_uint_eq(strlen(line), *ret_len);
	container_discard(c);
	none_there();
	line[--*ret_len] = '\0';
	return line;
}

static int restore(const char *line)
{
	char *copy = strdup(line);
	int r = record_restore(&broker, copy);

	free(copy);
	return r;
}

START_TEST(test_round_trip)
{
	struct container *c = make(99, "net one", "web-1");
	char *line, *again;
	size_t len, again_len;

	ck_assert_ptr_eq(make(99, "net/two", "web-1"), c);
	line = line_of(c, &len);
	ck_assert_int_eq(restore(line), 0);
	c = container_by_cookie(&broker, 99);
	ck_assert_ptr_nonnull(c);
	ck_assert_str_eq(c->name, "web-1");
	ck_assert_str_eq(c->pod_namespace, "sh\xc3\xb6p");
	ck_assert_str_eq(c->netns_path, "/run/netns/a b=%");
	ck_assert_uint_eq(c->registered.bonds, UINT32_MAX);
	ck_assert_uint_eq(c->registered.drain_deadline_ms, 5);
	ck_assert_ptr_eq(container_by_netns(&broker, 4, 106), c);
	ck_assert_ptr_nonnull(attachment_find(&broker, &(struct attachment_key) { "net/two", "web-1", "eth0" }, false));
	again = record_compose(c, &again_len);
	ck_assert_uint_eq(again_len, len + 1);
	ck_assert_int_eq(memcmp(again, line, len), 0);
	/* Twice in a file: the second is not taken. */
	ck_assert_int_eq(restore(line), -EEXIST);
	ck_assert_uint_eq(broker.registry.n_active, 1);
	/* A removed one stays removed. */
	container_remove(c, NULL, SVAB_CAUSE_CONTAINER_GONE, "test");
	free(again);
	again = record_compose(c, &again_len);
	again[again_len - 1] = '\0';
	container_discard(c);
	none_there();
	ck_assert_int_eq(restore(again), 0);
	c = container_by_cookie(&broker, 99);
	ck_assert_int_eq((int)c->state, (int)SVAD__V1__CONTAINER_STATE__CONTAINER_REMOVED);
	ck_assert_uint_eq(broker.registry.n_tombstones, 1);
	ck_assert_ptr_null(attachment_find(&broker, &(struct attachment_key) { "net/two", "web-1", "eth0" }, false));
	free(again);
	free(line);
}
END_TEST

START_TEST(test_every_bit)
{
	size_t len;
	char *line = line_of(make(5, "net", "web"), &len), *bad = malloc(len + 1);

	for (size_t i = 0; i < len; i++)
		for (int bit = 0; bit < 8; bit++) {
			memcpy(bad, line, len + 1);
			bad[i] = (char)(bad[i] ^ 1 << bit);
			ck_assert_int_eq(restore(bad), -EBADMSG);
		}
	for (size_t i = 0; i < len; i++) {
		memcpy(bad, line, len + 1);
		bad[i] = '\0';
		ck_assert_int_eq(restore(bad), -EBADMSG);
	}
	none_there();
	ck_assert_int_eq(restore(line), 0);
	free(bad);
	free(line);
}
END_TEST

/* Its checksum is right, and it is nonsense. */
static int restore_signed(const char *rest)
{
	size_t size = strlen(rest) + 10;
	char *line = malloc(size);
	int r;

	snprintf(line, size, "%08" PRIx32 "%s", crc32c(0, rest, strlen(rest)), rest);
	r = record_restore(&broker, line);
	free(line);
	return r;
}

#define OWN " number=3 cookie=8 dev=4 inode=5 name=a path= namespace= pod= uid="
#define ATTACHED " a.network=n a.id=a a.ifname= a.by=x"

START_TEST(test_nonsense)
{
	static const char *const bad[] = {
		"",
		" ",
		OWN,
		(OWN " "),
		ATTACHED,
		(OWN ATTACHED " "),
		(OWN ATTACHED " a.what=1"),
		(OWN ATTACHED " what=1"),
		(OWN ATTACHED " pod=late"),
		(OWN " what=1" ATTACHED),
		(OWN " cookie=x" ATTACHED),
		(OWN " cookie=-1" ATTACHED),
		(OWN " cookie=99999999999999999999" ATTACHED),
		(OWN " cookie=0" ATTACHED),
		(OWN " pod=%00" ATTACHED),
		(OWN " pod=%4" ATTACHED),
		(OWN " pod=%zz" ATTACHED),
		(OWN " pod" ATTACHED),
		(OWN ATTACHED " a.bonds=4294967296"),
		(OWN ATTACHED " a.network=n a.id=b"),
		(OWN " a.id=a a.ifname= a.by=x"),
		" number=3 cookie=8 dev=4 inode=5" ATTACHED,
	};
	char many[2048];
	size_t at;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int r = restore_signed(bad[i]);

		ck_assert_msg(r == -EBADMSG, "'%s' is %d", bad[i], r);
		none_there();
	}
	at = (size_t)snprintf(many, sizeof(many), "%s", OWN ATTACHED);
	for (unsigned i = 0; i <= CONTAINER_DEVICES_MAX; i++)
		at += (size_t)snprintf(many + at, sizeof(many) - at, " a.device=d%u", i);
	ck_assert_int_eq(restore_signed(many), -EBADMSG);
	none_there();
	ck_assert_int_eq(restore_signed(OWN ATTACHED), 0);
	ck_assert_uint_eq(container_by_cookie(&broker, 8)->id, 3);
	ck_assert_uint_gt(make(9, "n", "next")->id, 3); /* numbers go on from there */
}
END_TEST

START_TEST(test_timeline)
{
	struct container *c = make(5, "net", "web");
	const struct timeline *t = c->timeline;
	struct bond_end end = { .state = SVAB_PASID_CLEAN };
	unsigned quarantined = 0;

	for (unsigned i = 1; i <= 1000; i++) {
		end.bond = i;
		end.state = i == 10 || i == 500 ? SVAB_PASID_QUARANTINED : SVAB_PASID_CLEAN;
		timeline_bond(c, SVAD__V1__TIMELINE_KIND__TIMELINE_BOND_END, &end, 1);
	}
	ck_assert_uint_eq(t->n, TIMELINE_MAX);
	ck_assert_int_eq((int)t->entries[0].kind, (int)SVAD__V1__TIMELINE_KIND__TIMELINE_REGISTERED);
	ck_assert_uint_eq(t->entries[t->n - 1].end.bond, 1000);
	for (size_t i = 1; i < t->n; i++) {
		ck_assert_uint_ge(t->entries[i].monotonic_ns, t->entries[i - 1].monotonic_ns);
		quarantined += t->entries[i].end.state == SVAB_PASID_QUARANTINED;
	}
	ck_assert_uint_eq(quarantined, 2); /* which is what people look for */
}
END_TEST

/* Of those that are gone the last few are remembered. */
START_TEST(test_remembered)
{
	struct container *first = NULL, *last;

	for (unsigned i = 1; i <= CONTAINERS_REMEMBERED + 10; i++) {
		char id[16];

		snprintf(id, sizeof(id), "c%03u", i);
		container_netns_dead(make(i, "net", id), "test");
	}
	ck_assert_uint_eq(broker.registry.n_forgotten, CONTAINERS_REMEMBERED);
	ck_assert_uint_eq(broker.registry.n_active + broker.registry.n_tombstones, 0);
	ck_assert_uint_eq(broker.registry.by_cookie.n, 0);
	ck_assert_int_eq(container_by_name(&broker, "c005", true, &first), -ENOENT);
	ck_assert_int_eq(container_by_name(&broker, "c074", true, &last), 0);
	ck_assert_int_eq(container_by_name(&broker, "c074", false, &last), -ENOENT);
}
END_TEST

static void add(Suite *s, const char *name, const TTest *test)
{
	TCase *c = tcase_create(name);

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, test);
	suite_add_tcase(s, c);
}

static Suite *record_suite(void)
{
	Suite *s = suite_create("container-record");

	add(s, "round-trip", test_round_trip);
	add(s, "every-bit", test_every_bit);
	add(s, "nonsense", test_nonsense);
	add(s, "timeline", test_timeline);
	add(s, "remembered", test_remembered);
	return s;
}

int main(int argc, char **argv)
{
	return tap_main(argc, argv, record_suite, NULL);
}
