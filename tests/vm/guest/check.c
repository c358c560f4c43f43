/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a scenario may not leave: violations in the model, objects in the module, splats in the kernel's log,
 * fds here. */
#include "vm.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define IDLE_MS 30000
#define ANSWER_MS 10000
#define KMEMLEAK "/sys/kernel/debug/kmemleak"

static int kmsg = -1;
static unsigned fds_before;
static long refs_before[2];
static const char *const modules[2] = { "svabroker", "svad_accel" };

static unsigned count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	while (dir && readdir(dir))
		n++;
	if (dir)
		closedir(dir);
	return n;
}

static void add(char *why, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void add(char *why, size_t size, const char *fmt, ...)
{
	size_t len = strlen(why);
	va_list ap;

	if (len && len + 2 < size) {
		memcpy(why + len, "; ", 3);
		len += 2;
	}
	va_start(ap, fmt);
	vsnprintf(why + len, size - len, fmt, ap);
	va_end(ap);
}

void check_init(void)
{
	kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (kmsg < 0)
		FAIL("/dev/kmsg: %s", strerror(errno));
	lseek(kmsg, 0, SEEK_END);
}

void check_begin(void)
{
	watch_on();
	fds_before = count_fds();
	for (int i = 0; i < 2; i++)
		refs_before[i] = module_refs(modules[i]);
}

/* ---- the kernel's log ---- */

/* Words with which the kernel says that something is wrong with itself: one a line, tests/vm/run reads them
 * here. */
static const char *const splats[] = {
	"BUG:",
	"WARNING:",
	"KASAN",
	"UBSAN",
	"KFENCE",
	"possible circular locking",
	"possible recursive locking",
	"possible irq lock inversion",
	"inconsistent lock state",
	"suspicious RCU",
	"Unable to handle kernel",
	"Internal error:",
	"Oops",
	"Kernel panic",
	"blocked for more than",
	"detected stall", /* rcu_sched or rcu_preempt, "self-" or not: kernels differ */
	"detected expedited stall",
	"register non-static key",
	"soft lockup",
	"refcount_t:",
	"ODEBUG:",
	"list_add corruption",
	"list_del corruption",
	"sleeping function called",
	"scheduling while atomic",
	"held lock freed",
	"still has locks held",
	"Bad page state",
	"bad: scheduling",
	"Memory leak",
	"CMD_SYNC timeout",
};

unsigned check_splats(char *why, size_t size)
{
	char record[4096];
	unsigned n = 0;

	for (;;) {
		ssize_t len = read(kmsg, record, sizeof(record) - 1);
		char *text;

		if (len < 0 && errno == EPIPE) /* overwritten before it was read: go on with what is there */
			continue;
		if (len <= 0)
			return n;
		record[len] = 0;
		text = strchr(record, ';');
		if (!text)
			continue;
		text[1 + strcspn(text + 1, "\n")] = 0;
		for (size_t i = 0; i < sizeof(splats) / sizeof(splats[0]); i++)
			if (strstr(text + 1, splats[i])) {
				if (n++ == 0)
					add(why, size, "the kernel's log: %.300s", text + 1);
				break;
			}
	}
}

/* Two scans: what only a register pointed at during the first is found again by the second. */
void check_kmemleak(char *why, size_t size)
{
	char text[4096], *line, *save = NULL;
	unsigned n = 0;
	ssize_t len;
	int fd;

	if (access(KMEMLEAK, F_OK) < 0)
		return;
	if (!write_file(KMEMLEAK, "scan") || !write_file(KMEMLEAK, "scan")) {
		add(why, size, "%s: %s", KMEMLEAK, strerror(errno));
		return;
	}
	fd = open(KMEMLEAK, O_RDONLY | O_CLOEXEC);
	while (fd >= 0 && (len = read(fd, text, sizeof(text) - 1)) > 0) {
		text[len] = 0;
		for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
			printf("# %s\n", line);
			if (strstr(line, "unreferenced object"))
				n++;
		}
	}
	close_fd(&fd);
	if (n)
		add(why, size, "kmemleak found %u leaks", n);
}

/* ---- the module ---- */

/* Ends whatever a failed scenario left, so that the next one starts clean. */
static void recover(int fd)
{
	struct svab_dev_info dev = { .size = sizeof(dev) };
	struct listed all;

	list_all(&all);
	for (unsigned i = 0; i < all.n; i++)
		if (all.at[i].type == SVAB_LIST_CTX)
			ctx_revoke(all.at[i].cookie, SVAB_CAUSE_ADMIN);
	free(all.at);
	for (uint32_t id = 0;;) {
		dev = (struct svab_dev_info){ .size = sizeof(dev), .id = id };
		if (ioctl(fd, SVAB_DEV_NEXT, &dev) < 0)
			return;
		id = dev.id;
		if (dev.quarantined) {
			struct svab_dev_reset reset = { .size = sizeof(reset), .device = id };

			(void)ioctl(fd, SVAB_DEV_RESET, &reset);
		}
	}
}

static bool idle(int fd, struct svab_info *info)
{
	*info = (struct svab_info){ .size = sizeof(*info) };
	if (ioctl(fd, SVAB_INFO, info) < 0)
		return false;
	return !info->ctxs && !info->bonds && !info->draining && !info->quarantined;
}

/* Waits for the last drains; each of them ends with an event. */
static void check_module(char *why, size_t size)
{
	uint64_t deadline = deadline_in(IDLE_MS);
	struct svab_info info;
	int fd = open("/dev/svabroker", O_RDWR | O_CLOEXEC);

	if (fd < 0) {
		add(why, size, "/dev/svabroker: %s", strerror(errno));
		return;
	}
	for (unsigned tries = 0; !idle(fd, &info); tries++) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		struct svab_event events[16];
		int left = ms_left(deadline);

		if (left == 0 || info.quarantined) {
			add(why, size, "left %u ctxs, %u bonds, %u draining, %u quarantined", info.ctxs,
			    info.bonds, info.draining, info.quarantined);
			recover(fd);
			ctl_close();
			break;
		}
		if (poll(&p, 1, left > 100 ? 100 : left) > 0)
			(void)!read(fd, events, sizeof(events));
	}
	close(fd);
	/* The last reference of a module falls in a work item, after the last event. */
	for (int i = 0; i < 2; i++) {
		deadline = deadline_in(5000);
		while (module_refs(modules[i]) != refs_before[i] && refs_before[i] >= 0 && !past(deadline))
			nap();
		if (refs_before[i] >= 0 && module_refs(modules[i]) != refs_before[i])
			add(why, size, "%s has %ld references, not %ld", modules[i], module_refs(modules[i]),
			    refs_before[i]);
	}
}

static void check_model(char *why, size_t size, bool expect)
{
	char broken[250];
	const char *text;
	unsigned n;

	if (!watch_end(broken, sizeof(broken)))
		add(why, size, "%s", broken);
	n = hw_violations(&text);
	/* Where they are expected they are the point of the scenario, which has looked itself. */
	if (!expect && n)
		add(why, size, "%u violations: %.400s", n, text);
	hw("reset");
}

/* Whoever has ended, each fault is answered. What is on its way may take its time, and so may a drain. */
static void check_stalls(char *why, size_t size)
{
	for (unsigned i = 0; i < 4; i++)
		if (!hw_try(NULL, "wait-answered accel%u %d", i, ms(ANSWER_MS)))
			add(why, size, "%llu faults of accel%u were not answered within %d ms",
			    (unsigned long long)hw_figure(hw("stats accel%u", i), "stalls"), i,
			    ms(ANSWER_MS));
}

void check_end(char *why, size_t size, bool expect_violations)
{
	check_stalls(why, size);
	/* The reset disarms what a failed scenario left: a drain that waits for it would never end. What
	 * comes of that drain counts too. */
	check_model(why, size, expect_violations);
	check_module(why, size);
	check_model(why, size, expect_violations);
	check_splats(why, size);
	if (count_fds() != fds_before)
		add(why, size, "the runner has %u fds, not %u", count_fds(), fds_before);
}
