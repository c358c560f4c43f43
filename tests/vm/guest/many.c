/* SPDX-License-Identifier: GPL-2.0-or-later */
/* j: many processes at once; each one's bytes are its own. */
#include "vm.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAGE 4096u
#define BYTES (32u * PAGE)

struct job {
	const char *device;
	uint64_t pattern;
};

static void neighbour(void *arg)
{
	const struct job *job = arg;
	unsigned char *p = pages_at(TARGET, BYTES);
	struct rbond b;

	bond_open(&b, job->device);
	say("bound");
	for (uint64_t n = 0;; n++) {
		run_ok(&b, d_fill(p, job->pattern + n, BYTES));
		MUST(filled(p, job->pattern + n, BYTES));
		if (n % 4 == 3)
			say("round");
	}
}

void scenario_j_neighbours(void)
{
	/* Two processes on one device with the same addresses; one is killed in the middle, again and again.
	 */
	struct job mine = { "accel0", 0x1000000000000000u }, other = { "accel0", 0x2000000000000000u };
	unsigned n = rounds(10, 60);
	struct kid stays, goes;

	kid_start(&stays, neighbour, &mine);
	expect(&stays, "bound");
	for (unsigned i = 0; i < n; i++) {
		kid_start(&goes, neighbour, &other);
		expect(&goes, "bound");
		expect(&goes, "round");
		kid_kill(&goes);
		expect(&stays, "round");
	}
	kid_kill(&stays);
}

static void one_of_many(void *arg)
{
	const struct job *job = arg;
	unsigned char *p = pages_at(TARGET, 4 * PAGE), *q = pages(4 * PAGE);
	struct rbond b;

	bond_open(&b, job->device);
	say("bound");
	hear_this("go");
	for (uint64_t n = 0; n < 3; n++) {
		run_ok(&b, d_fill(p, job->pattern + n, 4 * PAGE));
		run_ok(&b, d_copy(q, p, 4 * PAGE));
		MUST(filled(q, job->pattern + n, 4 * PAGE));
	}
	say("done");
	hear_this("end"); /* or is killed before */
	if (strcmp(job->device, "accel3") == 0)
		MUST_EQ(bond_unbind(&b, SVAB_PASID_CLEAN, NULL), 0);
}

void scenario_j_256(void)
{
	enum { N = 256 };
	/* accel3 cannot stop: who is killed there needs a reset, which its neighbours would feel. */
	static const char *const devices[] = { "accel0", "accel1", "accel2", "accel3" };
	static struct kid kids[N];
	static struct job jobs[N];
	int events = ctl_open();
	unsigned drained = 0;
	struct svab_info info;
	struct svab_event e;

	for (unsigned i = 0; i < N; i++) {
		jobs[i] = (struct job){ devices[i % 4], ((uint64_t)i + 1) << 32 };
		kid_start(&kids[i], one_of_many, &jobs[i]);
		expect(&kids[i], "bound");
	}
	ctl_info(&info);
	MUST_EQ(info.bonds, N);
	for (unsigned i = 0; i < N; i++)
		tell(&kids[i], "go");
	for (unsigned i = 0; i < N; i++)
		expect(&kids[i], "done");
	for (unsigned i = 0; i < N; i++) {
		if (i % 4 == 1 || i % 8 == 0)
			kill(kids[i].pid, SIGKILL);
		else
			tell(&kids[i], "end");
	}
	for (unsigned i = 0; i < N; i++)
		MUST_EQ(kid_reap(&kids[i]), i % 4 == 1 || i % 8 == 0 ? SIGKILL : 0);
	while (drained < N) {
		if (!event_next(events, &e, 60000))
			FAIL("%u of %u bonds drained", drained, N);
		MUST(e.type != SVAB_EV_QUARANTINED);
		drained += e.type == SVAB_EV_DRAINED;
	}
	close(events);
}

static void on_four(void *arg)
{
	struct job *job = arg;
	struct rbond b[4];
	struct svab_unbind u;

	for (int i = 0; i < 4; i++) {
		char name[24];

		snprintf(name, sizeof(name), "accel%d", i);
		bond_open(&b[i], name);
	}
	say("bound");
	hear_this("go");
	for (int i = 0; i < 4; i++) {
		unsigned char *p = pages(8 * PAGE);

		run_ok(&b[i], d_fill(p, job->pattern + (unsigned)i, 8 * PAGE));
		MUST(filled(p, job->pattern + (unsigned)i, 8 * PAGE));
	}
	for (int i = 0; i < 4; i++) {
		MUST_EQ(bond_unbind(&b[i], SVAB_PASID_CLEAN, &u), 0);
		MUST_EQ(u.state, SVAB_PASID_CLEAN);
		bond_close(&b[i]);
	}
}

void scenario_j_all_on_four(void)
{
	/* 64 processes, each on all four devices: 256 bonds, 64 PASIDs. */
	enum { N = 64 };
	static struct kid kids[N];
	static struct job jobs[N];
	struct svab_info info;

	for (unsigned i = 0; i < N; i++) {
		jobs[i].pattern = ((uint64_t)i + 1) << 32;
		kid_start(&kids[i], on_four, &jobs[i]);
		expect(&kids[i], "bound");
	}
	ctl_info(&info);
	MUST_EQ(info.bonds, 4 * N);
	for (unsigned i = 0; i < N; i++)
		tell(&kids[i], "go");
	for (unsigned i = 0; i < N; i++)
		MUST_EQ(kid_reap(&kids[i]), 0);
}
