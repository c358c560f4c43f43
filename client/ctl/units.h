/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_CTL_UNITS_H
#define SVAD_CTL_UNITS_H
/*
 * Figures for people. Each writes into buf and returns it; UNITS_MAX bytes are enough for any of them.
 * Thread-safe.
 */
#include <stddef.h>
#include <stdint.h>

#define UNITS_MAX 48

char *units_ns(uint64_t ns, char buf[UNITS_MAX]);	/* "870 ns", "1.2 ms", "3.4 s", "2 h 5 min" */
char *units_bytes(uint64_t bytes, char buf[UNITS_MAX]); /* "512 B", "1.5 MiB" */
char *units_rate(double per_s, const char *unit, char buf[UNITS_MAX]); /* "1.2 k", decimal prefixes */
char *units_clock(uint64_t monotonic_ns,
		  char buf[UNITS_MAX]); /* that moment as local time, "03:12:45.123456" */
uint64_t units_now(void);		/* CLOCK_MONOTONIC */

#endif
