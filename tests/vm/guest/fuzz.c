/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * h: random calls. Several processes make random system calls on every kind of fd of the module, with sizes,
 * flags, ids and addresses that are right, nearly right or nonsense, fork, pass fds around, and die in the
 * middle. There is nothing to expect of a single call; of the whole, that bonds were made and ended, that the
 * kernel stays whole, that nothing is left, and that a bystander's bytes are right throughout.
 */
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
#include <sys/wait.h>
#include <unistd.h>

#define FDS 24
#define COOKIES 12
#define DEVICES 4
#define BONDS 16u

static const unsigned long ops[] = {
	SVAB_INFO,	 SVAB_DEV_NEXT,	   SVAB_CTX_CREATE, SVAB_CTX_GRANT,  SVAB_CTX_REVOKE_GRANT,
	SVAB_CTX_REVOKE, SVAB_BOND_REVOKE, SVAB_LIST,	    SVAB_CTX_REOPEN, SVAB_BIND,
	SVAB_UNBIND,	 SVAB_BOND_INFO,   SVAB_DEV_RESET
};
#define N_OPS (sizeof(ops) / sizeof(ops[0]))

static uint64_t cookies[COOKIES]; /* shared by all, so that they meet */
static uint32_t devices[DEVICES]; /* as they are numbered now: who came back has a new id */
static uint32_t victim;		  /* the device that may be reset */
static unsigned *done;		  /* shared with all of them: how often each of ops, and a mmap, went well */

enum kind { CONTROL, CTX, BOND, N_KINDS };

struct fuzzer {
	int fds[FDS];
	enum kind kinds[FDS];
	unsigned n_fds;
	uint64_t bonds[BONDS];
	unsigned n_bonds;
	unsigned char *room; /* the argument, at the end of a page: what is read beyond it faults */
};

static int any_fd(const struct fuzzer *f)
{
	return f->n_fds ? f->fds[rnd_below(f->n_fds)] : -1;
}

/* Mostly one that takes the call: what is refused at the door tries little. */
static int fd_for(const struct fuzzer *f, unsigned long op)
{
	enum kind kind = op == SVAB_BIND ? CTX : op == SVAB_UNBIND || op == SVAB_BOND_INFO ? BOND : CONTROL;
	unsigned from = f->n_fds ? rnd_below(f->n_fds) : 0;

	for (unsigned i = 0; i < f->n_fds && rnd_below(40); i++)
		if (f->kinds[(from + i) % f->n_fds] == kind)
			return f->fds[(from + i) % f->n_fds];
	return any_fd(f);
}

static void keep_fd(struct fuzzer *f, int fd, enum kind kind)
{
	unsigned i = f->n_fds;

	if (fd < 0)
		return;
	if (i < FDS) {
		f->n_fds++;
	} else {
		/* The first is a control fd and stays. */
		i = 1 + rnd_below(FDS - 1);
		close(f->fds[i]);
	}
	f->fds[i] = fd;
	f->kinds[i] = kind;
}

static uint64_t any_number(void)
{
	static const uint64_t edges[] = { 0,	      1,	  2,	      0x7fffffff, 0x80000000,
					  0xffffffff, 1ull << 32, UINT64_MAX, 4096,	  1ull << 63 };

	return rnd_below(3) ? edges[rnd_below(10)] : rnd();
}

static uint64_t any_cookie(void)
{
	return rnd_below(8) ? cookies[rnd_below(COOKIES)] : any_number();
}

static uint32_t any_device(void)
{
	return rnd_below(6) ? devices[rnd_below(DEVICES)] : (uint32_t)any_number();
}

/* An argument that is right but for a few of its bytes. */
static void prepare(struct fuzzer *f, unsigned long op, unsigned char *arg, size_t size)
{
	uint32_t head[2] = { (uint32_t)size, 0 };

	memset(arg, 0, size);
	switch (op) {
	case SVAB_CTX_CREATE:
	case SVAB_CTX_REOPEN:
		((struct svab_ctx_create *)(void *)arg)->cookie = any_cookie();
		break;
	case SVAB_CTX_GRANT: {
		struct svab_ctx_grant *g = (void *)arg;

		g->cookie = any_cookie();
		g->device = any_device();
		/* One that no drain can keep to withholds the ctx, and its cookie, until a reset. */
		g->deadline_ms = rnd_below(40) ? 2000 + rnd_below(3000) : (uint32_t)any_number();
		/* A deadline of hours would keep this run from ending if something got stuck. */
		if (g->deadline_ms > 5000)
			g->deadline_ms = rnd_below(2) ? 5000 : UINT32_MAX;
		g->grant = rnd();
		break;
	}
	case SVAB_CTX_REVOKE:
	case SVAB_CTX_REVOKE_GRANT: {
		struct svab_ctx_ref *r = (void *)arg;

		r->cookie = any_cookie();
		r->device = any_device();
		r->cause = rnd_below(12);
		break;
	}
	case SVAB_BOND_REVOKE: {
		struct svab_bond_ref *r = (void *)arg;

		if (f->n_bonds)
			r->bond = f->bonds[rnd_below(f->n_bonds < BONDS ? f->n_bonds : BONDS)];
		r->cause = rnd_below(12);
		break;
	}
	case SVAB_LIST: {
		struct svab_list *l = (void *)arg;

		l->count = rnd_below(70);
		l->entries = rnd_below(4) ? (uintptr_t)(f->room + 8192) : any_number();
		l->cursor = rnd_below(2) ? 0 : any_number();
		break;
	}
	case SVAB_BIND:
		((struct svab_bind *)(void *)arg)->device = any_device();
		break;
	case SVAB_UNBIND:
		((struct svab_unbind *)(void *)arg)->state = rnd_below(6);
		break;
	case SVAB_DEV_RESET:
		((struct svab_dev_reset *)(void *)arg)->device = victim; /* never the bystander's */
		((struct svab_dev_reset *)(void *)arg)->pad = 0;
		break;
	case SVAB_DEV_NEXT:
		((struct svab_dev_info *)(void *)arg)->id = any_device();
		break;
	default:
		break;
	}
	memcpy(arg, head, sizeof(head));
	/* A bond's id is a small number: one wrong byte would name the bystander's. */
	if (op != SVAB_BOND_REVOKE && op != SVAB_DEV_RESET && rnd_below(8) == 0)
		for (unsigned i = rnd_below(6); i; i--)
			arg[rnd_below((uint32_t)size)] = (unsigned char)rnd();
}

static void call_ioctl(struct fuzzer *f)
{
	unsigned which = rnd_below(N_OPS);
	unsigned long op = ops[which];
	size_t size = _IOC_SIZE(op);
	unsigned char *arg = f->room + 4096 - size;
	int r;

	/* These are rare: with one at every turn nothing else would get far. */
	if ((op == SVAB_DEV_RESET && rnd_below(20)) || (op == SVAB_CTX_REVOKE && rnd_below(5)))
		return;
	prepare(f, op, arg, size);
	/* A number of these two, with another's argument, may well name what is the bystander's. */
	if (rnd_below(30) == 0) {
		unsigned nr = rnd_below(256);

		if (nr != _IOC_NR(SVAB_BOND_REVOKE) && nr != _IOC_NR(SVAB_DEV_RESET))
			op = _IOWR(SVAB_IOC, nr, char[8]);
	}
	r = ioctl(fd_for(f, op), op, rnd_below(40) ? arg : (void *)(uintptr_t)any_number());
	if (r < 0)
		return;
	if (op == ops[which])
		__atomic_add_fetch(&done[which], 1, __ATOMIC_RELAXED);
	if (op == SVAB_CTX_CREATE || op == SVAB_CTX_REOPEN)
		keep_fd(f, ((struct svab_ctx_create *)(void *)arg)->fd, CTX);
	if (op == SVAB_BIND) {
		keep_fd(f, ((struct svab_bind *)(void *)arg)->bond_fd, BOND);
		f->bonds[f->n_bonds++ % BONDS] = ((struct svab_bind *)(void *)arg)->bond;
	}
}

static void call_mmap(struct fuzzer *f)
{
	size_t size = (size_t)(1 + rnd_below(3)) * 4096;
	void *p = mmap(NULL, size, (int)rnd_below(4), rnd_below(4) ? MAP_SHARED : MAP_PRIVATE,
		       fd_for(f, SVAB_UNBIND), (off_t)(rnd_below(3) ? 0 : 4096));

	if (p == MAP_FAILED)
		return;
	__atomic_add_fetch(&done[N_OPS], 1, __ATOMIC_RELAXED);
	switch (rnd_below(6)) {
	case 0: { /* what a portal's registers may be told: a ring that is nowhere, a doorbell that is too far
		     ahead */
		volatile uint64_t *reg = p;

		if (write_file("/dev/null", "")) /* a system call between mmap and use */
			reg[SVA_DEMO_REG_RING_BASE / 8] = any_number();
		*(volatile uint32_t *)((char *)p + SVA_DEMO_REG_RING_SIZE) = (uint32_t)any_number();
		*(volatile uint32_t *)((char *)p + SVA_DEMO_REG_ENABLE) = 1;
		*(volatile uint32_t *)((char *)p + SVA_DEMO_REG_DOORBELL) = (uint32_t)any_number();
		break;
	}
	case 1:
		(void)mremap(p, size, size + 4096, MREMAP_MAYMOVE);
		break;
	case 2:
		(void)madvise(p, size, (int)rnd_below(25));
		break;
	case 3:
		(void)mprotect(p, size, (int)rnd_below(8));
		break;
	case 4:
		return; /* stays */
	default:
		break;
	}
	munmap(p, size);
}

static void step(struct fuzzer *f)
{
	char buf[300];
	struct pollfd p;
	pid_t pid;

	switch (rnd_below(100)) {
	case 0: /* a child with copies of everything, that does a little and dies */
		pid = fork();
		if (pid == 0) {
			for (unsigned i = rnd_below(10); i; i--)
				call_ioctl(f);
			_exit(0);
		}
		if (pid > 0)
			waitpid(pid, NULL, 0);
		break;
	case 1:
	case 2:
	case 3: {
		unsigned i = f->n_fds > 1 ? 1 + rnd_below(f->n_fds - 1) : 0;

		if (i) {
			close(f->fds[i]);
			f->fds[i] = f->fds[--f->n_fds];
			f->kinds[i] = f->kinds[f->n_fds];
		}
		break;
	}
	case 4:
	case 5: {
		unsigned i = rnd_below(f->n_fds);

		keep_fd(f, fcntl(f->fds[i], F_DUPFD_CLOEXEC, 3), f->kinds[i]);
		break;
	}
	case 6:
	case 7:
	case 8: {
		int fd = any_fd(f), flags = fcntl(fd, F_GETFL);

		(void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);
		(void)!read(fd, buf, rnd_below(sizeof(buf)));
		break;
	}
	case 9:
		(void)!write(any_fd(f), buf, rnd_below(sizeof(buf)));
		break;
	case 10:
		(void)lseek(any_fd(f), (off_t)any_number(), (int)rnd_below(3));
		break;
	case 11:
	case 12:
		p = (struct pollfd){ .fd = any_fd(f), .events = (short)rnd() };
		(void)poll(&p, 1, 0);
		break;
	default:
		if (rnd_below(6) == 0)
			call_mmap(f);
		else
			call_ioctl(f);
	}
}

static void on_fault(int sig)
{
	_exit(128 + sig); /* a revoked portal, or a mapping without permission: as good an end as any */
}

static void fuzz(void *arg)
{
	struct sigaction sa = { .sa_handler = on_fault };
	unsigned n = *(unsigned *)arg;
	struct fuzzer f = { 0 };

	sigaction(SIGBUS, &sa, NULL);
	sigaction(SIGSEGV, &sa, NULL);
	f.room = mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MUST_SYS(f.room != MAP_FAILED);
	MUST_SYS(mprotect(f.room + 4096, 4096, PROT_NONE) == 0);
	keep_fd(&f, ctl_open(), CONTROL);
	for (unsigned i = 0; i < n; i++)
		step(&f);
}

/* Calls that are all refused try nothing. */
static void check_done(unsigned lives)
{
	static const char *const names[N_OPS + 1] = { "info",	      "next",	"create",      "grant",
						      "revoke_grant", "revoke", "bond_revoke", "list",
						      "reopen",	      "bind",	"unbind",      "bond_info",
						      "reset",	      "mmap" };
	char text[300];
	int len = 0;

	for (unsigned i = 0; i <= N_OPS; i++)
		len += snprintf(text + len, sizeof(text) - (size_t)len, " %s %u", names[i], done[i]);
	note("calls that went well:%s", text);
	if (lives < 10)
		return; /* a run that is this short may have had no luck */
	for (unsigned i = 0; i <= N_OPS; i++)
		if ((i == N_OPS || ops[i] == SVAB_BIND || ops[i] == SVAB_UNBIND) && !done[i])
			FAIL("of all the random calls no %s went well", names[i]);
}

/* Nothing that they do may end the bystander's bond. If something did, this says what. */
static void check_bond(int events, uint64_t bond)
{
	struct svab_event e;

	while (event_next(events, &e, 0))
		if (e.bond == bond)
			FAIL("the bystander's bond: event %u, cause %u", e.type, e.cause);
}

/* Ends what is QUARANTINED: what came to be so meanwhile is the next one's. */
static unsigned reset_all_but(unsigned but)
{
	unsigned left = 0;

	for (unsigned i = 0; i < DEVICES; i++) {
		struct svab_dev_reset reset;
		uint64_t deadline;
		char name[24];
		int r;

		if (i == but)
			continue;
		snprintf(name, sizeof(name), "accel%u", i);
		r = dev_reset(name, &reset);
		if (r == -EBUSY && but < DEVICES)
			continue; /* one of them is at it */
		for (deadline = deadline_in(60000); r == -EBUSY && !past(deadline); nap())
			r = dev_reset(name, &reset); /* a child of theirs may be, which has outlived them */
		MUST_EQ(r, 0);
		left += reset.quarantined;
	}
	return left;
}

static void fuzz_with(unsigned processes, unsigned lives, unsigned steps)
{
	struct kid by, kids[8];
	struct listed all;
	uint64_t bond = 0;
	int events;

	for (int i = 0; i < COOKIES; i++)
		cookies[i] = rnd() | 1;
	for (int i = 0; i < DEVICES; i++) {
		char name[24];

		snprintf(name, sizeof(name), "accel%d", i);
		devices[i] = dev_id(name);
	}
	victim = devices[0];
	done = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	MUST_SYS(done != MAP_FAILED);
	bystander_start(&by, "accel1");
	list_all(&all);
	for (unsigned i = 0; i < all.n; i++)
		if (all.at[i].type == SVAB_LIST_BOND)
			bond = all.at[i].bond;
	free(all.at);
	MUST(bond != 0);
	events = ctl_open();
	for (unsigned i = 0; i < processes; i++)
		kid_start(&kids[i], fuzz, &steps);
	for (unsigned life = processes; life < lives; life++) {
		unsigned i = rnd_below(processes);

		if (rnd_below(2))
			kill(kids[i].pid, SIGKILL);
		(void)kid_reap(&kids[i]);
		kid_start(&kids[i], fuzz, &steps);
		check_bond(events, bond);
		if (life % 16 == 0) {
			bystander_check(&by);
			(void)reset_all_but(1);
		}
	}
	for (unsigned i = 0; i < processes; i++)
		(void)kid_reap(&kids[i]);
	check_bond(events, bond);
	close(events);
	bystander_check(&by);
	kid_end(&by);
	/* Ctxs that a REOPEN or a fork kept alive are gone with their fds; what is QUARANTINED a reset must
	 * end. */
	list_all(&all);
	for (unsigned i = 0; i < all.n; i++)
		if (all.at[i].type == SVAB_LIST_CTX)
			note("ctx %#llx is left", (unsigned long long)all.at[i].cookie);
	free(all.at);
	MUST_EQ(reset_all_but(DEVICES), 0);
	await_idle();
	check_done(lives);
}

void scenario_h_fuzz(void)
{
	fuzz_with(4, rounds(120, 200), 400);
}

void scenario_h_fuzz_alone(void)
{
	/* One process: what a seed finds here, it finds again. */
	fuzz_with(1, rounds(10, 60), 1000);
}
