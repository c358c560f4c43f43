/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "log.h"

#include <pthread.h>
#include <stdarg.h>

#include "timer.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static FILE *out;
static bool tracing;

void log_to(FILE *f)
{
	pthread_mutex_lock(&lock);
	out = f;
	pthread_mutex_unlock(&lock);
}

void log_trace(bool on)
{
	__atomic_store_n(&tracing, on, __ATOMIC_RELAXED);
}

bool log_tracing(void)
{
	return __atomic_load_n(&tracing, __ATOMIC_RELAXED);
}

void log_line(const char *fmt, ...)
{
	uint64_t now = now_ns();
	va_list ap;

	pthread_mutex_lock(&lock);
	if (out) {
		fprintf(out, "%llu.%06llu ", (unsigned long long)(now / 1000000000u),
			(unsigned long long)(now % 1000000000u / 1000u));
		va_start(ap, fmt);
		vfprintf(out, fmt, ap);
		va_end(ap);
		fputc('\n', out);
		fflush(out);
	}
	pthread_mutex_unlock(&lock);
}
