// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "units.h"

static uint64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t units_now(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

char *units_ns(uint64_t ns, char buf[UNITS_MAX])
{
	uint64_t s = ns / 1000000000u;

	if (ns < 1000)
		snprintf(buf, UNITS_MAX, "%u ns", (unsigned)ns);
	else if (ns < 999950)
		snprintf(buf, UNITS_MAX, "%.1f us", (double)ns / 1e3);
	else if (ns < 999950000u)
		snprintf(buf, UNITS_MAX, "%.1f ms", (double)ns / 1e6);
	else if (s < 60)
		snprintf(buf, UNITS_MAX, "%.1f s", (double)ns / 1e9);
	else if (s < 3600)
		snprintf(buf, UNITS_MAX, "%u min %u s", (unsigned)(s / 60), (unsigned)(s % 60));
	else if (s < 48 * 3600)
		snprintf(buf, UNITS_MAX, "%u h %u min", (unsigned)(s / 3600), (unsigned)(s / 60 % 60));
	else
		snprintf(buf, UNITS_MAX, "%llu d %u h", (unsigned long long)(s / 86400),
			 (unsigned)(s / 3600 % 24));
	return buf;
}

char *units_bytes(uint64_t bytes, char buf[UNITS_MAX])
{
	static const char *const unit[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double v = (double)bytes;
	size_t i = 0;

	if (bytes < 1024) {
		snprintf(buf, UNITS_MAX, "%u B", (unsigned)bytes);
		return buf;
	}
	for (v /= 1024; v >= 1023.95 && i + 1 < sizeof(unit) / sizeof(unit[0]); i++)
		v /= 1024;
	snprintf(buf, UNITS_MAX, "%.1f %s", v, unit[i]);
	return buf;
}

char *units_rate(double per_s, const char *unit, char buf[UNITS_MAX])
{
	static const char *const prefix[] = { "", "k", "M", "G", "T" };
	size_t i = 0;

	for (; per_s >= 999.5 && i + 1 < sizeof(prefix) / sizeof(prefix[0]); i++)
		per_s /= 1000;
	if (!i)
		snprintf(buf, UNITS_MAX, per_s >= 100 || per_s < 0.05 ? "%.0f%s%s" : "%.1f%s%s", per_s,
			 *unit ? " " : "", unit);
	else
		snprintf(buf, UNITS_MAX, "%.1f %s%s", per_s, prefix[i], unit);
	return buf;
}

char *units_clock(uint64_t monotonic_ns, char buf[UNITS_MAX])
{
	/* The offset is asked each time: CLOCK_REALTIME may have been set meanwhile. */
	uint64_t real = clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_MONOTONIC) + monotonic_ns;
	time_t s = (time_t)(real / 1000000000u);
	struct tm tm;
	char hms[16] = "";

	if (localtime_r(&s, &tm))
		strftime(hms, sizeof(hms), "%H:%M:%S", &tm);
	snprintf(buf, UNITS_MAX, "%s.%06u", hms, (unsigned)(real % 1000000000u / 1000));
	return buf;
}
