/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_CTL_DEVICE_HW_H
#define SVAD_CTL_DEVICE_HW_H
/* svadctl device show: what the machine itself tells of a device that is real. Single-threaded. */
#include <jansson.h>
#include <stdbool.h>

#include "ctl.h"
#include "rpc.h"

/* Lines for a device of svad's, found by its name among those behind the IOMMUs; none when it is not there (another machine's sysfs, a
 * container's). */
void device_hw_print(const Svad__V1__Device *device);
void device_hw_json(const char *name, json_t *into);

/* Is there a device of this name (or of this /dev/vfio/devices node) that is bound to vfio? */
bool device_is_vfio(const char *name);
/* Has it looked at, and shows it. Exit code. */
int device_vfio_show(const struct ctl *ctl, struct rpc *rpc, const char *name);

#endif
