/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * h: random calls. Several processes make random system calls on every kind of fd of the module, with sizes,
 * flags, ids and addresses that are right, nearly right or nonsense, fork, pass fds around, and die in the
 * middle. There is nothing to expect of a single call; of the whole, that the kernel stays whole, that
 * nothing is left, and that a bystander's bytes are right throughout.
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
#define COOKIES 6

static const unsigned long ops[] = {
	SVAB_INFO,	 SVAB_DEV_NEXT,	   SVAB_CTX_CREATE, SVAB_CTX_GRANT,  SVAB_CTX_REVOKE_GRANT,
	SVAB_CTX_REVOKE, SVAB_BOND_REVOKE, SVAB_LIST,	    SVAB_CTX_REOPEN, SVAB_BIND,
	SVAB_UNBIND,	 SVAB_BOND_INFO,   SVAB_DEV_RESET
};
#define N_OPS (sizeof(ops) / sizeof(ops[0]))

static uint64_t cookies[COOKIES]; /* shared by all, so that they meet */
static uint32_t victim;		  /* the device that may be reset */

struct fuzzer {
	int fds[FDS];
	unsigned n_fds;
	uint64_t bonds[16];
	unsigned char *room; /* the argument, at the end of a page: what is read beyond it faults */
};

static int any_fd(const struct fuzzer *f)
{
	return f->n_fds ? f->fds[rnd_below(f->n_fds)] : -1;
}

static void keep_fd(struct fuzzer *f, int fd)
{
	if (fd < 0)
		return;
	if (f->n_fds < FDS) {
		f->fds[f->n_fds++] = fd;
		return;
	}
	/* The first is a control fd and stays. */
	{
		unsigned i = 1 + rnd_below(FDS - 1);

		close(f->fds[i]);
		f->fds[i] = fd;
	}
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
	return rnd_below(6) ? 1 + rnd_below(4) : (uint32_t)any_number();
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
		g->deadline_ms = rnd_below(4) ? 2000 + rnd_below(3000) : (uint32_t)any_number();
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
	case SVAB_BOND_REVOKE:
		((struct svab_bond_ref *)(void *)arg)->bond = f->bonds[rnd_below(16)];
		break;
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
	unsigned long op = ops[rnd_below(N_OPS)];
	size_t size = _IOC_SIZE(op);
	unsigned char *arg = f->room + 4096 - size;
	int r;

	/* Resets are rare: with one at every turn nothing else would get far. */
	if (op == SVAB_DEV_RESET && rnd_below(20))
		return;
	prepare(f, op, arg, size);
	if (rnd_below(30) == 0)
		op = _IOWR(SVAB_IOC, rnd_below(256), char[8]);
	r = ioctl(any_fd(f), op, rnd_below(40) ? arg : (void *)(uintptr_t)any_number());
	if (r < 0)
		return;
	if (op == SVAB_CTX_CREATE || op == SVAB_CTX_REOPEN)
		keep_fd(f, ((struct svab_ctx_create *)(void *)arg)->fd);
	if (op == SVAB_BIND) {
		keep_fd(f, ((struct svab_bind *)(void *)arg)->bond_fd);
		f->bonds[rnd_below(16)] = ((struct svab_bind *)(void *)arg)->bond;
	}
}

static void call_mmap(struct fuzzer *f)
{
	size_t size = (size_t)(1 + rnd_below(3)) * 4096;
	void *p = mmap(NULL, size, (int)rnd_below(4), rnd_below(4) ? MAP_SHARED : MAP_PRIVATE, any_fd(f),
		       (off_t)(rnd_below(3) ? 0 : 4096));

	if (p == MAP_FAILED)
		return;
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
		}
		break;
	}
	case 4:
	case 5:
		keep_fd(f, fcntl(any_fd(f), F_DUPFD_CLOEXEC, 3));
		break;
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
	keep_fd(&f, ctl_open());
	for (unsigned i = 0; i < n; i++)
		step(&f);
}

static void fuzz_with(unsigned processes, unsigned lives, unsigned steps)
{
	struct kid by, kids[8];
	struct listed all;

	for (int i = 0; i < COOKIES; i++)
		cookies[i] = rnd() | 1;
	victim = dev_id("accel0");
	bystander_start(&by, "accel1");
	for (unsigned i = 0; i < processes; i++)
		kid_start(&kids[i], fuzz, &steps);
	for (unsigned life = processes; life < lives; life++) {
		unsigned i = rnd_below(processes);

		if (rnd_below(2))
			kill(kids[i].pid, SIGKILL);
		(void)kid_reap(&kids[i]);
		kid_start(&kids[i], fuzz, &steps);
		if (life % 16 == 0)
			bystander_check(&by);
	}
	for (unsigned i = 0; i < processes; i++)
		(void)kid_reap(&kids[i]);
	bystander_check(&by);
	kid_end(&by);
	/* Ctxs that a REOPEN or a fork kept alive are gone with their fds; what is QUARANTINED a reset must
	 * end. */
	list_all(&all);
	for (unsigned i = 0; i < all.n; i++)
		if (all.at[i].type == SVAB_LIST_CTX)
			note("ctx %#llx is left", (unsigned long long)all.at[i].cookie);
	free(all.at);
	for (int i = 0; i < 4; i++) {
		struct svab_dev_reset reset;
		char name[24];

		snprintf(name, sizeof(name), "accel%d", i);
		MUST_EQ(dev_reset(name, &reset), 0);
		MUST_EQ(reset.quarantined, 0);
	}
	await_idle();
}

void scenario_h_fuzz(void)
{
	fuzz_with(4, rounds(40, 400), 400);
}

void scenario_h_fuzz_alone(void)
{
	/* One process: what a seed finds here, it finds again. */
	fuzz_with(1, rounds(10, 60), 1000);
}
