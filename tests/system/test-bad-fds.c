/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a client may do wrong on a context or a handle: fds of the wrong kind, messages that are none, handles that are somebody else's. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../client/lib/sva/queue.h"
#include "../../proto/simwire.h"
#include "harness.h"

static struct child neighbour;
static struct sys_baseline before;

static void begin(const char *config)
{
	sys_start(config);
	bystander_start(&neighbour, "sim1");
	before = sys_baseline();
}

static void finish(void)
{
	bystander_check(&neighbour);
	sys_no_leak(&before);
	bystander_end(&neighbour);
	sys_stop();
}

static int open_of(pid_t pid, const char *name, int flags)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	fd = open(path, flags | O_CLOEXEC);
	MUST(fd >= 0);
	return fd;
}

/* A refused bind leaves the context as it was: the next one, done right, succeeds. */
static void refused(struct raw *raw, uint32_t device, const int *fds, unsigned n, int expected)
{
	struct raw_bond bond;
	int r = raw_bind_fds(raw, device, fds, n, &bond);

	ck_assert_msg(r == expected, "%u fds: %d, not %d", n, r, expected);
}

static void still_good(struct raw *raw)
{
	struct raw_bond bond;
	unsigned char *to = pages(4096);

	raw_bind(raw, "sim0", &bond);
	ck_assert_uint_eq(raw_run(&bond, raw_fill(to, 0x5a5a5a5a5a5a5a5au, 4096), NULL), SVA_DEMO_OK);
	ck_assert(filled(to, 0x5a5a5a5a5a5a5a5au, 4096));
	ck_assert_int_eq(raw_unbind(&bond, SVAB_PASID_NONE, NULL), 0);
	raw_bond_close(&bond);
}

START_TEST(test_number)
{
	int fds[40];
	struct raw raw;
	uint32_t device;

	begin("");
	raw_open(&raw);
	ck_assert_uint_eq(raw_grant(&raw, "sim0", &device), SVAD_OK);
	for (unsigned i = 0; i < 40; i++)
		fds[i] = open_of(getpid(), i % 2 ? "maps" : "mem", i % 2 ? O_RDONLY : O_RDWR);
	refused(&raw, device, fds, 0, -EINVAL);
	refused(&raw, device, fds, 1, -EINVAL);
	for (unsigned n = 3; n <= 40; n++)
		refused(&raw, device, fds, n, -EINVAL);
	still_good(&raw);
	for (unsigned i = 0; i < 40; i++)
		close(fds[i]);
	raw_close(&raw);
	finish();
}
END_TEST

START_TEST(test_kind)
{
	int mem, maps, pipes[2], sock, wrong[16];
	unsigned n = 0;
	struct raw raw;
	uint32_t device;
	char path[64];

	begin("");
	raw_open(&raw);
	ck_assert_uint_eq(raw_grant(&raw, "sim0", &device), SVAD_OK);
	mem = open_of(getpid(), "mem", O_RDWR);
	maps = open_of(getpid(), "maps", O_RDONLY);
	ck_assert_int_eq(pipe2(pipes, O_CLOEXEC), 0);
	sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	wrong[n++] = pipes[0];
	wrong[n++] = pipes[1];
	wrong[n++] = sock;
	wrong[n++] = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	wrong[n++] = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	wrong[n++] = open("/dev/null", O_RDWR | O_CLOEXEC);
	wrong[n++] = open("/dev/zero", O_RDWR | O_CLOEXEC);
	wrong[n++] = memfd_create("mem", MFD_CLOEXEC);
	wrong[n++] = open_of(getpid(), "mem", O_PATH);
	wrong[n++] = open_of(getpid(), "status", O_RDONLY);
	wrong[n++] = open_of(getpid(), "smaps", O_RDONLY);
	snprintf(path, sizeof(path), "/proc/self/task/%d/mem", (int)getpid());
	wrong[n++] = open(path, O_RDWR | O_CLOEXEC);
	wrong[n++] = sys_pidfd(getpid());
	for (unsigned i = 0; i < n; i++) {
		ck_assert_int_ge(wrong[i], 0);
		refused(&raw, device, (int[]) { wrong[i], maps }, 2, -EINVAL);
		refused(&raw, device, (int[]) { mem, wrong[i] }, 2, -EINVAL);
		refused(&raw, device, (int[]) { wrong[i], wrong[i] }, 2, -EINVAL);
	}
	refused(&raw, device, (int[]) { maps, mem }, 2, -EINVAL); /* the two, swapped */
	refused(&raw, device, (int[]) { mem, mem }, 2, -EINVAL);
	wrong[n] = open_of(getpid(), "mem", O_RDONLY);
	refused(&raw, device, (int[]) { wrong[n], maps }, 2, -EINVAL);
	close(wrong[n]);
	wrong[n] = open_of(getpid(), "mem", O_WRONLY);
	refused(&raw, device, (int[]) { wrong[n], maps }, 2, -EINVAL);
	close(wrong[n]);
	for (unsigned i = 0; i < n; i++)
		close(wrong[i]);
	close(mem);
	close(maps);
	still_good(&raw);
	raw_close(&raw);
	finish();
}
END_TEST

static void victim(void *arg)
{
	unsigned char *secret = arg;

	memset(secret, 7, 4096);
	say("here");
	hear_this("end");
	MUST(filled(secret, 0x0707070707070707u, 4096));
}

START_TEST(test_other_process)
{
	int mem, maps, other_mem, other_maps;
	struct child child;
	struct raw raw;
	uint32_t device;

	begin("");
	sys_child(&child, victim, pages(4096));
	sys_expect(&child, "here");
	raw_open(&raw);
	ck_assert_uint_eq(raw_grant(&raw, "sim0", &device), SVAD_OK);
	mem = open_of(getpid(), "mem", O_RDWR);
	maps = open_of(getpid(), "maps", O_RDONLY);
	other_mem = open_of(child.pid, "mem", O_RDWR);
	other_maps = open_of(child.pid, "maps", O_RDONLY);
	refused(&raw, device, (int[]) { other_mem, other_maps }, 2, -EPERM);
	refused(&raw, device, (int[]) { mem, other_maps }, 2, -EPERM);
	refused(&raw, device, (int[]) { other_mem, maps }, 2, -EPERM);
	sys_end(&child);
	refused(&raw, device, (int[]) { other_mem, other_maps }, 2, -EPERM); /* and that it has ended makes it no better */
	still_good(&raw);
	close(mem);
	close(maps);
	close(other_mem);
	close(other_maps);
	raw_close(&raw);
	finish();
}
END_TEST

/* One packet of any bytes on a ctx or bond socket: the result that the answer has. */
static int packet(int fd, const void *data, size_t len, const int *fds, unsigned n_fds)
{
	struct {
		struct simwire_hdr hdr;
		unsigned char room[1024];
	} answer;
	struct pollfd p = { .fd = fd, .events = POLLIN };

	MUST(sys_send(fd, data, len, fds, n_fds));
	MUST_EQ(poll(&p, 1, sys_ms(10000)), 1);
	if (recv(fd, &answer, sizeof(answer), 0) < (ssize_t)sizeof(answer.hdr))
		return -EPIPE;
	return answer.hdr.result;
}

static void no_packets(int fd, uint32_t op)
{
	unsigned char data[4096] = { 0 };
	static unsigned char huge[SIMWIRE_MAX + 64];
	struct simwire_hdr *hdr = (struct simwire_hdr *)(void *)data;
	unsigned seed = 815;

	for (size_t n = 1; n < sizeof(*hdr); n++)
		ck_assert_int_eq(packet(fd, data, n, NULL, 0), -EINVAL);
	*hdr = (struct simwire_hdr) { .op = op, .seq = 5, .len = 100 }; /* more than comes */
	ck_assert_int_eq(packet(fd, data, sizeof(*hdr) + 50, NULL, 0), -EINVAL);
	hdr->len = 10; /* less than comes */
	ck_assert_int_eq(packet(fd, data, sizeof(*hdr) + 50, NULL, 0), -EINVAL);
	hdr->len = 4; /* a struct that is not even its own size field long */
	ck_assert_int_lt(packet(fd, data, sizeof(*hdr) + 4, NULL, 0), 0);
	*hdr = (struct simwire_hdr) { .op = 0xdeadbeef, .seq = 6 };
	ck_assert_int_eq(packet(fd, data, sizeof(*hdr), NULL, 0), -ENOTTY);
	*hdr = (struct simwire_hdr) { .op = (uint32_t)SVAB_CTX_REVOKE, .seq = 7 }; /* what only the broker may ask */
	ck_assert_int_eq(packet(fd, data, sizeof(*hdr), NULL, 0), -ENOTTY);
	ck_assert_int_eq(packet(fd, huge, sizeof(huge), NULL, 0), -EINVAL);
	for (unsigned i = 0; i < tap_scale(100); i++) {
		size_t len = 1 + (size_t)rand_r(&seed) % 400;

		for (size_t j = 0; j < len; j++)
			data[j] = (unsigned char)rand_r(&seed);
		if (len >= 8 && !hdr->seq)
			hdr->seq = 1; /* 0 asks for no answer */
		ck_assert_int_lt(packet(fd, data, len, NULL, 0), 0);
	}
}

START_TEST(test_ctx_messages)
{
	struct {
		struct svab_bind bind;
		uint64_t more;
	} b = { .bind = { .size = sizeof(b), .bond_fd = -1 } };
	struct raw raw;
	uint32_t device;

	begin("");
	raw_open(&raw);
	ck_assert_uint_eq(raw_grant(&raw, "sim0", &device), SVAD_OK);
	no_packets(raw.ctx, (uint32_t)SVAB_BIND);
	/* a struct of the future: only with zeros in what we do not know */
	b.bind.device = device;
	b.more = 1;
	ck_assert_int_lt(raw_message(raw.ctx, SVAB_BIND, &b, sizeof(b), NULL, 0, NULL), 0);
	b.more = 0;
	b.bind.flags = 1;
	ck_assert_int_eq(raw_message(raw.ctx, SVAB_BIND, &b.bind, sizeof(b.bind), NULL, 0, NULL), -EINVAL);
	still_good(&raw);
	/* a device that was not granted; one that there is not */
	{
		struct raw_bond bond;

		ck_assert_int_eq(raw_bind_own(&raw, device + 1, &bond), -EACCES);
		ck_assert_int_eq(raw_bind_own(&raw, 4711, &bond), -ENODEV);
	}
	raw_close(&raw);
	finish();
}
END_TEST

START_TEST(test_bond_messages)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC), six[6] = { null, null, null, null, null, null };
	struct simwire_hdr hdr = { .op = (uint32_t)SVAB_BOND_INFO, .seq = 1 };
	struct svab_bond_info info;
	struct raw_bond bond;
	struct raw raw;

	begin("");
	raw_open(&raw);
	raw_bind(&raw, "sim0", &bond);
	no_packets(bond.fd, (uint32_t)SVAB_BOND_INFO);
	for (unsigned n = 1; n <= 6; n++)
		ck_assert_int_eq(packet(bond.fd, &hdr, sizeof(hdr), six, n), -EINVAL);
	ck_assert_int_eq(raw_info(&bond, &info), 0);
	ck_assert_uint_eq(info.state, SVAB_PASID_BOUND);
	ck_assert_uint_eq(info.refs, 1);
	ck_assert_int_eq(raw_unbind(&bond, SVAB_PASID_NONE, NULL), 0);
	raw_bond_close(&bond);
	raw_close(&raw);
	close(null);
	finish();
}
END_TEST

START_TEST(test_unbind_states)
{
	struct svab_bond_info info;
	struct svab_unbind u;
	struct raw_bond bond;
	struct raw raw;

	begin("");
	raw_open(&raw);
	raw_bind(&raw, "sim0", &bond);
	/* what is no state to vouch for */
	ck_assert_int_eq(raw_unbind(&bond, SVAB_PASID_BOUND, NULL), -EINVAL);
	ck_assert_int_eq(raw_unbind(&bond, SVAB_PASID_STOPPING, NULL), -EINVAL);
	ck_assert_int_eq(raw_unbind(&bond, SVAB_PASID_QUARANTINED, NULL), -EINVAL);
	ck_assert_int_eq(raw_unbind(&bond, 77, NULL), -EINVAL);
	/* work under way, and the word that there is none */
	sys_fault_ok("hold sim0");
	{
		struct sva_demo_desc desc = raw_fill(pages(1 << 20), 1, 1 << 20);

		raw_submit(&bond, &desc);
	}
	sys_fault_ok("wait sim0 held");
	ck_assert_int_eq(raw_unbind(&bond, SVAB_PASID_CLEAN, NULL), -EBUSY);
	ck_assert_int_eq(raw_unbind(&bond, SVAB_PASID_FLUSHED, NULL), -EBUSY);
	ck_assert_int_eq(raw_info(&bond, &info), 0);
	ck_assert_uint_eq(info.state, SVAB_PASID_BOUND);
	sys_fault_ok("unhold sim0");
	sys_fault_ok("wait sim0 idle");
	ck_assert_int_eq(raw_unbind(&bond, SVAB_PASID_CLEAN, &u), 0);
	ck_assert_uint_eq(u.state, SVAB_PASID_CLEAN);
	/* twice */
	ck_assert_int_eq(raw_unbind(&bond, SVAB_PASID_NONE, NULL), -EPIPE);
	raw_bond_close(&bond);
	raw_close(&raw);
	finish();
}
END_TEST

START_TEST(test_no_state_without_stop)
{
	struct svab_unbind u;
	struct raw_bond bond;
	struct raw raw;

	begin("[device \"sim0\"]\nstop = none\n[device \"sim1\"]\n");
	raw_open(&raw);
	raw_bind(&raw, "sim0", &bond);
	ck_assert_int_eq(raw_unbind(&bond, SVAB_PASID_NONE, NULL), -EINVAL);
	ck_assert_int_eq(raw_unbind(&bond, SVAB_PASID_FLUSHED, &u), 0);
	ck_assert_uint_eq(u.state, SVAB_PASID_CLEAN);
	raw_bond_close(&bond);
	raw_close(&raw);
	finish();
}
END_TEST

/* ---- handles of others ---------------------------------------------------------------------------------- */

static struct raw shared;
static struct raw_bond shared_bond;

static void use_anothers(void *arg)
{
	struct svab_bond_info info;
	struct raw_bond mine;

	(void)arg;
	MUST_EQ(raw_info(&shared_bond, &info), -EPERM);
	MUST_EQ(raw_unbind(&shared_bond, SVAB_PASID_CLEAN, NULL), -EPERM);
	MUST_EQ(raw_unbind(&shared_bond, SVAB_PASID_NONE, NULL), -EPERM);
	(void)raw_send(shared_bond.fd, SIMWIRE_KICK, 0, NULL, 0, NULL, 0);
	MUST_EQ(raw_bind_own(&shared, shared_bond.device, &mine), -EPERM);
	say("refused");
}

START_TEST(test_forked_child)
{
	struct svab_bond_info info;
	struct child child;

	begin("");
	raw_open(&shared);
	raw_bind(&shared, "sim0", &shared_bond);
	sys_child_inherits(&child, use_anothers, NULL);
	sys_expect(&child, "refused");
	ck_assert_int_eq(sys_reap(&child), 0);
	ck_assert_int_eq(raw_info(&shared_bond, &info), 0);
	ck_assert_uint_eq(info.state, SVAB_PASID_BOUND);
	ck_assert_uint_eq(raw_run(&shared_bond, raw_fill(pages(4096), 1, 4096), NULL), SVA_DEMO_OK);
	ck_assert_int_eq(raw_unbind(&shared_bond, SVAB_PASID_NONE, NULL), 0);
	raw_bond_close(&shared_bond);
	raw_close(&shared);
	finish();
}
END_TEST

/* Gets a ctx and a bond socket by SCM_RIGHTS, as a stranger. */
static void use_given(void *arg)
{
	struct wire_fds fds = WIRE_FDS_NONE;
	char text[16];

	say("ready");
	MUST(wire_recv(say_sock, text, sizeof(text), &fds, NULL, 0) > 0);
	MUST_EQ(fds.n, 2);
	shared.ctx = fds.fd[0];
	shared_bond.fd = fds.fd[1];
	use_anothers(arg);
	hear_this("end");
}

START_TEST(test_passed_to_another)
{
	struct svab_bond_info info;
	struct child child;
	uint64_t id;

	begin("");
	raw_open(&shared);
	raw_bind(&shared, "sim0", &shared_bond);
	sys_child(&child, use_given, NULL);
	sys_expect(&child, "ready");
	ck_assert(sys_send(child.sock, "take", 4, (int[]) { shared.ctx, shared_bond.fd }, 2));
	sys_expect(&child, "refused");
	ck_assert_int_eq(raw_info(&shared_bond, &info), 0);
	ck_assert_uint_eq(info.state, SVAB_PASID_BOUND);
	/* the owner ends its connection: copies that others have do not keep the bond */
	id = shared_bond.id;
	raw_bond_close(&shared_bond);
	close(shared.conn);
	shared.conn = -1;
	sys_event(SVAD__V1__EVENT_KIND__EVENT_CLEAN, id);
	sys_end(&child);
	raw_close(&shared);
	finish();
}
END_TEST

START_TEST(test_library_in_forked_child)
{
	struct sva_bond *bond, *second;
	struct sva *sva;
	pid_t pid;
	int status;

	begin("");
	ck_assert_int_eq(sva_connect(sys_path("run/svad.sock"), sys_ms(5000), &sva), 0);
	ck_assert_int_eq(sva_bind(sva, "sim0", &bond), 0);
	pid = fork();
	if (!pid) {
		int r = 0;

		r |= sva_unbind(bond, SVA_STATE_NONE) != -EOWNERDEAD;
		r |= (sva_bind(sva, "sim0", &second) != -EOWNERDEAD) << 1;
		r |= (sva_bond_kick(bond) != -EOWNERDEAD) << 2;
		r |= (sva_list_devices(sva, NULL, 0) != -EOWNERDEAD) << 3;
		_exit(r);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	ck_assert_int_eq(sva_bond_revoked(bond), 0);
	ck_assert_int_eq(sva_unbind(bond, SVA_STATE_NONE), 0);
	sva_disconnect(sva);
	finish();
}
END_TEST

START_TEST(test_portal_truncated)
{
	struct sva_demo_desc nop = { .op = SVA_DEMO_NOP };
	struct raw_bond bond;
	struct raw raw;

	/* its own page of registers is all that it can break, and so itself */
	begin("");
	raw_open(&raw);
	raw_bind(&raw, "sim0", &bond);
	ck_assert_uint_eq(raw_run(&bond, nop, NULL), SVA_DEMO_OK);
	ck_assert_int_eq(ftruncate(bond.portal_fd, 0), 0);
	ck_assert_int_eq(raw_send(bond.fd, SIMWIRE_KICK, 0, NULL, 0, NULL, 0), 0);
	ck_assert_int_eq((int)sys_event(SVAD__V1__EVENT_KIND__EVENT_STOPPING, bond.id)->cause, (int)SVAB_CAUSE_POLICY);
	sys_event(SVAD__V1__EVENT_KIND__EVENT_CLEAN, bond.id);
	raw_bond_close(&bond);
	still_good(&raw);
	raw_close(&raw);
	finish();
}
END_TEST

START_TEST(test_ring_of_nonsense)
{
	static const uint64_t bases[] = { 0, 8, 0xfff, 0x1000, ~0ull, ~0ull << 12, 1ull << 63, 0x7fffffffffff };
	static const uint32_t sizes[] = { 0, 1, 2, 3, 64, 4096, 8192, ~0u };
	struct raw raw;

	begin("");
	for (unsigned i = 0; i < sizeof(bases) / sizeof(bases[0]); i++) {
		for (unsigned j = 0; j < sizeof(sizes) / sizeof(sizes[0]); j++) {
			struct raw_bond bond;

			raw_open(&raw);
			raw_bind(&raw, "sim0", &bond);
			*(volatile uint64_t *)(bond.portal + SVA_DEMO_REG_RING_BASE) = bases[i];
			*(volatile uint32_t *)(bond.portal + SVA_DEMO_REG_RING_SIZE) = sizes[j];
			*(volatile uint32_t *)(bond.portal + SVA_DEMO_REG_ENABLE) = 1;
			*(volatile uint32_t *)(bond.portal + SVA_DEMO_REG_DOORBELL) = 0x80000001u;
			ck_assert_int_eq(raw_send(bond.fd, SIMWIRE_KICK, 0, NULL, 0, NULL, 0), 0);
			ck_assert_int_eq(raw_unbind(&bond, SVAB_PASID_NONE, NULL), 0);
			raw_bond_close(&bond);
			raw_close(&raw);
		}
	}
	finish();
}
END_TEST

static Suite *bad_fds_suite(void)
{
	Suite *s = suite_create("bad-fds");

	sys_test(s, "number", test_number);
	sys_test(s, "kind", test_kind);
	sys_test(s, "other-process", test_other_process);
	sys_test(s, "ctx-messages", test_ctx_messages);
	sys_test(s, "bond-messages", test_bond_messages);
	sys_test(s, "unbind-states", test_unbind_states);
	sys_test(s, "no-state-without-stop", test_no_state_without_stop);
	sys_test(s, "forked-child", test_forked_child);
	sys_test(s, "passed-to-another", test_passed_to_another);
	sys_test(s, "library-forked-child", test_library_in_forked_child);
	sys_test(s, "portal-truncated", test_portal_truncated);
	sys_test(s, "ring-of-nonsense", test_ring_of_nonsense);
	return s;
}

int main(int argc, char **argv)
{
	return tap_main(argc, argv, bad_fds_suite, NULL);
}
