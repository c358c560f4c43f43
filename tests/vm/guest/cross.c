/* SPDX-License-Identifier: GPL-2.0-or-later */
/* h: fds in the wrong hands. A bond is its address space's, whoever holds the fd: nobody else maps, unbinds
 * or submits with it. */
#include "vm.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096u
#define P1 0x1111111111111111u

static void try_all(int fd)
{
	struct svab_bond_info info = { .size = sizeof(info) };
	struct svab_unbind u = { .size = sizeof(u) };
	void *p = mmap(NULL, SVA_DEMO_PORTAL_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p != MAP_FAILED)
		FAIL("a stranger mapped the portal");
	MUST_EQ(errno, EPERM);
	MUST(ioctl(fd, SVAB_UNBIND, &u) < 0);
	MUST_EQ(errno, EPERM);
	MUST(ioctl(fd, SVAB_BOND_INFO, &info) < 0);
	MUST_EQ(errno, EPERM);
}

static struct rbond parents;

static void forked_child(void *arg)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	unsigned char vec;

	(void)arg;
	sigaction(SIGBUS, &dfl, NULL);
	/* No portal came along. */
	if (mincore((void *)(uintptr_t)parents.portal, PAGE, &vec) == 0)
		FAIL("a forked child has the portal mapped");
	MUST_EQ(errno, ENOMEM);
	try_all(parents.fd);
	/* Its copies of the fds close: not the last ones. */
	close(parents.fd);
	close(parents.ctx);
}

void scenario_h_fork(void)
{
	struct kid k;

	bond_open(&parents, "accel0");
	for (int i = 0; i < 5; i++) {
		kid_start(&k, forked_child, NULL);
		MUST_EQ(kid_reap(&k), 0);
		MUST(!hup(parents.fd, 0));
		run_ok(&parents, d_fill(pages(PAGE), P1, PAGE));
	}
	bond_unbind_clean(&parents);
}

static void take_fds(void *arg)
{
	struct svab_bind bound;
	int ctx, bond;

	(void)arg;
	bond = receive_fd(say_sock);
	ctx = receive_fd(say_sock);
	try_all(bond);
	MUST_EQ(ctx_bind(ctx, "accel0", &bound), -EPERM);
	say("refused");
	hear_this("end");
	try_all(bond);
}

void scenario_h_passed_fd(void)
{
	struct rbond b;
	struct kid k;

	kid_start(&k, take_fds, NULL); /* before the bind: it inherits nothing */
	bond_open(&b, "accel0");
	send_fd(k.sock, b.fd);
	send_fd(k.sock, b.ctx);
	expect(&k, "refused");
	run_ok(&b, d_fill(pages(PAGE), P1, PAGE));
	kid_end(&k);
	MUST(!hup(b.fd, 0));
	run_ok(&b, d_fill(pages(PAGE), P1, PAGE));
	bond_unbind_clean(&b);
}

static void bind_and_hand_over(void *arg)
{
	struct rbond b;

	(void)arg;
	bond_open(&b, "accel0");
	send_fd(say_sock, b.fd);
	say("bond %llu", (unsigned long long)b.id);
	hear_this("end");
}

void scenario_h_kept_fd(void)
{
	/* A stranger keeps the fd: the bond ends with its address space all the same, and the fd is good for
	 * nothing. */
	int events = ctl_open(), fd;
	unsigned long long id;
	struct svab_event e;
	struct kid k;

	kid_start(&k, bind_and_hand_over, NULL);
	fd = receive_fd(k.sock);
	MUST_EQ(sscanf(expect(&k, "bond "), "bond %llu", &id), 1);
	try_all(fd);
	kid_kill(&k);
	e = event_await(events, SVAB_EV_DRAINED, id);
	MUST_EQ(e.cause, SVAB_CAUSE_MM_RELEASED);
	MUST(hup(fd, 20000));
	MUST(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
	close(fd);
	close(events);
}

void scenario_h_crossed(void)
{
	/* Every ioctl on every other kind of fd. */
	static const unsigned long control[] = { SVAB_INFO,	   SVAB_DEV_NEXT,	  SVAB_CTX_CREATE,
						 SVAB_CTX_GRANT,   SVAB_CTX_REVOKE_GRANT, SVAB_CTX_REVOKE,
						 SVAB_BOND_REVOKE, SVAB_DEV_RESET,	  SVAB_LIST,
						 SVAB_CTX_REOPEN };
	static const unsigned long bonds[] = { SVAB_UNBIND, SVAB_BOND_INFO };
	char room[4096];
	struct rbond b;

	bond_open(&b, "accel0");
	for (unsigned i = 0; i < sizeof(control) / sizeof(*control); i++) {
		memset(room, 0, sizeof(room));
		*(uint32_t *)(void *)room = 64;
		MUST(ioctl(b.ctx, control[i], room) < 0 && errno == ENOTTY);
		MUST(ioctl(b.fd, control[i], room) < 0 && errno == ENOTTY);
	}
	for (unsigned i = 0; i < 2; i++) {
		memset(room, 0, sizeof(room));
		*(uint32_t *)(void *)room = 64;
		MUST(ioctl(ctl(), bonds[i], room) < 0 && errno == ENOTTY);
		MUST(ioctl(b.ctx, bonds[i], room) < 0 && errno == ENOTTY);
	}
	MUST(ioctl(ctl(), SVAB_BIND, room) < 0 && errno == ENOTTY);
	MUST(ioctl(b.fd, SVAB_BIND, room) < 0 && errno == ENOTTY);
	MUST(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, b.ctx, 0) == MAP_FAILED);
	MUST(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, ctl(), 0) == MAP_FAILED);
	/* Only the portal is there to map: no more of the device, and nothing private or executable. */
	MUST(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, b.fd, PAGE) == MAP_FAILED);
	MUST(mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, b.fd, 0) == MAP_FAILED);
	MUST(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, b.fd, 0) == MAP_FAILED);
	MUST(mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, b.fd, 0) == MAP_FAILED);
	run_ok(&b, d_fill(pages(PAGE), P1, PAGE));
	bond_unbind_clean(&b);
}

void scenario_h_remote_access(void)
{
	/* The portal through other doors: /proc/PID/mem and process_vm do not reach device registers. */
	uint32_t magic = 0;
	struct rbond b;
	int mem;

	bond_open(&b, "accel0");
	mem = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	MUST_SYS(mem >= 0);
	if (pread(mem, &magic, 4, (off_t)(uintptr_t)b.portal) == 4)
		note("/proc/self/mem reads the portal: %#x", magic);
	MUST_EQ(bond_revoke(b.id), 0);
	MUST(hup(b.fd, 20000));
	if (pread(mem, &magic, 4, (off_t)(uintptr_t)b.portal) == 4)
		FAIL("/proc/self/mem reads a revoked portal");
	close(mem);
	await_drained(0);
	bond_close(&b);
}

/* ---- sizes and flags ---- */

static int raw_size(int fd, unsigned long op, uint32_t size, uint32_t flags, unsigned char fill)
{
	unsigned char *room = aligned_alloc(64, 8192);
	int r;

	MUST(room != NULL);
	memset(room, 0, 8192);
	if (size > 2048)
		memset(room + 2048, fill, 2048);
	memcpy(room, &size, 4);
	memcpy(room + 4, &flags, 4);
	r = ioctl(fd, op, room) < 0 ? -errno : 0;
	free(room);
	return r;
}

void scenario_h_sizes_and_flags(void)
{
	static const unsigned long control[] = { SVAB_INFO,	   SVAB_DEV_NEXT,	  SVAB_CTX_CREATE,
						 SVAB_CTX_GRANT,   SVAB_CTX_REVOKE_GRANT, SVAB_CTX_REVOKE,
						 SVAB_BOND_REVOKE, SVAB_DEV_RESET,	  SVAB_LIST,
						 SVAB_CTX_REOPEN };
	struct svab_info info = { .size = 1u << 20 };
	struct rbond b;
	struct {
		int fd;
		unsigned long op;
	} all[16];
	unsigned n = 0;

	bond_open(&b, "accel0");
	for (unsigned i = 0; i < sizeof(control) / sizeof(*control); i++) {
		all[n].fd = ctl();
		all[n++].op = control[i];
	}
	all[n].fd = b.ctx;
	all[n++].op = SVAB_BIND;
	all[n].fd = b.fd;
	all[n++].op = SVAB_UNBIND;
	all[n].fd = b.fd;
	all[n++].op = SVAB_BOND_INFO;
	for (unsigned i = 0; i < n; i++) {
		static const uint32_t too_short[] = { 0, 1, 4, 7 };

		for (unsigned k = 0; k < 4; k++)
			if (raw_size(all[i].fd, all[i].op, too_short[k], 0, 0) != -EINVAL)
				FAIL("ioctl %#lx took size %u", all[i].op, too_short[k]);
		for (unsigned bit = 0; bit < 32; bit++)
			if (raw_size(all[i].fd, all[i].op, _IOC_SIZE(all[i].op), 1u << bit, 0) != -EINVAL)
				FAIL("ioctl %#lx took flag %u", all[i].op, bit);
		/* Longer than the kernel knows: fine as long as the rest is zeros, up to a page. */
		if (raw_size(all[i].fd, all[i].op, 4096, 0, 1) != -E2BIG)
			FAIL("ioctl %#lx took trailing bytes that are not zero", all[i].op);
		if (ioctl(all[i].fd, all[i].op, (void *)8) == 0 || errno != EFAULT)
			FAIL("ioctl %#lx took the address 8", all[i].op);
	}
	MUST(raw_size(ctl(), SVAB_INFO, 4096, 0, 0) == 0);
	struct svab_dev_reset reset = { .size = sizeof(reset), .device = b.device, .pad = 1 };
	MUST_EQ(ctl_ioctl(SVAB_DEV_RESET, &reset), -EINVAL);
	MUST(ioctl(ctl(), SVAB_INFO, &info) < 0);
	MUST(portal_alive(&b));
	run_ok(&b, d_fill(pages(PAGE), P1, PAGE));
	bond_unbind_clean(&b);
}

void scenario_h_read_and_poll(void)
{
	/* The event stream's edges. */
	int events = ctl_open(), flags = fcntl(events, F_GETFL);
	struct pollfd p = { .fd = events, .events = POLLIN };
	struct svab_event e[8];
	struct rbond b;
	void *volatile nowhere = (void *)8;
	char small[8];
	ssize_t n;

	MUST_SYS(fcntl(events, F_SETFL, flags | O_NONBLOCK) == 0);
	MUST(read(events, e, sizeof(e)) < 0 && errno == EAGAIN);
	MUST_EQ(poll(&p, 1, 0), 0);
	bond_open(&b, "accel0");
	MUST_EQ(poll(&p, 1, ms(10000)), 1);
	MUST(read(events, small, sizeof(small)) < 0 && errno == EINVAL);
	MUST(read(events, nowhere, sizeof(e)) < 0 && errno == EFAULT);
	n = read(events, e, sizeof(e[0]) + 7); /* whole records only */
	MUST_EQ(n, sizeof(e[0]));
	MUST_EQ(e[0].type, SVAB_EV_BOUND);
	MUST_EQ(e[0].bond, b.id);
	MUST_EQ(e[0].cookie, b.cookie);
	MUST_EQ(e[0].pasid, b.pasid);
	MUST_EQ(e[0].device, b.device);
	bond_unbind_clean(&b);
	close(events);
}

void scenario_h_lost_events(void)
{
	/* A reader that does not read is told how many it lost; nobody else loses any. A ctx that comes and
	 * goes is one event. */
	enum { MANY = 20000 };
	int idle = ctl_open(), reader = ctl_open();
	unsigned gone = 0, kept = 0, marks = 0;
	uint64_t lost = 0;
	struct svab_info before, after;
	struct svab_event e;
	struct rbond b;

	ctl_info(&before);
	for (unsigned i = 0; i < MANY; i++) {
		int ctx;

		(void)ctx_new(&ctx);
		close(ctx);
		while (event_next(reader, &e, 0)) {
			MUST_EQ(e.type, SVAB_EV_CTX_GONE);
			gone++;
		}
	}
	while (gone < MANY && event_next(reader, &e, 10000)) {
		MUST_EQ(e.type, SVAB_EV_CTX_GONE);
		gone++;
	}
	MUST_EQ(gone, MANY);
	ctl_info(&after);
	MUST(after.events_lost > before.events_lost);
	while (event_next(idle, &e, 0)) {
		if (e.type == SVAB_EV_LOST) {
			MUST(e.value > 0);
			lost += e.value;
			marks++;
		} else {
			MUST_EQ(marks, 0); /* in order: the gap is where it was */
			kept++;
		}
	}
	MUST_EQ(marks, 1);
	MUST_EQ(kept + lost, MANY);
	/* From here on it is told everything again. */
	bond_open(&b, "accel0");
	bond_unbind_clean(&b);
	(void)event_await(idle, SVAB_EV_BOUND, b.id);
	(void)event_await(idle, SVAB_EV_DRAINED, b.id);
	close(idle);
	close(reader);
}
