/* SPDX-License-Identifier: GPL-2.0-or-later */
/* g: what a broker that comes back does to a client's context: it takes a second fd of it. */
#include "vm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BYTES 8192u
#define UID 12345u
#define GID 54321u

static int reopen(uint64_t cookie, struct svab_ctx_create *ret)
{
	*ret = (struct svab_ctx_create){ .size = sizeof(*ret), .cookie = cookie, .fd = -1 };
	return ctl_ioctl(SVAB_CTX_REOPEN, ret);
}

static bool listed(uint64_t cookie, uint32_t type)
{
	struct listed all;
	bool found = false;

	list_all(&all);
	for (unsigned i = 0; i < all.n; i++)
		found |= all.at[i].type == type && all.at[i].cookie == cookie;
	free(all.at);
	return found;
}

static void works(struct rbond *b, uint64_t pattern)
{
	void *p = pages(BYTES);

	run_ok(b, d_fill(p, pattern, BYTES));
	MUST(filled(p, pattern, BYTES));
}

void scenario_g_reopen(void)
{
	struct svab_ctx_create made = { .size = sizeof(made), .uid = UID, .gid = GID, .fd = -1 }, second,
			       third;
	struct rbond b = { .ctx = -1, .fd = -1 };
	struct svab_bond_info info;
	struct svab_bind bound;
	struct svab_event e;
	int events;

	made.cookie = rnd() | 1;
	made.pid = getpid();
	MUST_EQ(reopen(made.cookie, &second), -ENOENT);
	MUST_EQ(ctl_ioctl(SVAB_CTX_CREATE, &made), 0);

	/* The broker goes, and another one comes, which knows the cookie only. */
	ctl_close();
	MUST_EQ(reopen(made.cookie, &second), 0);
	MUST(second.fd >= 0 && second.fd != made.fd);
	MUST_EQ(second.uid, UID);
	MUST_EQ(second.gid, GID);
	MUST_EQ(second.pid, getpid());

	/* The first fd's end is not the ctx's. */
	events = ctl_open();
	close_fd(&made.fd);
	MUST(listed(made.cookie, SVAB_LIST_CTX));
	MUST_EQ(ctx_grant(made.cookie, "accel0", (unsigned)ms(DRAIN_MS)), 0);
	MUST_EQ(ctx_bind(second.fd, "accel0", &bound), 0);
	bond_map(&b, &bound);
	works(&b, 0x1111111111111111u);

	/* Nor is the end of the one that the bond was made through. */
	MUST_EQ(reopen(made.cookie, &third), 0);
	close_fd(&second.fd);
	works(&b, 0x2222222222222222u);
	MUST_EQ(bond_info(&b, &info), 0);
	MUST_EQ(info.state, SVAB_PASID_BOUND);
	MUST(listed(made.cookie, SVAB_LIST_BOND));
	while (event_next(events, &e, 0))
		if (e.cookie == made.cookie && e.type != SVAB_EV_BOUND)
			FAIL("event %u of a ctx that lives", e.type);

	/* The last one is, whatever fds its bonds have. */
	close_fd(&third.fd);
	e = event_await(events, SVAB_EV_DRAINED, b.id);
	MUST_EQ(e.cause, SVAB_CAUSE_LAST_CLOSE);
	for (e = event_await(events, SVAB_EV_CTX_GONE, 0); e.cookie != made.cookie;)
		e = event_await(events, SVAB_EV_CTX_GONE, 0);
	MUST(hup(b.fd, 5000));
	MUST_EQ(reopen(made.cookie, &third), -ENOENT);
	bond_close(&b);
	close(events);

	/* One that was revoked has ended, though its fd is open yet. */
	made.cookie = ctx_new(&made.fd);
	MUST_EQ(ctx_revoke(made.cookie, SVAB_CAUSE_ADMIN), 0);
	MUST_EQ(reopen(made.cookie, &third), -ENOENT);
	close_fd(&made.fd);
	await_idle();
}
