/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Processes with DMA under way: what the scenarios kill, revoke and race with. */
#include "vm.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Its portal may go at any moment. It has nothing more to do then but to be killed. */
static void park(int sig)
{
	(void)sig;
	for (;;)
		pause();
}

static void work(void *arg)
{
	struct sigaction sa = { .sa_handler = park };
	const struct work *w = arg;
	static _Alignas(64) struct sva_demo_completion done;
	uint64_t pattern = 0x5151515151515151u;
	struct pollfd p = { .fd = say_sock, .events = POLLIN };
	struct rbond b;

	sigaction(SIGBUS, &sa, NULL);
	bond_open_deadline(&b, w->device, w->deadline_ms ? w->deadline_ms : (unsigned)ms(DRAIN_MS));
	if (w->bytes) {
		pages_at(TARGET, w->bytes);
		submit(&b, d_fill(TARGET, pattern, w->bytes), &done);
	}
	say("bond %llu pasid %u", (unsigned long long)b.id, b.pasid);
	while (w->bytes && w->loop && poll(&p, 1, 0) == 0) {
		if (wait_done(&b, &done) != SVA_DEMO_OK)
			break; /* revoked: then it waits for its end */
		submit(&b, d_fill(TARGET, pattern, w->bytes), &done);
	}
	hear_this("end");
}

void worker_start(struct worker *w, const struct work *what)
{
	unsigned long long id;

	kid_start(&w->kid, work, (void *)(uintptr_t)what);
	MUST_EQ(sscanf(expect(&w->kid, "bond "), "bond %llu pasid %u", &id, &w->pasid), 2);
	w->bond = id;
}

void worker_kill(struct worker *w)
{
	kid_kill(&w->kid);
}

static void bind_and_end(void *arg)
{
	struct rbond b;

	bond_open(&b, arg);
	say("pasid %u", b.pasid);
}

uint32_t bind_once(const char *device)
{
	struct kid k;
	uint32_t pasid;

	kid_start(&k, bind_and_end, (void *)(uintptr_t)device);
	MUST_EQ(sscanf(expect(&k, "pasid "), "pasid %u", &pasid), 1);
	MUST_EQ(kid_reap(&k), 0);
	return pasid;
}

/* ---- bystanders ---- */

#define BY_BYTES (64u << 10)

static void by_round(struct rbond *b, unsigned char *src, unsigned char *dst, uint64_t n)
{
	struct sva_demo_completion done;

	fill_cpu(src, n * 0x0101010101010101u + 7, BY_BYTES);
	memset(dst, 0, BY_BYTES);
	run_ok(b, d_copy(dst, src, BY_BYTES));
	if (memcmp(src, dst, BY_BYTES) != 0)
		FAIL("a bystander's bytes are wrong in round %llu", (unsigned long long)n);
	MUST_EQ(run(b, d_compare(dst, src, BY_BYTES), &done), SVA_DEMO_OK);
	MUST_EQ(done.result, 0);
}

static void bystand(void *arg)
{
	unsigned char *src = pages(BY_BYTES), *dst = pages(BY_BYTES);
	struct pollfd p = { .fd = say_sock, .events = POLLIN };
	struct rbond b;

	bond_open(&b, arg);
	say("working");
	for (uint64_t n = 1;; n++) {
		by_round(&b, src, dst, n);
		if (poll(&p, 1, 0) > 0) {
			if (strcmp(hear(), "end") == 0)
				break;
			by_round(&b, src, dst, ++n); /* begun after it was asked */
			say("rounds %llu", (unsigned long long)n);
		}
	}
	bond_unbind_clean(&b);
}

void bystander_start(struct kid *k, const char *device)
{
	kid_start(k, bystand, (void *)(uintptr_t)device);
	expect(k, "working");
}

void bystander_check(struct kid *k)
{
	tell(k, "check");
	expect(k, "rounds ");
}
