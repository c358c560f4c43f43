/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef VM_HW_LOG_H
#define VM_HW_LOG_H
/* The log of vm-hw: violations always, commands and events and slots with `trace on`. Thread-safe. */
#include <stdbool.h>
#include <stdio.h>

void log_to(FILE *f); /* NULL: nowhere */
void log_trace(bool on);
bool log_tracing(void);
void log_line(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#define trace(...)                                                                                                    \
	do {                                                                                                          \
		if (log_tracing())                                                                                    \
			log_line(__VA_ARGS__);                                                                        \
	} while (0)

#endif
