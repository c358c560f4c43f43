/* SPDX-License-Identifier: GPL-2.0-or-later */
/* l: no grant, no bind. */
#include "vm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE 4096u

void scenario_l_no_grant(void)
{
	struct svab_bind bound;
	uint64_t cookie;
	int ctx;

	cookie = ctx_new(&ctx);
	MUST_EQ(ctx_bind(ctx, "accel0", &bound), -EACCES);
	/* A grant for one device is none for another. */
	MUST_EQ(ctx_grant(cookie, "accel1", 1000), 0);
	MUST_EQ(ctx_bind(ctx, "accel0", &bound), -EACCES);
	MUST_EQ(ctx_bind(ctx, "accel1", &bound), 0);
	close(bound.bond_fd);
	close(ctx);
}

void scenario_l_used_up(void)
{
	/* One grant is one bond: what ends the bond ends the grant. */
	int events = ctl_open();
	struct svab_bind bound;
	struct rbond b;

	bond_open(&b, "accel0");
	MUST_EQ(bond_unbind(&b, SVAB_PASID_NONE, NULL), 0);
	MUST_EQ(ctx_bind(b.ctx, "accel0", &bound), -EACCES);
	MUST_EQ(ctx_grant(b.cookie, "accel0", (unsigned)ms(DRAIN_MS)), 0);
	MUST_EQ(ctx_bind(b.ctx, "accel0", &bound), 0);
	/* By the last close as well. */
	close(bound.bond_fd);
	(void)event_await(events, SVAB_EV_DRAINED, bound.bond);
	MUST_EQ(ctx_bind(b.ctx, "accel0", &bound), -EACCES);
	bond_close(&b);
	close(events);
}

void scenario_l_grant_revoked(void)
{
	struct svab_ctx_ref ref = { .size = sizeof(ref), .cause = SVAB_CAUSE_POLICY };
	struct svab_bind bound;
	struct rbond b;

	bond_open(&b, "accel0");
	MUST_EQ(ctx_grant(b.cookie, "accel1", 1000), 0);
	ref.cookie = b.cookie;
	ref.device = dev_id("accel1");
	MUST_EQ(ctl_ioctl(SVAB_CTX_REVOKE_GRANT, &ref), 0);
	MUST_EQ(ctx_bind(b.ctx, "accel1", &bound), -EACCES);
	/* Its bond with the other device is not touched; nor would it be by the revocation of that grant. */
	run_ok(&b, d_fill(pages(PAGE), 1, PAGE));
	ref.device = b.device;
	(void)ctl_ioctl(SVAB_CTX_REVOKE_GRANT, &ref);
	MUST(!hup(b.fd, 0));
	run_ok(&b, d_fill(pages(PAGE), 2, PAGE));
	bond_unbind_clean(&b);
}

void scenario_l_ctx_revoked(void)
{
	int events = ctl_open(), drained = 0;
	struct svab_bind second, third;
	struct svab_event e;
	struct rbond b;

	bond_open(&b, "accel0");
	MUST_EQ(ctx_grant(b.cookie, "accel1", (unsigned)ms(DRAIN_MS)), 0);
	MUST_EQ(ctx_bind(b.ctx, "accel1", &second), 0);
	MUST_EQ(ctx_grant(b.cookie, "accel2", 1000), 0); /* not used */
	MUST_EQ(ctx_revoke(b.cookie, SVAB_CAUSE_POLICY), 0);
	while (drained < 2) {
		MUST(event_next(events, &e, 60000));
		if (e.type == SVAB_EV_DRAINED) {
			MUST(e.bond == b.id || e.bond == second.bond);
			MUST_EQ(e.cause, SVAB_CAUSE_POLICY);
			drained++;
		}
	}
	MUST(hup(b.fd, 20000));
	MUST(!portal_alive(&b));
	MUST_EQ(ctx_bind(b.ctx, "accel2", &third), -EACCES);
	close(second.bond_fd);
	bond_close(&b);
	close(events);
}

static int shared_ctx;

static void bind_with_others_ctx(void *arg)
{
	struct svab_bind bound;

	MUST_EQ(ctx_bind(shared_ctx, arg, &bound), -EPERM);
}

static void bind_first(void *arg)
{
	struct svab_bind bound;

	MUST_EQ(ctx_bind(shared_ctx, arg, &bound), 0);
	say("bound");
	hear_this("end");
}

void scenario_l_other_mm(void)
{
	/* A ctx belongs to the first address space that binds with it, whoever else holds the fd. */
	struct svab_bind bound;
	uint64_t cookie;
	struct rbond b;
	struct kid k;

	bond_open(&b, "accel0");
	MUST_EQ(ctx_grant(b.cookie, "accel1", 1000), 0);
	shared_ctx = b.ctx;
	kid_start(&k, bind_with_others_ctx, (void *)(uintptr_t) "accel1");
	MUST_EQ(kid_reap(&k), 0);
	/* The refusal cost the grant nothing. */
	MUST_EQ(ctx_bind(b.ctx, "accel1", &bound), 0);
	close(bound.bond_fd);
	bond_unbind_clean(&b);
	/* And when that address space is gone, it is still not for another. */
	cookie = ctx_new(&shared_ctx);
	MUST_EQ(ctx_grant(cookie, "accel0", (unsigned)ms(DRAIN_MS)), 0);
	kid_start(&k, bind_first, (void *)(uintptr_t) "accel0");
	expect(&k, "bound");
	kid_end(&k);
	await_drained(0);
	MUST_EQ(ctx_grant(cookie, "accel0", 1000), 0);
	MUST_EQ(ctx_bind(shared_ctx, "accel0", &bound), -EPERM);
	close(shared_ctx);
}

void scenario_l_same_grant_twice(void)
{
	/* Two binds on one grant share its bond, or the second is refused: never two bonds. */
	struct svab_bind again;
	struct svab_info info;
	struct rbond b;
	int r;

	bond_open(&b, "accel0");
	r = ctx_bind(b.ctx, "accel0", &again);
	ctl_info(&info);
	MUST_EQ(info.bonds, 1);
	if (r == 0) {
		MUST_EQ(again.bond, b.id);
		MUST_EQ(again.pasid, b.pasid);
		/* One of the two is dropped, and the bond lives. */
		close(again.bond_fd);
		run_ok(&b, d_fill(pages(PAGE), 1, PAGE));
	} else {
		MUST(r == -EACCES || r == -EBUSY || r == -ENOSPC || r == -EEXIST);
	}
	bond_unbind_clean(&b);
}

void scenario_l_references(void)
{
	/* One grant is one bond and many fds, but not as many as one likes. When it ends, everyone who waits
	 * for any of them is told, through each. */
	enum { REFS = 1024 };
	static struct svab_bind bound[REFS];
	struct rlimit files = { .rlim_cur = 4 * REFS, .rlim_max = 4 * REFS };
	uint64_t deadline = deadline_in(60000), cookie;
	int ctx, epoll = epoll_create1(EPOLL_CLOEXEC), events = ctl_open();
	struct epoll_event e;
	struct svab_bind more;
	unsigned told = 0;

	MUST_SYS(epoll >= 0);
	MUST_SYS(setrlimit(RLIMIT_NOFILE, &files) == 0);
	cookie = ctx_new(&ctx);
	MUST_EQ(ctx_grant(cookie, "accel0", (unsigned)ms(DRAIN_MS)), 0);
	for (int i = 0; i < REFS; i++) {
		MUST_EQ(ctx_bind(ctx, "accel0", &bound[i]), 0);
		MUST_EQ(bound[i].bond, bound[0].bond);
	}
	MUST_EQ(ctx_bind(ctx, "accel0", &more), -ENOSPC);
	/* One that is closed leaves room for one. */
	close(bound[0].bond_fd);
	MUST_EQ(ctx_bind(ctx, "accel0", &bound[0]), 0);
	MUST_EQ(ctx_bind(ctx, "accel0", &more), -ENOSPC);
	for (int i = 0; i < REFS; i++) {
		/* EPOLLHUP comes unasked. */
		e = (struct epoll_event){ .data.fd = bound[i].bond_fd };
		MUST_SYS(epoll_ctl(epoll, EPOLL_CTL_ADD, bound[i].bond_fd, &e) == 0);
	}
	MUST_EQ(epoll_wait(epoll, &e, 1, 0), 0);
	MUST_EQ(bond_revoke(bound[0].bond), 0);
	(void)event_await(events, SVAB_EV_DRAINED, bound[0].bond);
	for (; told < REFS; told++) {
		if (epoll_wait(epoll, &e, 1, ms_left(deadline)) != 1)
			FAIL("%u of %d fds are told that it ended", told, REFS);
		MUST_EQ(e.events, EPOLLHUP);
		MUST_SYS(epoll_ctl(epoll, EPOLL_CTL_DEL, e.data.fd, NULL) == 0);
	}
	for (int i = 0; i < REFS; i++)
		close(bound[i].bond_fd);
	close(epoll);
	close(ctx);
	close(events);
}

void scenario_l_limits(void)
{
	/* Slots: a device that has no more of them says so, takes nobody else down, and has room again
	 * afterwards. */
	enum { MANY = 1200 };
	static struct kid kids[MANY];
	struct svab_dev_info info;
	unsigned n = 0;

	MUST(dev_get("accel2", &info));
	if (info.max_bonds == 0 || info.max_bonds > MANY - 10)
		skip("accel2 has no limit that a scenario reaches (max_bonds %u)", info.max_bonds);
	for (;;) {
		uint64_t cookie;
		struct svab_bind bound;
		int ctx, r;

		cookie = ctx_new(&ctx);
		MUST_EQ(ctx_grant(cookie, "accel2", (unsigned)ms(DRAIN_MS)), 0);
		if (n == info.max_bonds) {
			r = ctx_bind(ctx, "accel2", &bound);
			MUST_EQ(r, -ENOSPC);
			/* Refused, and the grant is as good as before: one of the others ends. */
			kid_end(&kids[0]);
			for (uint64_t deadline = deadline_in(60000);
			     (r = ctx_bind(ctx, "accel2", &bound)) == -ENOSPC; nap())
				if (past(deadline))
					FAIL("no slot came free");
			MUST_EQ(r, 0);
			close(bound.bond_fd);
			close(ctx);
			break;
		}
		shared_ctx = ctx;
		kid_start(&kids[n++], bind_first, (void *)(uintptr_t) "accel2");
		close(ctx);
		expect(&kids[n - 1], "bound");
	}
	for (unsigned i = 1; i < n; i++)
		kid_end(&kids[i]);
}

static uint64_t handed_cookie;

static void as_nobody(void *arg)
{
	struct svab_bind bound;
	int fd;

	(void)arg;
	MUST(ctl() >= 0);
	become(65534);
	fd = open("/dev/svabroker", O_RDWR | O_CLOEXEC);
	MUST(fd < 0 && (errno == EPERM || errno == EACCES));
	MUST_EQ(ctx_bind(shared_ctx, "accel0", &bound), 0);
	close(bound.bond_fd);
	/* The way a broker works: no capability, and a control fd that root opened. */
	MUST_EQ(ctx_grant(handed_cookie, "accel1", 1000), 0);
}

void scenario_l_unprivileged(void)
{
	/* The control device is root's; a ctx fd that was handed over works for whoever holds it. */
	struct kid k;

	handed_cookie = ctx_new(&shared_ctx);
	MUST_EQ(ctx_grant(handed_cookie, "accel0", (unsigned)ms(DRAIN_MS)), 0);
	MUST_SYS(chmod("/dev/svabroker", 0666) == 0); /* the mode is not what keeps others out */
	kid_start(&k, as_nobody, NULL);
	MUST_EQ(kid_reap(&k), 0);
	MUST_SYS(chmod("/dev/svabroker", 0600) == 0);
	close(shared_ctx);
}
