/* SPDX-License-Identifier: GPL-2.0-or-later */
/* svad-simdev: every way that a bond can end, in the middle of DMA; quarantine; injected faults. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../proto/simwire.h"
#include "sim-harness.h"
#include "slow-file.h"
#include "tap.h"

#define CONFIG                                                              \
	"[device \"d0\"]\nengines = 2\nstop = flushed\n"                    \
	"[device \"d1\"]\nengines = 1\nstop = clean\n"                      \
	"[device \"d2\"]\nengines = 1\nstop = none\n"

#define LEN (4u << 20)

static void setup(void)
{
	h_start(CONFIG);
}

/* A copy that is under way: held after its first chunk. Its record is *ret, in plain memory. */
static void start_copy(struct client *c, unsigned char **ret_dst, struct sva_demo_completion **ret)
{
	struct sva_demo_completion *done = h_memory(32, 32);
	unsigned char *src = h_memory(16, LEN), *dst = h_memory(16, LEN);
	struct sva_demo_desc d;

	memset(done, 0, sizeof(*done));
	memset(src, 0xa5, LEN);
	memset(dst, 0x11, LEN);
	d = h_copy(dst, src, LEN);
	d.completion = (uintptr_t)done;
	h_submit(c, &d);
	*ret_dst = dst;
	*ret = done;
}

/* Was dst written from its beginning to some chunk, and not further? Returns how far. */
static size_t written(const unsigned char *dst)
{
	size_t n = 0;

	while (n < LEN && dst[n] == 0xa5)
		n++;
	for (size_t i = n; i < LEN; i++)
		if (dst[i] != 0x11) /* an assertion a byte takes seconds */
			ck_abort_msg("byte %zu is %#x", i, dst[i]);
	return n;
}

static void expect_drain(uint64_t bond, uint32_t cause, bool flushed)
{
	struct svab_event e = h_event(SVAB_EV_STOPPING, bond);

	/* A process that is killed loses its memory first and its fds then, and the device may see either first. */
	if (cause != SVAB_CAUSE_LAST_CLOSE || e.cause != SVAB_CAUSE_MM_RELEASED)
		ck_assert_uint_eq(e.cause, cause);
	if (flushed)
		(void)h_event(SVAB_EV_FLUSHED, bond);
	e = h_event(SVAB_EV_DRAINED, bond);
	ck_assert_uint_eq(e.state, SVAB_PASID_CLEAN);
	ck_assert_uint_gt(e.value, 0);
	ck_assert_uint_eq(h_events_seen(SVAB_EV_STOPPING, bond) + h_events_seen(SVAB_EV_DRAINED, bond), 0);
}

/* ---- ends --------------------------------------------------------------------------------------------------- */

START_TEST(revoked_in_dma)
{
	for (uint32_t device = 1; device <= 2; device++) {
		struct sva_demo_completion *done;
		unsigned char *dst;
		struct client c;

		h_fault_ok("hold d%u", device - 1);
		h_fault_ok("stop d%u ignore %u", device - 1, DEADLINE_MS * tap_slow() / 3); /* it is STOPPING for a while */
		h_client(&c, device, device);
		start_copy(&c, &dst, &done);
		h_fault_ok("wait d%u held", device - 1);
		h_revoke(c.bond);
		h_revoke(c.bond); /* any two may race: it drains once */
		ck_assert_uint_eq(h_events_seen(SVAB_EV_STOPPING, c.bond), 1);
		expect_drain(c.bond, SVAB_CAUSE_ADMIN, device == 1);
		ck_assert(h_hup(c.fd, h_ms(10000)));
		/* The record was written before the stop was acknowledged; nothing comes after. */
		ck_assert_uint_eq(done->status, SVA_DEMO_ABORTED);
		ck_assert_uint_eq(written(dst), done->bytes);
		ck_assert_uint_lt(done->bytes, LEN);
		h_fault_ok("unhold d%u", device - 1);
		h_fault_ok("wait d%u idle", device - 1);
		ck_assert_uint_eq(written(dst), done->bytes);
	}
	h_stop();
}
END_TEST

static void child_copy(void *arg)
{
	struct client *c = arg;
	struct sva_demo_completion *done;
	unsigned char *dst;

	if (h_bind(c))
		_exit(1);
	h_queue(c);
	start_copy(c, &dst, &done);
	for (;;)
		pause();
}

/* A client process with a copy under way on d0; the parent keeps nothing of its fds. */
static pid_t client_process(void (*fn)(void *), uint64_t cookie, struct svab_event *bound)
{
	struct client c = { .ctx = h_ctx_socket(cookie), .device = 1 };
	pid_t pid;

	h_grant(cookie, 1);
	pid = h_fork(fn, &c);
	close(c.ctx);
	*bound = h_event(SVAB_EV_BOUND, 0);
	h_fault_ok("wait d0 held");
	return pid;
}

START_TEST(killed_in_dma)
{
	struct svab_event bound;
	struct client c;
	pid_t pid;

	h_fault_ok("hold d0");
	pid = client_process(child_copy, 1, &bound);
	ck_assert_uint_eq(bound.pasid, 1);
	h_fault_ok("lose-response d0 0");
	h_kill(pid);
	expect_drain(bound.bond, SVAB_CAUSE_LAST_CLOSE, true);
	ck_assert_uint_eq(h_event(SVAB_EV_CTX_GONE, 0).cookie, 1);
	h_fault_ok("unhold d0");
	h_client(&c, 2, 1);
	ck_assert_uint_eq(c.pasid, 1); /* reused, lowest first */
	h_stop();
}
END_TEST

static void child_exec(void *arg)
{
	struct client *c = arg;
	struct sva_demo_completion *done;
	unsigned char *dst;

	if (h_bind(c))
		_exit(1);
	h_queue(c);
	start_copy(c, &dst, &done);
	/* The worst there is: the new image keeps every socket, so no close tells that the mm has ended. */
	fcntl(c->fd, F_SETFD, 0);
	fcntl(c->ctx, F_SETFD, 0);
	h_fault_ok("wait d0 held");
	execl("/bin/sleep", "sleep", "60", NULL);
	_exit(1);
}

START_TEST(execed_in_dma)
{
	struct svab_event bound;
	pid_t pid;

	h_fault_ok("hold d0");
	struct client c = { .ctx = h_ctx_socket(1), .device = 1 };

	h_grant(1, 1);
	pid = h_fork(child_exec, &c);
	close(c.ctx);
	bound = h_event(SVAB_EV_BOUND, 0);
	(void)h_event(SVAB_EV_MM_RELEASED, bound.bond);
	expect_drain(bound.bond, SVAB_CAUSE_MM_RELEASED, true);
	h_fault_ok("unhold d0");
	h_kill(pid);
	h_stop();
}
END_TEST

static sigjmp_buf jump;
static void on_sigbus(int sig)
{
	siglongjmp(jump, sig);
}

START_TEST(portal_revoked)
{
	struct client c;

	signal(SIGBUS, on_sigbus);
	h_client(&c, 1, 1);
	ck_assert_uint_eq(*(volatile uint32_t *)(c.portal + SVA_DEMO_REG_MAGIC), SVA_DEMO_MAGIC);
	ck_assert_int_eq(ftruncate(c.portal_fd, 8192), -1); /* sealed */
	ck_assert_int_eq(fcntl(c.portal_fd, F_ADD_SEALS, F_SEAL_SHRINK), -1);
	h_revoke(c.bond);
	ck_assert(h_hup(c.fd, h_ms(10000))); /* STOPPING says that it goes, POLLHUP that it has gone */
	if (!sigsetjmp(jump, 1)) {
		*(volatile uint32_t *)(c.portal + SVA_DEMO_REG_DOORBELL) = 1;
		ck_abort_msg("the portal of a revoked bond could be written");
	}
	ck_assert_int_eq(ftruncate(c.portal_fd, 4096), -1); /* and it does not grow back */
	expect_drain(c.bond, SVAB_CAUSE_ADMIN, true);
	h_stop();
}
END_TEST

START_TEST(portal_truncated_by_client)
{
	struct client a, b = { .device = 1 };
	struct svab_event bound;
	pid_t pid;

	h_client(&a, 1, 2);
	h_fault_ok("hold d0");
	pid = client_process(child_copy, 2, &bound);
	h_client(&b, 3, 1);
	ck_assert_int_eq(ftruncate(b.portal_fd, 0), 0);
	ck_assert_int_eq(send(b.fd, &(struct simwire_hdr) { .op = SIMWIRE_KICK }, sizeof(struct simwire_hdr), 0), 16);
	expect_drain(b.bond, SVAB_CAUSE_POLICY, true); /* its own fault, its own bond */
	ck_assert_uint_eq(h_info().bonds, 2);
	h_kill(pid);
	h_stop();
}
END_TEST

START_TEST(unbind_states)
{
	struct sva_demo_completion *done;
	unsigned char *dst;
	struct svab_unbind u;
	struct client c, d2;

	h_client(&c, 1, 1);
	h_client(&d2, 2, 3);
	ck_assert_int_eq(h_unbind(&c, SVAB_PASID_BOUND, NULL), -EINVAL);
	ck_assert_int_eq(h_unbind(&c, 77, NULL), -EINVAL);
	h_fault_ok("hold d0");
	start_copy(&c, &dst, &done);
	h_fault_ok("wait d0 held");
	ck_assert_int_eq(h_unbind(&c, SVAB_PASID_CLEAN, NULL), -EBUSY); /* visibly not so */
	ck_assert_int_eq(h_unbind(&c, SVAB_PASID_FLUSHED, NULL), -EBUSY);
	ck_assert_int_eq(h_unbind(&c, SVAB_PASID_NONE, &u), 0);
	ck_assert_uint_eq(u.state, SVAB_PASID_CLEAN);
	ck_assert_uint_gt(u.drain_ns, 0);
	ck_assert_uint_eq(done->status, SVA_DEMO_ABORTED);

	/* A device without a stop takes the client's word, when it is not visibly wrong; no word will not do. */
	ck_assert_int_eq(h_unbind(&d2, SVAB_PASID_NONE, NULL), -EINVAL);
	ck_assert_uint_eq(h_run(&d2, h_copy(dst, dst + 64, 64), NULL), SVA_DEMO_OK);
	h_fault_ok("wait d2 idle");
	ck_assert_int_eq(h_unbind(&d2, SVAB_PASID_CLEAN, &u), 0);
	ck_assert_uint_eq(u.state, SVAB_PASID_CLEAN);
	/* And where nobody gave a word, there is only the reset. */
	h_client(&d2, 3, 3);
	h_revoke(d2.bond);
	(void)h_event(SVAB_EV_STOP_FAILED, d2.bond);
	(void)h_event(SVAB_EV_QUARANTINED, d2.bond);
	h_reset(3, &u.size, &u.flags);
	ck_assert_uint_eq(u.size, 1);
	(void)h_event(SVAB_EV_DRAINED, d2.bond);
	h_stop();
}
END_TEST

/* ---- quarantine --------------------------------------------------------------------------------------------------- */

START_TEST(stop_ignored)
{
	struct sva_demo_completion *done;
	uint32_t clean, quarantined;
	struct svab_event bound;
	unsigned char *dst;
	size_t before;
	struct client c;
	pid_t pid;

	h_fault_ok("stop d0 ignore forever");
	h_fault_ok("hold d0");
	h_client(&c, 1, 1);
	start_copy(&c, &dst, &done);
	h_fault_ok("wait d0 held");
	h_revoke(c.bond);
	(void)h_event(SVAB_EV_STOPPING, c.bond);
	ck_assert_uint_eq(h_event(SVAB_EV_QUARANTINED, c.bond).state, SVAB_PASID_QUARANTINED);
	ck_assert_uint_eq(h_info().quarantined, 1);

	/* It goes on with its DMA, as such a device would: translation is cut, not a byte arrives. */
	before = written(dst);
	h_fault_ok("unhold d0");
	h_fault_ok("wait d0 idle");
	ck_assert_uint_gt(h_checker("blocked"), 0);
	ck_assert_uint_eq(written(dst), before);
	ck_assert_uint_eq(done->status, SVA_DEMO_PENDING);

	/* The same mm is refused; another one gets another PASID. */
	h_grant(1, 1);
	ck_assert_int_eq(h_bind(&(struct client) { .ctx = c.ctx, .device = 1 }), -EBUSY);
	h_fault_ok("hold d0");
	pid = client_process(child_copy, 2, &bound);
	ck_assert_uint_eq(bound.pasid, 2);
	h_fault_ok("stop d0 obey");
	h_kill(pid);
	expect_drain(bound.bond, SVAB_CAUSE_LAST_CLOSE, true);

	h_reset(1, &clean, &quarantined);
	ck_assert_uint_eq(clean, 1);
	ck_assert_uint_eq(quarantined, 0);
	(void)h_event(SVAB_EV_DRAINED, c.bond);
	h_fault_ok("unhold d0");
	h_client(&c, 3, 1);
	ck_assert_uint_eq(c.pasid, 1);
	h_stop();
}
END_TEST

START_TEST(stop_late)
{
	struct client c, d;

	/* Late, and then by itself. */
	h_client(&c, 1, 1);
	h_fault_ok("stop d0 ignore %u", 2 * DEADLINE_MS * tap_slow());
	h_revoke(c.bond);
	(void)h_event(SVAB_EV_QUARANTINED, c.bond);
	(void)h_event(SVAB_EV_DRAINED, c.bond);
	/* Asked once more. */
	h_fault_ok("stop d0 ignore forever");
	h_client(&d, 2, 1);
	h_revoke(d.bond);
	(void)h_event(SVAB_EV_QUARANTINED, d.bond);
	h_fault_ok("stop d0 obey");
	h_revoke(d.bond);
	(void)h_event(SVAB_EV_FLUSHED, d.bond);
	(void)h_event(SVAB_EV_DRAINED, d.bond);
	ck_assert_uint_eq(h_info().quarantined, 0);
	h_stop();
}
END_TEST

START_TEST(late_dma)
{
	unsigned char *dst = h_memory(16, 4096), *src = h_memory(16, 4096);
	uint32_t clean, quarantined;
	struct client c;

	memset(src, 7, 4096);
	for (uint64_t round = 1; round <= 3; round++) {
		uint64_t blocked = h_checker("blocked");

		h_client(&c, round, 1);
		ck_assert_uint_eq(h_run(&c, h_copy(dst, src, 4096), NULL), SVA_DEMO_OK);
		h_fault_ok("wait d0 idle");
		h_fault_ok("late-dma d0 1 0");
		if (round == 1)
			h_revoke(c.bond);
		else if (round == 2)
			h_reset(1, &clean, &quarantined);
		else
			ck_assert_int_eq(h_unbind(&c, SVAB_PASID_CLEAN, NULL), 0);
		(void)h_event(SVAB_EV_DRAINED, c.bond);
		while (h_checker("blocked") == blocked && !h_checker("violations"))
			poll(NULL, 0, 1); /* it comes from a thread of simdev; nothing of it can be polled */
		ck_assert_uint_eq(h_checker("violations"), 0);
		ck_assert(!memcmp(dst, src, 4096));
	}
	h_stop();
}
END_TEST

START_TEST(page_responses)
{
	struct sva_demo_completion *done;
	uint32_t clean, quarantined;
	unsigned char *dst;
	struct client c, d;

	/* Lost: a device that awaits its responses cannot stop; one that sends a Stop Marker can. */
	h_client(&c, 1, 1);
	h_client(&d, 2, 2);
	h_fault_ok("lose-response d0 1");
	h_fault_ok("lose-response d1 1");
	start_copy(&c, &dst, &done);
	h_fault_ok("wait d0 busy");
	start_copy(&d, &dst, &done);
	h_fault_ok("wait d1 busy");
	h_revoke(c.bond);
	h_revoke(d.bond);
	(void)h_event(SVAB_EV_DRAINED, c.bond);
	(void)h_event(SVAB_EV_QUARANTINED, d.bond);
	h_reset(2, &clean, &quarantined);
	ck_assert_uint_eq(clean, 1);
	(void)h_event(SVAB_EV_DRAINED, d.bond);

	/* Late: the request is still in the queue when the device has stopped, and is flushed from there. */
	h_client(&c, 3, 1);
	h_fault_ok("delay-response d0 %u 1", DEADLINE_MS * tap_slow());
	start_copy(&c, &dst, &done);
	h_fault_ok("wait d0 busy");
	h_revoke(c.bond);
	(void)h_event(SVAB_EV_FLUSHED, c.bond);
	ck_assert_uint_lt(h_event(SVAB_EV_DRAINED, c.bond).value, DEADLINE_MS * tap_slow() * 1000000ull);
	h_client(&c, 4, 1);
	poll(NULL, 0, (int)(DEADLINE_MS * tap_slow())); /* past the time of the delayed one: were it left, it would be answered now */
	/* And in time: just slow. */
	h_fault_ok("delay-response d0 20 1");
	ck_assert_uint_eq(h_run(&c, h_copy(dst, dst + 4096, 4096), NULL), SVA_DEMO_OK);
	h_stop();
}
END_TEST

struct neighbour {
	struct client c;
	int go;
};

static void child_neighbour(void *arg)
{
	struct neighbour *n = arg;
	unsigned char a[64] = { 1 }, b[64] = { 0 };

	if (read(n->go, a, 1) != 1 || h_bind(&n->c))
		_exit(1);
	h_queue(&n->c);
	if (h_run(&n->c, h_copy(b, a, 64), NULL) != SVA_DEMO_OK || memcmp(a, b, 64))
		_exit(2);
}

/* A page that never comes: a device that hangs in it does not stop, and its neighbours are served meanwhile. */
START_TEST(hostile_page)
{
	struct neighbour other = { .c = { .ctx = h_ctx_socket(2), .device = 2 } };
	unsigned char *page, *mine = h_memory(16, 2 * 4096);
	uint32_t clean, quarantined;
	struct svab_event bound;
	struct sva_demo_desc d;
	struct client c;
	int fd, go[2];
	pid_t pid;

	/* Before the page is held: a fork waits for it, too. */
	h_grant(2, 2);
	ck_assert_int_eq(pipe(go), 0);
	other.go = go[0];
	pid = h_fork(child_neighbour, &other);
	close(other.c.ctx);

	fd = slow_file_open(20000);
	if (fd < 0)
		tap_skip("cannot mount a FUSE file system here: %s (needs root, and modprobe fuse)", strerror(errno));
	page = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	ck_assert_ptr_ne(page, MAP_FAILED);
	h_client(&c, 1, 2); /* one engine */
	(void)h_event(SVAB_EV_BOUND, c.bond);
	d = h_copy(mine, page, 4096);
	h_submit(&c, &d);
	ck_assert(slow_file_wait_read(10000)); /* it hangs in there now */

	ck_assert_int_eq(write(go[1], "g", 1), 1); /* the engine is given to others */
	h_reap(pid, 0);
	bound = h_event(SVAB_EV_BOUND, 0);
	(void)h_event(SVAB_EV_DRAINED, bound.bond);

	h_revoke(c.bond);
	(void)h_event(SVAB_EV_QUARANTINED, c.bond);
	h_reset(2, &clean, &quarantined);
	ck_assert_uint_eq(clean, 0); /* a reset does not undo an access that is under way */
	ck_assert_uint_eq(quarantined, 1);
	slow_file_release();
	(void)h_event(SVAB_EV_DRAINED, c.bond); /* late, by itself */
	h_stop();
}
END_TEST

/* ---- the device ---------------------------------------------------------------------------------------------------- */

START_TEST(vanish)
{
	struct sva_demo_completion *done;
	unsigned char *dst;
	struct client c;

	h_client(&c, 1, 1);
	h_fault_ok("hold d0");
	start_copy(&c, &dst, &done);
	h_fault_ok("wait d0 held");
	h_fault_ok("stop d0 ignore forever"); /* a dead device needs no stop */
	h_fault_ok("vanish d0");
	ck_assert_uint_eq(h_event(SVAB_EV_DEV_GONE, 0).device, 1);
	expect_drain(c.bond, SVAB_CAUSE_DEVICE_GONE, true);
	ck_assert_uint_eq(done->status, SVA_DEMO_PENDING); /* its DMA died with it */
	h_grant(1, 1);
	ck_assert_int_eq(h_bind(&c), -ENODEV);
	ck_assert(!strncmp(h_fault("vanish d0"), "error", 5));
	h_fault_ok("unhold d0");
	h_fault_ok("return d0");
	h_fault_ok("stop d0 obey");
	(void)h_event(SVAB_EV_DEV_ADDED, 0);
	ck_assert_int_eq(h_bind(&c), 0);
	c.tail = 0;
	h_queue(&c);
	ck_assert_uint_eq(h_run(&c, h_copy(dst, dst + 64, 64), NULL), SVA_DEMO_OK);
	h_stop();
}
END_TEST

START_TEST(reset_in_dma)
{
	struct sva_demo_completion *done;
	uint32_t clean, quarantined;
	unsigned char *dst;
	struct client c;

	h_client(&c, 1, 1);
	h_fault_ok("hold d0");
	start_copy(&c, &dst, &done);
	h_fault_ok("wait d0 held");
	h_reset(1, &clean, &quarantined);
	ck_assert_uint_eq(clean, 1);
	expect_drain(c.bond, SVAB_CAUSE_DEVICE_RESET, true);
	(void)h_event(SVAB_EV_DEV_RESET, 0);
	h_fault_ok("unhold d0");
	h_fault_ok("wait d0 idle");
	ck_assert_uint_eq(done->status, SVA_DEMO_PENDING);
	h_stop();
}
END_TEST

/* Several at once, with one killed: the other's bytes are right. PASIDs go round quickly. */
START_TEST(neighbours)
{
	const unsigned rounds = tap_scale(60);
	unsigned char *src = h_memory(16, LEN), *dst = h_memory(16, LEN);
	struct client c;

	memset(src, 0x33, LEN);
	h_client(&c, 1, 1);
	for (unsigned i = 0; i < rounds; i++) {
		struct client other = { .ctx = h_ctx_socket(100 + i), .device = 1 };
		struct sva_demo_completion *done = aligned_alloc(32, 32);
		struct sva_demo_desc d = h_copy(dst, src, LEN);
		pid_t pid;

		memset(done, 0, 32);
		memset(dst, 0, LEN);
		d.completion = (uintptr_t)done;
		h_grant(100 + i, 1);
		pid = h_fork(child_copy, &other);
		close(other.ctx);
		h_submit(&c, &d);
		if (i % 2)
			h_fault_ok("wait d0 busy");
		h_kill(pid);
		ck_assert_uint_eq(h_wait(&c, done), SVA_DEMO_OK);
		ck_assert(!memcmp(src, dst, LEN));
		free(done);
		ck_assert_uint_eq(h_event(SVAB_EV_CTX_GONE, 0).cookie, 100 + i);
	}
	ck_assert_uint_eq(h_info().bonds, 1);
	h_stop();
}
END_TEST

static Suite *drain_suite(void)
{
	Suite *s = suite_create("simdev-drain");
	const struct {
		const char *name;
		const TTest *test;
	} cases[] = {
		{ "revoked", revoked_in_dma },
		{ "killed", killed_in_dma },
		{ "execed", execed_in_dma },
		{ "portal", portal_revoked },
		{ "portal-truncated", portal_truncated_by_client },
		{ "unbind", unbind_states },
		{ "stop-ignored", stop_ignored },
		{ "stop-late", stop_late },
		{ "late-dma", late_dma },
		{ "page-responses", page_responses },
		{ "hostile-page", hostile_page },
		{ "vanish", vanish },
		{ "reset", reset_in_dma },
		{ "neighbours", neighbours },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		TCase *t = tcase_create(cases[i].name);

		tcase_add_checked_fixture(t, setup, NULL);
		tcase_add_test(t, cases[i].test);
		tcase_set_timeout(t, 300);
		suite_add_tcase(s, t);
	}
	return s;
}

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	return tap_main(argc, argv, drain_suite, NULL);
}
