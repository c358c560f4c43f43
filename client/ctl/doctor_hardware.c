// SPDX-License-Identifier: GPL-2.0-or-later
/* svadctl doctor: what SVA on real hardware needs. CPU, kernel and svad's module here; the rest in files of
 * its own. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doctor.h"

#define MODULES_DEP_MAX (16u << 20)

static void probe_kernel(struct doctor *d, const struct machine *m)
{
	unsigned major = 0, minor = 0;

	if (!strcmp(m->arch, "aarch64"))
		doctor_say(d, SECTION_HARDWARE, LEVEL_OK, "architecture", NULL, "the CPU is arm64");
	else
		doctor_say(d, SECTION_HARDWARE, LEVEL_MISSING, "architecture", "an arm64 machine",
			   "the CPU is %s, not arm64", m->arch);
	if (sscanf(m->release, "%u.%u", &major, &minor) != 2)
		doctor_say(d, SECTION_HARDWARE, LEVEL_UNKNOWN, "kernel", NULL,
			   "kernel %s has no version that could be read", m->release);
	else if (major > 6 || (major == 6 && minor >= 12))
		doctor_say(d, SECTION_HARDWARE, LEVEL_OK, "kernel", NULL, "kernel %s (6.12 or later)",
			   m->release);
	else
		doctor_say(d, SECTION_HARDWARE, LEVEL_MISSING, "kernel",
			   "kernel 6.12 or later; Debian 12: bookworm-backports",
			   "kernel %s is older than 6.12", m->release);
}

/* Is it installed where modprobe looks? */
static bool module_installed(const struct machine *m)
{
	char path[256], *text;
	bool found;

	snprintf(path, sizeof(path), "/lib/modules/%s/modules.dep", m->release);
	text = machine_read(m, path, MODULES_DEP_MAX, NULL);
	found = text && strstr(text, "/svabroker.ko");
	free(text);
	return found;
}

static void probe_module(struct doctor *d, const struct machine *m)
{
	char remedy[256];

	if (machine_exists(m, "/dev/svabroker")) {
		doctor_say(d, SECTION_HARDWARE, LEVEL_OK, "module", NULL,
			   "svad's kernel module is loaded: /dev/svabroker");
	} else if (machine_exists(m, "/sys/module/svabroker")) {
		doctor_say(d, SECTION_HARDWARE, LEVEL_MISSING, "module",
			   "mount devtmpfs on /dev, or let udev make the node; in a container: hand it in",
			   "svad's kernel module is loaded, but there is no /dev/svabroker here");
	} else if (module_installed(m)) {
		doctor_say(d, SECTION_HARDWARE, LEVEL_MISSING, "module",
			   "modprobe svabroker; at every boot: a line in /etc/modules-load.d/",
			   "svad's kernel module is installed, but not loaded: no /dev/svabroker");
	} else {
		snprintf(remedy, sizeof(remedy),
			 "build svabroker.ko from kmod/ for kernel %.100s and load it; until then backend = "
			 "sim",
			 m->release);
		doctor_say(d, SECTION_HARDWARE, LEVEL_MISSING, "module", remedy,
			   "svad's kernel module is not installed for this kernel: no /dev/svabroker");
	}
}

void doctor_probe_hardware(struct doctor *d, const struct machine *m)
{
	probe_kernel(d, m);
	doctor_config(d, m);
	doctor_log(d, m, doctor_iommu(d, m));
	if (machine_exists(m, "/dev/iommu"))
		doctor_say(d, SECTION_HARDWARE, LEVEL_OK, "iommufd", NULL, "iommufd is there: /dev/iommu");
	else
		doctor_say(d, SECTION_HARDWARE, LEVEL_INFO, "iommufd",
			   "modprobe iommufd, on a kernel with CONFIG_IOMMUFD",
			   "no /dev/iommu: what the IOMMU of a vfio device can do stays unknown");
	probe_module(d, m);
}
