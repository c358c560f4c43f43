/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_DEVICE_H
#define SVAD_DEVICE_H
/* What the broker knows of a device, all of it from the backend; and the choice among several. */
#include "broker.h"
#include "policy.h"

struct client;

struct device {
	struct list link; /* broker->device_list, by id */
	struct broker *broker;
	struct svab_dev_info info;
	uint32_t walk; /* of the devices' last naming, broker->device_walk */
	uint32_t holds; /* grants and bonds: its load */
	uint32_t bonds, draining, quarantined; /* as the broker's bonds stand; info's figures are as old as the last refresh */
	bool resetting;
};

struct device *device_find(struct broker *broker, uint32_t id);
struct device *device_find_name(struct broker *broker, const char *name);
/* Adds or refreshes. NULL: no memory. */
struct device *device_update(struct broker *broker, const struct svab_dev_info *info);
/* All devices have been named: what was not is gone, and forgotten once nothing holds it. */
void device_sweep(struct broker *broker);
void device_free_all(struct broker *broker);

Svad__V1__DeviceHealth device_health(const struct device *device);
/* Why it is not HEALTH_OK and what to do; "" when it is. */
void device_reason(const struct device *device, char *buf, size_t size);

/* As configured now, else as the backend says: how many bonds it may have (0: any number), how long a drain may take. */
uint32_t device_max_bonds(const struct device *device);
uint32_t device_deadline_ms(const struct device *device);

/* Among the devices that have all operations and capabilities, that policy allows and that can be bound at all: healthy before
 * degraded, then nearest to numa_node (-1: any), then least loaded for its engines, then lowest id. NULL: none; ret_why then tells why
 * policy refused one that would have done, POLICY_ALLOWS: there is none such. */
struct device *device_select(struct broker *broker, struct client *client, uint64_t operations, uint64_t capabilities, int numa_node,
			     enum policy_why *ret_why);

/* Distance of two NUMA nodes as the firmware tells it (sysfs), 10 for the same, 20 where nothing is known. */
int numa_distance(int from, int to);
void numa_load(void);

#endif
