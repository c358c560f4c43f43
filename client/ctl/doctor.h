/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_CTL_DOCTOR_H
#define SVAD_CTL_DOCTOR_H
/*
 * svadctl doctor: findings (doctor.c) and the probes that make them (doctor_probe.c: this machine; doctor.c:
 * the daemon). Probes only look: nothing is loaded, created or changed. Single-threaded.
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

enum level {
	LEVEL_OK,
	LEVEL_INFO,    /* so it is, neither good nor bad */
	LEVEL_WARN,    /* works, with less */
	LEVEL_MISSING, /* hardware would need it; the simulated backend does not */
	LEVEL_FAIL,    /* the simulated backend cannot serve */
	LEVEL_UNKNOWN, /* could not be found out */
};

enum section { SECTION_DAEMON, SECTION_SIM, SECTION_HARDWARE };

struct doctor;

/* One finding. remedy: one line, NULL: none is needed. */
void doctor_say(struct doctor *d, enum section section, enum level level, const char *id, const char *remedy,
		const char *fmt, ...) __attribute__((format(printf, 6, 7)));

void doctor_probe_sim(struct doctor *d);      /* what the simulated backend needs of this machine */
void doctor_probe_hardware(struct doctor *d); /* what real hardware would need */

#endif
