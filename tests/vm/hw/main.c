/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vm-hw: plays an SMMUv3 and accelerators to a guest, in the memory that QEMU shares, until QEMU ends or it
 * is told to. */
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "control.h"
#include "hw.h"
#include "irq.h"
#include "log.h"

static struct hw hw;
static struct irqs irqs;
static atomic_bool quit;

/* ---- polling: quick while something happens, seldom when nothing does ---------------------------- */

/* idle_ns: how long nothing has happened. Other processes need this machine's processors more than we do. */
static void breathe(uint64_t idle_ns)
{
	struct timespec ts = { 0 };

	if (idle_ns < 30000) {
		sched_yield();
		return;
	}
	if (idle_ns < 2000000)
		ts.tv_nsec = 20000;
	else if (idle_ns < 50000000)
		ts.tv_nsec = 60000;
	else
		ts.tv_nsec = 150000;
	nanosleep(&ts, NULL);
}

static void *smmu_thread(void *arg)
{
	uint64_t last = now_ns();

	(void)arg;
	prctl(PR_SET_TIMERSLACK, 1000);
	while (!quit) {
		bool any = false;

		for (unsigned i = 0; i < HW_SMMUS; i++)
			any |= smmu_poll(hw_smmu(&hw, i));
		if (any)
			last = now_ns();
		else
			breathe(now_ns() - last);
	}
	return NULL;
}

static void *accel_thread(void *arg)
{
	uint64_t last = now_ns();

	(void)arg;
	prctl(PR_SET_TIMERSLACK, 1000);
	while (!quit) {
		bool any = false;

		for (unsigned i = 0; i < HW_ACCELS; i++)
			any |= accel_poll(&hw.accels[i]);
		/* What the engines are busy with is theirs: no need to look more often than this. */
		if (any)
			last = now_ns();
		breathe(any ? 100000 : now_ns() - last);
	}
	return NULL;
}

static void *engine_thread(void *arg)
{
	accel_work(arg);
	return NULL;
}

static void *timer_thread(void *arg)
{
	(void)arg;
	timers_run(&hw.timers);
	return NULL;
}

static void *irq_thread(void *arg)
{
	(void)arg;
	irqs_run(&irqs);
	quit = true;
	kill(getpid(), SIGTERM);
	return NULL;
}

static void *control_thread(void *arg)
{
	control_run(arg);
	return NULL;
}

/* ---- starting and ending -------------------------------------------------------------------------- */

static void usage(FILE *f)
{
	fprintf(f, "Usage: vm-hw --ram FILE --size SIZE --control SOCKET [OPTION...]\n"
		   "Plays SMMUv3s and accelerators in the memory of a guest.\n\n"
		   "  --ram FILE        the guest's memory, which QEMU shares\n"
		   "  --size SIZE       its size, as 1G\n"
		   "  --control SOCKET  where to listen for requests (tests/vm/hw/control.c)\n"
		   "  --qtest SOCKET    QEMU's qtest socket, for interrupts; without it there are none\n"
		   "  --qmp SOCKET      QEMU's monitor, to ask for the interrupt controller's path\n"
		   "  --gic PATH        ... which this gives\n"
		   "  --log FILE        violations, and more with the request `trace on`, or\n"
		   "  --trace           from the start\n"
		   "  --accel N:KIND    accelerator N's stop: flushed, clean, nostop\n"
		   "  --slots N         slots of each accelerator\n"
		   "  --stall-max N     transactions that can be stalled at a time\n"
		   "  --no-ats          an SMMU without ATS and PRI\n");
}

static bool parse_size(const char *text, uint64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoull(text, &end, 0);
	if (errno || end == text)
		return false;
	if (*end == 'M')
		*ret <<= 20, end++;
	else if (*end == 'G')
		*ret <<= 30, end++;
	return !*end && *ret;
}

static bool parse_accel(const char *text, struct hw_options *o)
{
	static const struct {
		const char *name;
		uint32_t features;
	} kinds[] = {
		{ "flushed", SVAD_ACCEL_F_STOP | SVAD_ACCEL_F_RESET },
		{ "clean", SVAD_ACCEL_F_STOP | SVAD_ACCEL_F_STOP_CLEAN | SVAD_ACCEL_F_RESET },
		{ "nostop", SVAD_ACCEL_F_RESET },
	};

	if (text[0] < '0' || text[0] >= '0' + (int)HW_GOOD || text[1] != ':')
		return false;
	for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!strcmp(text + 2, kinds[i].name)) {
			o->features[text[0] - '0'] = kinds[i].features;
			return true;
		}
	return false;
}

struct arguments {
	const char *ram, *control, *qtest, *qmp, *gic, *log;
	uint64_t size;
	struct hw_options hw;
};

static bool parse(int argc, char **argv, struct arguments *a)
{
	enum { RAM, SIZE, CONTROL, QTEST, QMP, GIC, LOG, ACCEL, SLOTS, STALL_MAX, NO_ATS, TRACE, HELP };
	static const struct option options[] = {
		{ "ram", required_argument, NULL, RAM },
		{ "size", required_argument, NULL, SIZE },
		{ "control", required_argument, NULL, CONTROL },
		{ "qtest", required_argument, NULL, QTEST },
		{ "qmp", required_argument, NULL, QMP },
		{ "gic", required_argument, NULL, GIC },
		{ "log", required_argument, NULL, LOG },
		{ "accel", required_argument, NULL, ACCEL },
		{ "slots", required_argument, NULL, SLOTS },
		{ "stall-max", required_argument, NULL, STALL_MAX },
		{ "no-ats", no_argument, NULL, NO_ATS },
		{ "help", no_argument, NULL, HELP },
		{ "trace", no_argument, NULL, TRACE },
		{ 0 },
	};
	uint64_t n;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		bool ok = true;

		switch (c) {
		case RAM:
			a->ram = optarg;
			break;
		case SIZE:
			ok = parse_size(optarg, &a->size);
			break;
		case CONTROL:
			a->control = optarg;
			break;
		case QTEST:
			a->qtest = optarg;
			break;
		case QMP:
			a->qmp = optarg;
			break;
		case GIC:
			a->gic = optarg;
			break;
		case LOG:
			a->log = optarg;
			break;
		case ACCEL:
			ok = parse_accel(optarg, &a->hw);
			break;
		case SLOTS:
			ok = parse_size(optarg, &n) && n <= SVAD_ACCEL_SLOTS_MAX;
			if (ok)
				a->hw.slots = (uint32_t)n;
			break;
		case STALL_MAX:
			ok = parse_size(optarg, &n) && n <= SMMU_STALLS_MAX;
			if (ok)
				a->hw.stall_max = (unsigned)n;
			break;
		case NO_ATS:
			a->hw.ats = false;
			break;
		case TRACE:
			log_trace(true);
			break;
		case HELP:
			usage(stdout);
			exit(0);
		default:
			return false;
		}
		if (!ok) {
			fprintf(stderr, "vm-hw: cannot use \"%s\"\n", optarg);
			return false;
		}
	}
	return optind == argc && a->ram && a->size && a->control && (!a->qtest || a->qmp || a->gic);
}

static void start(pthread_t *thread, void *(*fn)(void *), void *arg)
{
	int r = pthread_create(thread, NULL, fn, arg);

	if (!r)
		return;
	fprintf(stderr, "vm-hw: cannot start a thread: %s\n", strerror(r));
	exit(1);
}

int main(int argc, char **argv)
{
	struct arguments a = { 0 };
	pthread_t smmu, accel, timer, irq, control_t, engines[HW_ACCELS * 8];
	struct control *control;
	unsigned n = 0;
	struct ram ram;
	sigset_t set;
	int r, sig;

	hw_options_default(&a.hw);
	if (!parse(argc, argv, &a)) {
		usage(stderr);
		return 1;
	}
	if (a.log) {
		FILE *f = fopen(a.log, "ae");

		if (!f) {
			fprintf(stderr, "vm-hw: %s: %s\n", a.log, strerror(errno));
			return 1;
		}
		log_to(f);
	}
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);

	r = ram_open(&ram, a.ram, HW_RAM_BASE, a.size);
	if (r) {
		fprintf(stderr, "vm-hw: %s: %s\n", a.ram, strerror(-r));
		return 1;
	}
	irqs_init(&irqs, a.qtest, a.qmp, a.gic);
	if (a.qtest) {
		a.hw.irq = irq_raise;
		a.hw.irq_arg = &irqs;
	}
	r = hw_init(&hw, &ram, &a.hw);
	if (r) {
		fprintf(stderr, "vm-hw: the registers are not in %llu bytes of memory: %s\n",
			(unsigned long long)a.size, strerror(-r));
		return 1;
	}
	r = control_new(&control, &hw, a.control);
	if (r) {
		fprintf(stderr, "vm-hw: %s: %s\n", a.control, strerror(-r));
		return 1;
	}

	start(&timer, timer_thread, NULL);
	start(&smmu, smmu_thread, NULL);
	start(&accel, accel_thread, NULL);
	for (unsigned i = 0; i < HW_ACCELS; i++)
		for (unsigned k = 0; k < hw.accels[i].opt.engines; k++)
			start(&engines[n++], engine_thread, &hw.accels[i]);
	start(&control_t, control_thread, control);
	if (a.qtest)
		start(&irq, irq_thread, NULL);
	puts("ready");
	fflush(stdout);

	while (!quit && !sigwait(&set, &sig))
		break;
	quit = true;
	irqs_stop(&irqs);
	if (a.qtest)
		pthread_join(irq, NULL);
	control_stop(control);
	pthread_join(control_t, NULL);
	control_free(control);
	for (unsigned i = 0; i < HW_ACCELS; i++)
		accel_quit(&hw.accels[i]);
	while (n)
		pthread_join(engines[--n], NULL);
	pthread_join(accel, NULL);
	pthread_join(smmu, NULL);
	timers_stop(&hw.timers);
	pthread_join(timer, NULL);
	hw_deinit(&hw);
	irqs_deinit(&irqs);
	ram_close(&ram);
	log_to(NULL);
	return 0;
}
