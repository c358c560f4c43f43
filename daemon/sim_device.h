/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_SIM_DEVICE_H
#define SVAD_SIM_DEVICE_H
/* The simulated devices: made once from the config, alive as long as the process. Loop only. */
#include "sim.h"

int sim_devices_init(void);
void sim_devices_deinit(void);
struct sim_device *sim_device_find(uint32_t id); /* NULL: none */
struct sim_device *sim_device_by_name(const char *name);
void sim_device_info(struct sim_device *device, struct svab_dev_info *ret); /* all but size and flags */

/* SVAB_DEV_RESET: answered (seq) once each of its bonds is CLEAN or QUARANTINED. 0; -EOPNOTSUPP: it has no reset; -ENODEV: gone; -EBUSY: a
 * reset is under way. */
int sim_device_reset(struct sim_device *device, uint32_t seq);
/* A bond's state changed: that may have been what a reset waits for. */
void sim_device_reset_settle(struct sim_device *device);

/* Injected: it vanishes, with all its DMA; it comes back, empty. -EALREADY. */
int sim_device_vanish(struct sim_device *device);
int sim_device_return(struct sim_device *device);

/* Called in the loop when a watched device's activity changed. */
void sim_device_on_activity(void (*fn)(struct sim_device *device));

#endif
