// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * svadctl doctor: what the kernel's log says of SMMUv3s and of svad's module. The SMMUv3 driver decides on
 * its own whether it offers SVA, and its log line about its features is the only place where that can be
 * seen.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doctor.h"

/* Bits of "features 0x..." in the driver's line; the same in every kernel from 6.12 to 7.2. */
#define FEAT_2_LVL_CDTAB (1u << 1)
#define FEAT_COHERENCY (1u << 8)
#define FEAT_STALLS (1u << 11)
#define FEAT_STALL_FORCE (1u << 13)
#define FEAT_SVA (1u << 17)

#define DRIVER "arm-smmu-v3 "

/* Other lines of the driver that tell why something is off. who: the SMMUv3's name in the log. */
static const struct sign {
	const char *text; /* the line holds this */
	enum level level;
	const char *means, *remedy;
} driver_signs[] = {
	{ "no evtq irq", LEVEL_MISSING, "it has no event interrupt, so page faults are never seen",
	  "firmware: its node or IORT entry needs the event queue's interrupt" },
	{ "failed to enable evtq irq", LEVEL_MISSING,
	  "its event interrupt cannot be used, so page faults are never seen",
	  "firmware: the event queue's interrupt must be one that this machine has" },
	{ "IDR0.COHACC overridden", LEVEL_WARN, "hardware and firmware disagree whether it is coherent",
	  "firmware: dma-coherent, or IORT's flag, as the hardware is" },
	{ "no translation support", LEVEL_MISSING, "it cannot translate, so the driver gave it up",
	  "another SMMUv3; nothing can be set" },
	{ "AArch64 table format not supported", LEVEL_MISSING,
	  "it does not read the CPUs' page tables, so the driver gave it up",
	  "another SMMUv3; nothing can be set" },
	{ "embedded implementation not supported", LEVEL_MISSING,
	  "its queues are built in, which the driver does not support",
	  "another SMMUv3; nothing can be set" },
	{ "MMIO region too small", LEVEL_MISSING,
	  "the firmware gives too few registers, so the driver gave it up",
	  "firmware: reg must span 128 KiB (64 KiB with the page0-only quirk)" },
	{ "#iommu-cells", LEVEL_MISSING, "its device tree node is not as the driver wants it",
	  "firmware: #iommu-cells = <1>" },
	{ "EVTQ overflow detected", LEVEL_WARN, "events were lost, page faults perhaps among them",
	  "a device that waits for a lost fault: svadctl device reset NAME" },
	{ "Service Failure Mode", LEVEL_MISSING, "it has failed and translates nothing any more",
	  "restart the machine; report it to its maker" },
	{ "failed to enable SMMU interface", LEVEL_MISSING, "it does not answer its driver",
	  "restart the machine; report it to its maker" },
};

/* Why a module does not load, as the kernel's loader says it. */
static const struct sign module_signs[] = {
	{ "svabroker: Unknown symbol", LEVEL_MISSING, "svabroker.ko does not fit this kernel",
	  "build it for this very kernel, with CONFIG_IOMMU_SVA" },
	{ "svabroker: disagrees about version", LEVEL_MISSING, "svabroker.ko does not fit this kernel",
	  "build it for this very kernel" },
	{ "svabroker: version magic", LEVEL_MISSING, "svabroker.ko was built for another kernel",
	  "build it for this very kernel" },
	{ "svabroker: module verification failed", LEVEL_INFO,
	  "svabroker.ko is not signed by a key that this kernel knows; it was loaded all the same", NULL },
	{ "Loading of unsigned module is rejected", LEVEL_WARN, "this kernel loads signed modules only",
	  "sign svabroker.ko with a key that the kernel knows (mokutil enrols one)" },
};

struct reader {
	struct doctor *d;
	unsigned feature_lines;
	bool said[sizeof(driver_signs) / sizeof(driver_signs[0])];
	bool module_said[sizeof(module_signs) / sizeof(module_signs[0])];
	char last_warning[256]; /* of the module */
};

static void say_features(struct reader *r, const char *who, const char *text)
{
	const char *at = strstr(text, "(features "), *oas = strstr(text, "oas ");
	unsigned long features = at ? strtoul(at + 10, NULL, 16) : 0;
	unsigned bits = oas ? (unsigned)strtoul(oas + 4, NULL, 10) : 0;
	bool good = true;

	r->feature_lines++;
	if (!(features & FEAT_COHERENCY)) {
		good = false;
		doctor_say(r->d, SECTION_HARDWARE, LEVEL_MISSING, "smmu-coherent",
			   "if the hardware can: dma-coherent in its device tree node, or IORT's COHACC "
			   "override",
			   "%s does not see the CPUs' caches, so it cannot read their page tables", who);
	} else if (!(features & FEAT_SVA)) {
		good = false;
		doctor_say(
			r->d, SECTION_HARDWARE, LEVEL_MISSING, "smmu-sva",
			"CONFIG_ARM_SMMU_V3_SVA; page size, physical addresses and ASIDs of the CPUs no "
			"wider "
			"than the SMMUv3's",
			"%s (%u address bits): its driver finds that it cannot share the CPUs' page tables",
			who, bits);
	}
	if (!(features & (FEAT_STALLS | FEAT_STALL_FORCE))) {
		good = false;
		doctor_say(r->d, SECTION_HARDWARE, LEVEL_MISSING, "smmu-stall",
			   "an SMMUv3 that can stall; Linux's driver denies PCIe page requests",
			   "%s cannot stall, so page faults of its devices cannot be handled", who);
	}
	if (!(features & FEAT_2_LVL_CDTAB))
		doctor_say(r->d, SECTION_HARDWARE, LEVEL_WARN, "smmu-pasids", NULL,
			   "%s has context descriptors in one level: at most 1024 PASIDs a device", who);
	if (good)
		doctor_say(r->d, SECTION_HARDWARE, LEVEL_OK, "smmu-sva", NULL,
			   "%s is coherent, can stall, and shares the CPUs' page tables, says its driver",
			   who);
}

static void driver_line(struct reader *r, const char *text)
{
	const char *name = text + strlen(DRIVER), *colon = strstr(name, ": ");
	char who[128];

	if (!colon)
		return;
	snprintf(who, sizeof(who), "the SMMUv3 %.*s", (int)(colon - name < 64 ? colon - name : 64), name);
	if (strstr(colon, "(features 0x")) {
		say_features(r, who, colon + 2);
		return;
	}
	for (size_t i = 0; i < sizeof(driver_signs) / sizeof(driver_signs[0]); i++) {
		const struct sign *s = &driver_signs[i];

		if (r->said[i] || !strstr(colon, s->text))
			continue;
		r->said[i] = true;
		doctor_say(r->d, SECTION_HARDWARE, s->level, "smmu-log", s->remedy,
			   "%s: %s (its driver: \"%s\")", who, s->means, colon + 2);
	}
}

static void module_line(struct reader *r, unsigned priority, const char *text)
{
	bool known = false;

	for (size_t i = 0; i < sizeof(module_signs) / sizeof(module_signs[0]); i++) {
		const struct sign *s = &module_signs[i];

		if (!strstr(text, s->text))
			continue;
		known = true;
		if (!r->module_said[i])
			doctor_say(r->d, SECTION_HARDWARE, s->level, "module-log", s->remedy, "%s", s->means);
		r->module_said[i] = true;
	}
	/* Every module from outside the kernel taints it: that is no complaint. */
	if (!known && priority <= 4 && strstr(text, "svabroker") && !strstr(text, "taints kernel"))
		snprintf(r->last_warning, sizeof(r->last_warning), "%s", text);
}

/* A record of /dev/kmsg: "PRIORITY,SEQUENCE,TIME,FLAGS;TEXT"; lines that begin with a space belong to the one
 * before. */
static void record(struct reader *r, char *line)
{
	char *text = strchr(line, ';');
	unsigned priority;

	if (!text || !isdigit((unsigned char)line[0]))
		return;
	priority = (unsigned)strtoul(line, NULL, 10) & 7;
	text++;
	if (!strncmp(text, DRIVER, strlen(DRIVER)))
		driver_line(r, text);
	else
		module_line(r, priority, text);
}

void doctor_log(struct doctor *d, const struct machine *m, unsigned smmuv3s)
{
	struct reader r = { .d = d };
	char *log = machine_log(m), *save = NULL;

	if (!log) {
		doctor_say(d, SECTION_HARDWARE, LEVEL_UNKNOWN, "log",
			   errno == EPERM || errno == EACCES
				   ? "run svadctl doctor as root (kernel.dmesg_restrict keeps others out)"
				   : NULL,
			   "the kernel's log cannot be read: %s", strerror(errno));
		return;
	}
	for (char *line = strtok_r(log, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		record(&r, line);
	if (smmuv3s && !r.feature_lines)
		doctor_say(d, SECTION_HARDWARE, LEVEL_UNKNOWN, "smmu-sva",
			   "journalctl -k -b | grep arm-smmu-v3 may still have it",
			   "the kernel's log does not hold the SMMUv3 driver's line about its features any "
			   "more");
	if (r.last_warning[0])
		doctor_say(d, SECTION_HARDWARE, LEVEL_INFO, "module-log", NULL,
			   "the last that svad's kernel module complained about: %s", r.last_warning);
	free(log);
}
