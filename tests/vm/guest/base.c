/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What every program in the guest has: how it ends, time, chance. */
#include "vm.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct vm vm = { .slow = 1, .seed = 1, .bindir = "/usr/bin", .modules = "/lib/modules" };

int report_fd = STDERR_FILENO;

static void report(const char *text, int status)
{
	ssize_t n = write(report_fd, text, strlen(text));

	(void)n; /* the exit status tells as much */
	fflush(stdout);
	_exit(status);
}

void fail(const char *file, int line, const char *fmt, ...)
{
	const char *base = strrchr(file, '/');
	char text[900], all[1000];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	snprintf(all, sizeof(all), "%s:%d: %s\n", base ? base + 1 : file, line, text);
	report(all, EXIT_FAIL);
	__builtin_unreachable();
}

void skip(const char *fmt, ...)
{
	char text[900], all[1000];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	snprintf(all, sizeof(all), "%s\n", text);
	report(all, EXIT_SKIP);
	__builtin_unreachable();
}

void note(const char *fmt, ...)
{
	va_list ap;

	printf("# ");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
}

unsigned rounds(unsigned release, unsigned debug)
{
	return vm.rounds ? vm.rounds : vm.debug ? debug : release;
}

int ms(int n)
{
	return n * (int)vm.slow;
}

uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t deadline_in(int n)
{
	return now_ns() + (uint64_t)ms(n) * 1000000u;
}

bool past(uint64_t deadline)
{
	return now_ns() >= deadline;
}

int ms_left(uint64_t deadline)
{
	uint64_t now = now_ns();

	return now >= deadline ? 0 : (int)((deadline - now) / 1000000u) + 1;
}

void nap(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
}

static uint64_t rnd_state = 1;

void seed_rnd(uint64_t seed)
{
	rnd_state = seed * 0x9e3779b97f4a7c15u + 1;
	for (int i = 0; i < 8; i++)
		rnd();
}

uint64_t rnd(void)
{
	rnd_state ^= rnd_state << 13;
	rnd_state ^= rnd_state >> 7;
	rnd_state ^= rnd_state << 17;
	return rnd_state * 0x2545f4914f6cdd1du;
}

uint32_t rnd_below(uint32_t n)
{
	return (uint32_t)((rnd() >> 32) * n >> 32);
}
