/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_CTL_DOCTOR_H
#define SVAD_CTL_DOCTOR_H
/*
 * svadctl doctor: findings (doctor.c) and the probes that make them, a file for each part of the machine. Probes only look: nothing is loaded,
 * created or changed, with one exception that doctor_vfio.c names. For each reason that SVA can be off there is one line of cause and
 * one of remedy. Single-threaded.
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "machine.h"
#include "svad.pb-c.h"

enum level {
	LEVEL_OK,
	LEVEL_INFO,    /* so it is, neither good nor bad */
	LEVEL_WARN,    /* works, with less */
	LEVEL_MISSING, /* hardware would need it; the simulated backend does not */
	LEVEL_FAIL,    /* the backend that is configured cannot serve */
	LEVEL_UNKNOWN, /* could not be found out */
};

enum section { SECTION_DAEMON, SECTION_SIM, SECTION_CONTAINERS, SECTION_HARDWARE, N_SECTIONS };

struct doctor;

/* One finding. remedy: one line, NULL: none is needed. */
void doctor_say(struct doctor *d, enum section section, enum level level, const char *id, const char *remedy,
		const char *fmt, ...) __attribute__((format(printf, 6, 7)));

void doctor_probe_sim(struct doctor *d); /* what the simulated backend needs of this machine */

struct ctl;
struct rpc;
/* Containers: kernel, daemon (rpc NULL: it cannot be asked), runtimes. */
void doctor_containers(struct doctor *d, const struct ctl *ctl, const struct machine *m, struct rpc *rpc);

/* Its part on the CNI plugin. registered: there are containers, so somebody registers them. */
void doctor_runtimes(struct doctor *d, const struct machine *m, bool registered);

/* The kernel module says why a device cannot be used; what to do about it is said here. NULL: not known. */
const char *doctor_device_remedy(const char *reason);

/* What real hardware needs: doctor_hardware.c, which calls the others. */
void doctor_probe_hardware(struct doctor *d, const struct machine *m);
void doctor_config(struct doctor *d, const struct machine *m);	/* the kernel's configuration */
unsigned doctor_iommu(struct doctor *d, const struct machine *m); /* IOMMUs and what is behind; how many SMMUv3s are active */
void doctor_log(struct doctor *d, const struct machine *m, unsigned smmuv3s); /* what the kernel said */

/* Devices that are bound to vfio; reply: the daemon's, NULL: it was not asked, or why it could not be. */
void doctor_vfio(struct doctor *d, const struct machine *m, const Svad__V1__ProbeHardwareReply *reply, const char *why);

#endif
