/* SPDX-License-Identifier: GPL-2.0-or-later */
/* f: an SMMU that is slow, late, or refuses a command. */
#include "vm.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE 4096u
#define BYTES (256u << 10)
#define P1 0x1111111111111111u

static void works(void)
{
	unsigned char *p = pages(BYTES);
	struct rbond b;

	bond_open(&b, "accel0");
	run_ok(&b, d_fill(p, P1, BYTES));
	MUST(filled(p, P1, BYTES));
	bond_unbind_clean(&b);
	MUST_SYS(munmap(p, BYTES) == 0);
}

void scenario_f_slow_commands(void)
{
	/* Far from the second after which the driver gives a CMD_SYNC up, and long enough that everything
	 * of an end that is a command is seen to be waited for. */
	static const char *const device[] = { "accel0", "accel1" };
	int events = ctl_open();

	for (unsigned i = 0; i < 2; i++) {
		const struct work work = { .device = device[i], .bytes = BYTES, .loop = true };
		uint64_t pages_before, cmds;
		struct svab_event e;
		struct worker w;

		pages_before = hw_figure(hw("stats %s", device[i]), "pages");
		worker_start(&w, &work);
		hw("wait-pages %s %llu %d", device[i], (unsigned long long)pages_before + 20, ms(20000));
		hw("cmdq delay 5000");
		cmds = hw_figure(hw("stats"), "cmds");
		worker_kill(&w);
		e = event_await_clean(events, w.bond, NULL);
		/* CFGI_CD, TLBI and their CMD_SYNC at the least; each has taken its time. */
		cmds = hw_figure(hw("stats"), "cmds") - cmds;
		MUST(cmds >= 4);
		note("%s: %llu commands of 5 ms each, CLEAN after %.0f ms", device[i],
		     (unsigned long long)cmds, (double)e.value / 1e6);
		works();
		hw("cmdq normal");
	}
	close_fd(&events);
}

void scenario_f_command_error(void)
{
	/*
	 * CERROR_ILL: the SMMU stops, the driver replaces the command by a CMD_SYNC, logs it, and nobody who
	 * gave commands is told. So svad cannot know either: what an end gives its word for then is what the
	 * SMMU was asked to do. The end of an idle process invalidates its configuration twice, when the
	 * address space ends and when it is detached; the first one is refused here.
	 *
	 * The driver waits for a CMD_SYNC with interrupts off, and the SMMU goes on after its error interrupt
	 * only, which CPU 0 has: a process that ends there has to wait until the driver gives up. This one
	 * ends elsewhere.
	 */
	const struct work idle = { .device = "accel0" };
	unsigned n = rounds(5, 5);
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(1, &cpus);
	MUST_SYS(sched_setaffinity(0, sizeof(cpus), &cpus) == 0); /* for those whom it starts, too */
	for (unsigned i = 0; i < n; i++) {
		const uint64_t errors = hw_figure(hw("stats"), "gerrors");
		int events = ctl_open();
		struct worker w;

		worker_start(&w, &idle);
		hw("cmdq error");
		worker_kill(&w);
		(void)event_await_clean(events, w.bond, NULL);
		MUST_EQ(hw_figure(hw("stats"), "gerrors"), errors + 1);
		works();
		close_fd(&events);
	}
}

void scenario_f_late_interrupts(void)
{
	static _Alignas(64) struct sva_demo_completion done;
	static const char *const device[] = { "accel0", "accel1" };
	int events = ctl_open();

	hw("evtq delay 30");
	for (unsigned i = 0; i < 2; i++) {
		const uint64_t irqs = hw_figure(hw("stats"), "irqs");
		unsigned char *p = pages(BYTES);
		struct rbond b;

		MUST_SYS(madvise(p, BYTES, MADV_NOHUGEPAGE) == 0);
		bond_open(&b, device[i]);
		run_ok(&b, d_fill(p, P1, BYTES));
		MUST(filled(p, P1, BYTES));
		MUST(hw_figure(hw("stats"), "irqs") > irqs);
		/* And an end with a fault on its way. */
		memset(&done, 0, sizeof(done));
		MUST_SYS(madvise(p, BYTES, MADV_DONTNEED) == 0);
		submit(&b, d_fill(p, P1, BYTES), &done);
		hw("wait-stall %s 1 %d", device[i], ms(20000));
		MUST_EQ(bond_revoke(b.id), 0);
		(void)event_await_clean(events, b.id, NULL);
		hw("wait-no-stall %s %d", device[i], ms(20000));
		bond_close(&b);
	}
	close_fd(&events);
}

void scenario_f_page_request(void)
{
	/* Mainline's driver has no use for them: it answers each with "denied". */
	unsigned char *p = pages(BYTES);
	int events = ctl_open();
	struct rbond b;

	bond_open(&b, "accel0");
	hw("page-request accel0 %u %#llx", b.pasid, (unsigned long long)(uintptr_t)p);
	hw("wait-pri %d", ms(20000));
	MUST(!present(p));
	run_ok(&b, d_fill(p, P1, BYTES));
	MUST(filled(p, P1, BYTES));
	hw("page-request accel0 %u %#llx", b.pasid, (unsigned long long)(uintptr_t)p);
	MUST_EQ(bond_revoke(b.id), 0);
	(void)event_await_clean(events, b.id, NULL);
	hw("wait-pri %d", ms(20000));
	bond_close(&b);
	close_fd(&events);
	works();
}
