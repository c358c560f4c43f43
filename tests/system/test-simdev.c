/* SPDX-License-Identifier: GPL-2.0-or-later */
/* svad-simdev, driven without a broker: binds, DMA, faults. How bonds end is in test-simdev-drain.c. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../proto/simwire.h"
#include "sim-harness.h"
#include "tap.h"

#define CONFIG                                                                                                   \
	"[device \"d0\"]\nengines = 2\nstop = flushed\n[device \"d1\"]\nengines = 1\nstop = clean\npasid_bits = 2\n" \
	"[device \"d2\"]\nstop = none\nmax_bonds = 1\noperations = copy nop\n"

static void setup(void)
{
	h_start(CONFIG);
}

static void setup_text(void)
{
	h_start("procmap_query = no\n" CONFIG);
}

/* ---- operations -------------------------------------------------------------------------------------------- */

static uint32_t crc_of(const unsigned char *p, size_t n, uint32_t crc)
{
	crc = ~crc;
	while (n--) {
		crc ^= *p++;
		for (int i = 0; i < 8; i++)
			crc = (crc >> 1) ^ ((crc & 1u) ? 0x82f63b78u : 0);
	}
	return ~crc;
}

START_TEST(operations)
{
	const size_t len = 5u * 1024 * 1024 + 123;
	unsigned char *a = h_memory(16, len + 8), *b = h_memory(16, len + 8);
	struct sva_demo_completion done;
	struct sva_demo_desc d;
	struct client c;

	for (size_t i = 0; i < len + 8; i++)
		a[i] = (unsigned char)(i * 2654435761u >> 13);
	memset(b, 0, len + 8);
	h_client(&c, 1, 1);
	ck_assert_uint_eq(c.pasid, 1);

	ck_assert_uint_eq(h_run(&c, h_copy(b + 3, a + 1, len), &done), SVA_DEMO_OK);
	ck_assert_uint_eq(done.bytes, len);
	ck_assert(!memcmp(b + 3, a + 1, len) && !b[2] && !b[len + 3]);

	d = (struct sva_demo_desc) { .op = SVA_DEMO_CRC32C, .src = (uintptr_t)a, .len = len, .arg = 7, .tag = 99 };
	ck_assert_uint_eq(h_run(&c, d, &done), SVA_DEMO_OK);
	ck_assert_uint_eq(done.result, crc_of(a, len, 7));
	ck_assert_uint_eq(done.tag, 99);

	d = (struct sva_demo_desc) { .op = SVA_DEMO_COMPARE, .src = (uintptr_t)(a + 1), .dst = (uintptr_t)(b + 3), .len = len };
	ck_assert_uint_eq(h_run(&c, d, &done), SVA_DEMO_OK);
	ck_assert_uint_eq(done.result, 0);
	b[3 + 3000000] ^= 1;
	ck_assert_uint_eq(h_run(&c, d, &done), SVA_DEMO_OK);
	ck_assert_uint_eq(done.result, 1 + 3000000);

	d = (struct sva_demo_desc) { .op = SVA_DEMO_FILL, .dst = (uintptr_t)(b + 5), .len = 3u << 20, .arg = 0x0807060504030201u };
	ck_assert_uint_eq(h_run(&c, d, &done), SVA_DEMO_OK);
	for (size_t i = 0; i < 3u << 20; i++)
		if (b[5 + i] != 1 + i % 8) /* an assertion a byte takes seconds */
			ck_abort_msg("byte %zu is %u", i, b[5 + i]);

	ck_assert_uint_eq(h_run(&c, (struct sva_demo_desc) { .op = SVA_DEMO_NOP }, &done), SVA_DEMO_OK);
	ck_assert_uint_eq(h_run(&c, h_copy(b, a, 0), &done), SVA_DEMO_OK);
	for (int i = 0; i < 300; i++) /* around the ring */
		ck_assert_uint_eq(h_run(&c, h_copy(b, a, 64), NULL), SVA_DEMO_OK);
	ck_assert_int_eq(h_unbind(&c, SVAB_PASID_NONE, NULL), 0);
	h_stop();
}
END_TEST

START_TEST(faults)
{
	unsigned char *two = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned char *ro = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned char *src = h_memory(16, 3 * 4096);
	struct sva_demo_completion done;
	struct svab_event e;
	struct client c;

	memset(src, 0x5a, 3 * 4096);
	h_client(&c, 1, 1);
	munmap(two + 8192, 4096); /* last, so that nothing else comes to lie there */

	ck_assert_uint_eq(h_run(&c, h_copy(two, src, 3 * 4096), &done), SVA_DEMO_FAULT_UNMAPPED);
	ck_assert_uint_eq(done.fault_addr, (uintptr_t)two + 8192);
	ck_assert_uint_eq(done.bytes, 8192);
	ck_assert_uint_eq(two[8191], 0x5a);
	e = h_event(SVAB_EV_FAULT, c.bond);
	ck_assert_uint_eq(e.code, SVAB_FAULT_UNMAPPED);
	ck_assert_uint_eq(e.value, (uintptr_t)two + 8192);
	ck_assert_uint_eq(e.cookie, 1);

	/* /proc/PID/mem would write there: permission is asked first. */
	ck_assert_uint_eq(h_run(&c, h_copy(ro, src, 100), &done), SVA_DEMO_FAULT_PERMISSION);
	ck_assert_uint_eq(done.fault_addr, (uintptr_t)ro);
	ck_assert_uint_eq(ro[0], 0);
	e = h_event(SVAB_EV_FAULT, c.bond);
	ck_assert_uint_eq(e.code, SVAB_FAULT_PERMISSION);
	ck_assert_uint_eq(h_run(&c, h_copy(src, ro, 100), NULL), SVA_DEMO_OK);

	ck_assert_uint_eq(h_run(&c, h_copy(src, (void *)0x10, 8), &done), SVA_DEMO_FAULT_UNMAPPED);
	ck_assert_uint_eq(h_run(&c, h_copy(src, (void *)0xfff0000000000000u, 8), &done), SVA_DEMO_FAULT_UNMAPPED);
	/* mprotect is seen at the next access: nothing caches permission. */
	mprotect(two, 4096, PROT_READ);
	ck_assert_uint_eq(h_run(&c, h_copy(two, src, 8), &done), SVA_DEMO_FAULT_PERMISSION);
	munmap(two, 4096);
	ck_assert_uint_eq(h_run(&c, h_copy(two, src, 8), &done), SVA_DEMO_FAULT_UNMAPPED);
	ck_assert_int_eq(h_unbind(&c, SVAB_PASID_CLEAN, NULL), 0);
	h_stop();
}
END_TEST

START_TEST(bad_descriptors)
{
	unsigned char buf[256];
	const struct sva_demo_desc bad[] = {
		{ .op = 77 },
		{ .op = SVA_DEMO_NOP, .flags = 1 },
		{ .op = SVA_DEMO_NOP, .reserved0 = 1 },
		{ .op = SVA_DEMO_NOP, .reserved1 = { 0, 1 } },
		{ .op = SVA_DEMO_COPY, .src = (uintptr_t)buf, .dst = (uintptr_t)buf + 10, .len = 20 },
		{ .op = SVA_DEMO_COPY, .src = UINT64_MAX - 3, .dst = (uintptr_t)buf, .len = 20 },
		{ .op = SVA_DEMO_FILL, .dst = (uintptr_t)buf, .len = (UINT64_C(1) << 40) + 1 },
	};
	struct sva_demo_desc d = { .op = SVA_DEMO_NOP, .completion = 3 };
	struct sva_demo_completion done;
	struct client c, n;

	h_client(&c, 1, 1);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert_uint_eq(h_run(&c, bad[i], &done), SVA_DEMO_BAD_DESCRIPTOR);
		ck_assert_uint_eq(h_event(SVAB_EV_FAULT, c.bond).code, SVAB_FAULT_DESCRIPTOR);
	}
	h_submit(&c, &d); /* a completion address that cannot be: nowhere to tell but the event */
	ck_assert_uint_eq(h_event(SVAB_EV_FAULT, c.bond).code, SVAB_FAULT_DESCRIPTOR);
	ck_assert_uint_eq(h_run(&c, h_copy(buf, buf + 128, 64), NULL), SVA_DEMO_OK);
	h_client(&n, 2, 3);
	d = (struct sva_demo_desc) { .op = SVA_DEMO_FILL, .dst = (uintptr_t)buf, .len = 8 };
	ck_assert_uint_eq(h_run(&n, d, NULL), SVA_DEMO_BAD_DESCRIPTOR); /* not one of this device's operations */

	/* A ring that cannot be: an error in the portal, and a way out of it. */
	*(volatile uint32_t *)(c.portal + SVA_DEMO_REG_RING_SIZE) = 3;
	d = (struct sva_demo_desc) { .op = SVA_DEMO_NOP };
	h_submit(&c, &d);
	ck_assert_uint_eq(h_event(SVAB_EV_FAULT, c.bond).code, SVAB_FAULT_RING);
	h_fault_ok("wait d0 idle");
	ck_assert_uint_eq(*(volatile uint32_t *)(c.portal + SVA_DEMO_REG_ERROR), SVAB_FAULT_RING);
	*(volatile uint32_t *)(c.portal + SVA_DEMO_REG_ENABLE) = 0;
	*(volatile uint32_t *)(c.portal + SVA_DEMO_REG_DOORBELL) = 0;
	ck_assert_int_eq(h_message(c.fd, SIMWIRE_KICK, NULL, 0, NULL, 0, NULL), 0);
	h_fault_ok("wait d0 idle");
	while (*(volatile uint32_t *)(c.portal + SVA_DEMO_REG_ERROR)) /* a thread's work, already kicked */
		h_fault_ok("wait d0 idle");
	c.tail = 0;
	h_queue(&c);
	ck_assert_uint_eq(h_run(&c, h_copy(buf, buf + 128, 64), NULL), SVA_DEMO_OK);
	h_stop();
}
END_TEST

/* ---- bind -------------------------------------------------------------------------------------------------------- */

static void child_sleep(void *arg)
{
	(void)arg;
	for (;;)
		pause();
}

START_TEST(bind_refused)
{
	struct client c = { .ctx = h_ctx_socket(1), .device = 1 };
	int mem = open("/proc/self/mem", O_RDWR), maps = open("/proc/self/maps", O_RDONLY), ro = open("/proc/self/mem", O_RDONLY);
	int null = open("/dev/null", O_RDWR), dir = open("/", O_RDONLY | O_DIRECTORY), other, other_maps, p[2];
	int five[5] = { mem, maps, mem, maps, mem };
	struct svab_bind bind = { .size = sizeof(bind), .device = 1 };
	char path[64];
	pid_t pid;

	ck_assert_int_eq(h_bind(&c), -EACCES); /* no grant */
	h_grant(1, 1);
	ck_assert_int_eq(pipe(p), 0);
	ck_assert_int_eq(h_bind_fds(&c, p[1], maps), -EINVAL);
	ck_assert_int_eq(h_bind_fds(&c, dir, maps), -EINVAL);
	ck_assert_int_eq(h_bind_fds(&c, null, maps), -EINVAL);
	ck_assert_int_eq(h_bind_fds(&c, maps, mem), -EINVAL);
	ck_assert_int_eq(h_bind_fds(&c, ro, maps), -EINVAL);
	pid = h_fork(child_sleep, NULL);
	snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
	other = open(path, O_RDWR);
	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	other_maps = open(path, O_RDONLY);
	ck_assert_int_ge(other, 0);
	ck_assert_int_eq(h_bind_fds(&c, other, other_maps), -EPERM);
	ck_assert_int_eq(h_bind_fds(&c, other, maps), -EPERM);
	h_kill(pid);

	ck_assert_int_eq(h_message(c.ctx, SVAB_BIND, &bind, sizeof(bind), NULL, 0, NULL), -EINVAL);
	ck_assert_int_eq(h_message(c.ctx, SVAB_BIND, &bind, sizeof(bind), &mem, 1, NULL), -EINVAL);
	ck_assert_int_eq(h_message(c.ctx, SVAB_BIND, &bind, sizeof(bind), five, 5, NULL), -EINVAL);
	ck_assert_int_eq(h_message(c.ctx, SVAB_BIND, &bind, 7, five, 2, NULL), -EINVAL);
	bind.flags = 1;
	ck_assert_int_eq(h_message(c.ctx, SVAB_BIND, &bind, sizeof(bind), five, 2, NULL), -EINVAL);
	bind.flags = 0;
	bind.size = 8;
	ck_assert_int_eq(h_message(c.ctx, SVAB_BIND, &bind, sizeof(bind), five, 2, NULL), -EINVAL);
	bind.size = sizeof(bind);
	bind.device = 99;
	ck_assert_int_eq(h_message(c.ctx, SVAB_BIND, &bind, sizeof(bind), five, 2, NULL), -ENODEV);
	bind.device = 1; /* at_random 0: nothing is mapped there */
	ck_assert_int_eq(h_message(c.ctx, SVAB_BIND, &bind, sizeof(bind), five, 2, NULL), -EINVAL);
	ck_assert_int_eq(h_message(c.ctx, 0x1234, NULL, 0, NULL, 0, NULL), -ENOTTY);
	ck_assert_int_eq(h_message(c.ctx, 0x1234, NULL, 0, &mem, 1, NULL), -EINVAL);
	{
		unsigned char answer[64];

		ck_assert_int_eq(send(c.ctx, "x", 1, 0), 1); /* no header: answered all the same, with what it has of one */
		ck_assert_int_eq(recv(c.ctx, answer, sizeof(answer), 0), 16);
		ck_assert_int_eq(*(int32_t *)(void *)(answer + 8), -EINVAL);
	}

	ck_assert_int_eq(h_bind(&c), 0); /* and after all that it still serves */
	ck_assert_uint_eq(h_info().bonds, 1);
	h_stop();
}
END_TEST

START_TEST(one_bond_many_references)
{
	struct svab_bond_info info = { .size = sizeof(info) };
	struct svab_unbind u;
	struct client a, b, c;

	h_client(&a, 1, 1);
	b = a;
	ck_assert_int_eq(h_bind(&b), 0); /* again by the same ctx */
	ck_assert_uint_eq(b.bond, a.bond);
	ck_assert_uint_eq(b.pasid, a.pasid);
	h_client(&c, 2, 1); /* and by another ctx of the same mm */
	ck_assert_uint_eq(c.bond, a.bond);
	ck_assert_uint_eq(h_events_seen(SVAB_EV_BOUND, a.bond), 2);
	ck_assert_int_eq(h_message(a.fd, SVAB_BOND_INFO, &info, sizeof(info), NULL, 0, NULL), 0);
	ck_assert_uint_eq(info.refs, 3);

	ck_assert_int_eq(h_unbind(&a, SVAB_PASID_NONE, &u), 0);
	ck_assert_uint_eq(u.state, SVAB_PASID_BOUND);
	ck_assert_int_eq(h_unbind(&a, SVAB_PASID_NONE, NULL), -EPIPE);
	ck_assert_uint_eq(h_events_seen(SVAB_EV_UNREF, 0), 0);
	close(b.fd); /* the ctx's last */
	ck_assert_uint_eq(h_event(SVAB_EV_UNREF, a.bond).cookie, 1);
	ck_assert_uint_eq(h_run(&c, h_copy(&u, &info, 8), NULL), SVA_DEMO_OK);
	ck_assert_int_eq(h_bind(&a), -EACCES); /* its grant is used up */
	h_fault_ok("wait d0 idle");
	ck_assert_int_eq(h_unbind(&c, SVAB_PASID_FLUSHED, &u), 0);
	ck_assert_uint_eq(u.state, SVAB_PASID_CLEAN);
	(void)h_event(SVAB_EV_DRAINED, a.bond);
	ck_assert_uint_eq(h_info().bonds, 0);
	ck_assert_uint_eq(h_info().ctxs, 2);
	h_stop();
}
END_TEST

static void child_foreign(void *arg)
{
	struct client *c = arg;
	struct svab_bond_info info = { .size = sizeof(info) };

	/* It has the fds, and another address space. */
	if (h_unbind(c, SVAB_PASID_NONE, NULL) != -EPERM || h_bind(c) != -EPERM ||
	    h_message(c->fd, SVAB_BOND_INFO, &info, sizeof(info), NULL, 0, NULL) != -EPERM)
		_exit(1);
}

START_TEST(forked_child)
{
	struct client c;

	h_client(&c, 1, 1);
	h_reap(h_fork(child_foreign, &c), 0);
	ck_assert_int_eq(h_unbind(&c, SVAB_PASID_NONE, NULL), 0);
	h_stop();
}
END_TEST

START_TEST(limits)
{
	struct client c[4], d2 = { .ctx = h_ctx_socket(9), .device = 3 };
	pid_t pid[4];
	int one[2];

	/* PASIDs of 2 bits: 1, 2, 3. Lowest free first. */
	for (int i = 0; i < 4; i++) {
		c[i] = (struct client) { .ctx = h_ctx_socket((uint64_t)i + 1), .device = 2 };
		h_grant((uint64_t)i + 1, 2);
		ck_assert_int_eq(pipe(one), 0);
		pid[i] = fork();
		if (!pid[i]) {
			int r = h_bind(&c[i]);

			(void)!write(one[1], &r, sizeof(r));
			for (;;)
				pause();
		}
		close(c[i].ctx);
		int r;
		ck_assert_int_eq(read(one[0], &r, sizeof(r)), sizeof(r));
		ck_assert_int_eq(r, i < 3 ? 0 : -ENOSPC);
		if (i < 3)
			ck_assert_uint_eq(h_event(SVAB_EV_BOUND, 0).pasid, (uint32_t)i + 1);
	}
	h_kill(pid[1]);
	(void)h_event(SVAB_EV_DRAINED, 0);
	h_grant(9, 3);
	ck_assert_int_eq(h_bind(&d2), 0);
	ck_assert_uint_eq(d2.pasid, 2);
	for (int i = 0; i < 4; i++)
		if (i != 1)
			h_kill(pid[i]);
	h_stop();
}
END_TEST

/* A bond without a portal is one in all else. */
START_TEST(no_portal)
{
	int mem = open("/proc/self/mem", O_RDWR | O_CLOEXEC), maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	const int fds[2] = { mem, maps };
	struct svab_bind bind = { .size = sizeof(bind), .device = 1, .at_random = getauxval(AT_RANDOM) };
	struct svab_unbind unbind;
	struct client c = { .device = 1 };
	int got[2];

	h_start("[device \"a\"]\nportal = no\n");
	for (int i = 0; i < 2; i++) { /* ended by its owner, then by an administrator */
		c.ctx = h_ctx_socket((uint64_t)i + 1);
		h_grant((uint64_t)i + 1, 1);
		bind.bond_fd = -1;
		ck_assert_int_eq(h_message(c.ctx, SVAB_BIND, &bind, sizeof(bind), fds, 2, got), 0);
		ck_assert_int_ge(got[0], 0);
		ck_assert_int_eq(got[1], -1);
		ck_assert_uint_eq(bind.portal_size, 0);
		c.fd = got[0];
		ck_assert_int_eq(h_message(c.fd, SIMWIRE_KICK, NULL, 0, NULL, 0, NULL), -ENXIO);
		if (i) {
			h_revoke(bind.bond);
		} else {
			ck_assert_int_eq(h_unbind(&c, SVAB_PASID_NONE, &unbind), 0);
			ck_assert_uint_eq(unbind.state, SVAB_PASID_CLEAN);
		}
		ck_assert_uint_eq(h_event(SVAB_EV_DRAINED, bind.bond).state, SVAB_PASID_CLEAN);
		close(c.fd);
		close(c.ctx);
	}
	h_stop();
}
END_TEST

START_TEST(fault_socket_words)
{
	ck_assert(!strncmp(h_fault("dance"), "error unknown command; there are: stop", 30));
	ck_assert(!strncmp(h_fault("stop"), "error", 5));
	ck_assert(!strncmp(h_fault("stop nosuch obey"), "error no device nosuch", 22));
	ck_assert(!strncmp(h_fault("stop d0 ignore soon"), "error", 5));
	ck_assert(!strncmp(h_fault("late-dma d0 x 1"), "error", 5));
	ck_assert(!strncmp(h_fault("wait d0 asleep"), "error", 5));
	ck_assert(!strncmp(h_fault("wait d0 busy 10"), "error", 5));
	ck_assert(!strncmp(h_fault("return d0"), "error", 5));
	h_fault_ok("wait d0 idle");
	h_fault_ok("state");
	h_fault_ok("pasids d0");
	h_stop();
}
END_TEST

START_TEST(control_requests)
{
	struct svab_dev_info dev = { .size = sizeof(dev) };
	struct svab_ctx_create create = { .size = sizeof(create), .cookie = 5 };
	struct svab_ctx_ref ref = { .size = sizeof(ref), .cookie = 77, .cause = SVAB_CAUSE_ADMIN };
	struct svab_bond_ref bond = { .size = sizeof(bond), .bond = 77, .cause = SVAB_CAUSE_ADMIN };
	struct { struct svab_list head; struct svab_list_entry e[16]; } list = { .head = { .size = sizeof(list.head) } };
	struct client c;
	int fd = open("/dev/null", O_RDONLY);
	unsigned n = 0;

	while (!h_control(SVAB_DEV_NEXT, &dev, sizeof(dev), NULL, 0)) {
		ck_assert(dev.caps & SVAB_DEV_CAP_SIMULATED);
		ck_assert_uint_eq(dev.id, ++n);
	}
	ck_assert_uint_eq(n, 3);
	ck_assert(!(dev.caps & SVAB_DEV_CAP_CAN_STOP));
	ck_assert_int_eq(h_control(SVAB_CTX_CREATE, &create, sizeof(create), NULL, 0), -EINVAL);
	ck_assert_int_eq(h_control(SVAB_CTX_CREATE, &create, sizeof(create), &fd, 1), -EINVAL);
	ck_assert_int_eq(h_control(SVAB_CTX_REVOKE, &ref, sizeof(ref), NULL, 0), -ENOENT);
	ck_assert_int_eq(h_control(SVAB_BOND_REVOKE, &bond, sizeof(bond), NULL, 0), -ENOENT);
	ck_assert_int_eq(h_control(0x4711, &bond, sizeof(bond), NULL, 0), -ENOTTY);
	ck_assert_int_eq(h_control(SVAB_INFO, &bond, 3, NULL, 0), -EINVAL);
	ck_assert_int_eq(h_control(SVAB_INFO, &ref, sizeof(ref), &fd, 1), -EINVAL);

	/* A broker that is restarted finds everything again. */
	h_client(&c, 5, 1);
	h_grant(5, 2);
	h_new_broker();
	ck_assert_int_eq(h_control(SVAB_LIST, &list, sizeof(list.head), NULL, 0), 0);
	ck_assert_uint_eq(h_run(&c, h_copy(&bond, &ref, 8), NULL), SVA_DEMO_OK);
	ref.cookie = 5;
	ck_assert_int_eq(h_control(SVAB_CTX_REVOKE, &ref, sizeof(ref), NULL, 0), 0);
	ck_assert_uint_eq(h_event(SVAB_EV_DRAINED, c.bond).cause, SVAB_CAUSE_ADMIN);
	ck_assert_uint_eq(h_event(SVAB_EV_CTX_GONE, 0).cookie, 5);
	ck_assert_int_eq(h_control(SVAB_CTX_REVOKE, &ref, sizeof(ref), NULL, 0), -ENOENT);
	h_stop();
}
END_TEST

static Suite *simdev_suite(void)
{
	Suite *s = suite_create("simdev");
	const struct {
		const char *name;
		const TTest *test;
		bool text;
	} cases[] = {
		{ "operations", operations, false },
		{ "faults", faults, false },
		{ "faults-without-procmap-query", faults, true },
		{ "bad-descriptors", bad_descriptors, false },
		{ "bind-refused", bind_refused, false },
		{ "bind-refused-without-procmap-query", bind_refused, true },
		{ "references", one_bond_many_references, false },
		{ "forked-child", forked_child, false },
		{ "limits", limits, false },
		{ "fault-socket", fault_socket_words, false },
		{ "control", control_requests, false },
	};

	TCase *bare = tcase_create("no-portal");

	tcase_add_test(bare, no_portal);
	tcase_set_timeout(bare, 300);
	suite_add_tcase(s, bare);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		TCase *t = tcase_create(cases[i].name);

		tcase_add_checked_fixture(t, cases[i].text ? setup_text : setup, NULL);
		tcase_add_test(t, cases[i].test);
		tcase_set_timeout(t, 300);
		suite_add_tcase(s, t);
	}
	return s;
}

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	return tap_main(argc, argv, simdev_suite, NULL);
}
