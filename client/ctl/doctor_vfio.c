// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * svadctl doctor: devices that are bound to vfio. They are not svad's while they are, but what the kernel
 * tells of the IOMMU in front of them tells what that IOMMU could do for others. svad's supervisor has them
 * looked at, which opens each that nobody uses; vfio may reset it then.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doctor.h"
#include "vfio_text.h"

static void say(struct doctor *d, const Svad__V1__VfioDevice *dev)
{
	char own[128], iommu[256];

	vfio_text_own(dev, own, sizeof(own));
	vfio_text_iommu(dev, iommu, sizeof(iommu));
	if (*dev->untold)
		doctor_say(d, SECTION_HARDWARE, LEVEL_INFO, "vfio", vfio_text_remedy(dev->untold),
			   "%s is bound to %s: %s; what its IOMMU can do is not known: %s", dev->name,
			   *dev->driver ? dev->driver : "vfio", own, dev->untold);
	else
		doctor_say(d, SECTION_HARDWARE, LEVEL_INFO, "vfio", NULL,
			   "%s is bound to %s: %s; its IOMMU: %s", dev->name,
			   *dev->driver ? dev->driver : "vfio", own, iommu);
}

/* Without a daemon that could be asked: sysfs alone. */
static void say_here(struct doctor *d, const struct machine *m, const char *why)
{
	struct vfio_os os = vfio_os_linux;
	struct vfio_report *report = malloc(sizeof(*report));

	os.root = m->root;
	if (report && !vfio_probe(&os, false, report))
		for (uint32_t i = 0; i < report->n; i++)
			doctor_say(d, SECTION_HARDWARE, LEVEL_INFO, "vfio",
				   "svad asks the kernel, when it runs as root: see the findings above about "
				   "the daemon",
				   "%s is bound to %s; what its IOMMU can do was not asked: %s",
				   report->facts[i].name,
				   report->facts[i].driver[0] ? report->facts[i].driver : "vfio",
				   why ? why : "svad is not running");
	free(report);
}

void doctor_vfio(struct doctor *d, const struct machine *m, const Svad__V1__ProbeHardwareReply *reply,
		 const char *why)
{
	if (!reply) {
		say_here(d, m, why);
		return;
	}
	for (size_t i = 0; i < reply->n_devices; i++)
		say(d, reply->devices[i]);
	if (reply->more)
		doctor_say(d, SECTION_HARDWARE, LEVEL_INFO, "vfio", NULL,
			   "%u more devices are bound to vfio; they were not looked at", reply->more);
}
