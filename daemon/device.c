/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "device.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "events.h"

/* More failed stops than this, and more than one in ten drains: the device cannot be trusted to stop. Both
 * figures are the backend's, so a restarted broker comes to the same judgement. */
#define DEGRADED_STOP_FAILURES 3u

struct device *device_find(struct broker *broker, uint32_t id)
{
	struct list *pos;

	list_for_each(pos, &broker->device_list) {
		struct device *device = container_of(pos, struct device, link);

		if (device->info.id == id)
			return device;
	}
	return NULL;
}

struct device *device_find_name(struct broker *broker, const char *name)
{
	struct device *found = NULL;
	struct list *pos;

	/* One that has gone may still be held while another has come by its name. */
	list_for_each(pos, &broker->device_list) {
		struct device *device = container_of(pos, struct device, link);

		if (strcmp(device->info.name, name) == 0 && (!found || found->info.state == SVAB_DEV_GONE))
			found = device;
	}
	return found;
}

struct device *device_update(struct broker *broker, const struct svab_dev_info *info)
{
	struct device *device = device_find(broker, info->id);

	if (!device) {
		device = calloc(1, sizeof(*device));
		if (!device)
			return NULL;
		device->broker = broker;
		list_append(&broker->device_list, &device->link);
	}
	device->info = *info;
	device->info.name[sizeof(device->info.name) - 1] = '\0';
	device->info.bus[sizeof(device->info.bus) - 1] = '\0';
	device->info.reason[sizeof(device->info.reason) - 1] = '\0';
	device->walk = broker->device_walk;
	return device;
}

void device_sweep(struct broker *broker)
{
	struct list *pos, *tmp;

	list_for_each_safe(pos, tmp, &broker->device_list) {
		struct device *device = container_of(pos, struct device, link);

		if (device->walk == broker->device_walk)
			continue;
		if (device->holds || device->bonds) {
			device->info.state = SVAB_DEV_GONE;
			continue;
		}
		list_remove(&device->link);
		free(device);
	}
	broker->device_walk++;
}

void device_free_all(struct broker *broker)
{
	while (!list_empty(&broker->device_list)) {
		struct device *device = container_of(broker->device_list.next, struct device, link);

		list_remove(&device->link);
		free(device);
	}
}

Svad__V1__DeviceHealth device_health(const struct device *device)
{
	const struct svab_dev_info *i = &device->info;

	if (i->state == SVAB_DEV_GONE || i->state == SVAB_DEV_UNUSABLE)
		return SVAD__V1__DEVICE_HEALTH__HEALTH_GONE;
	if (i->state == SVAB_DEV_RESETTING || device->resetting)
		return SVAD__V1__DEVICE_HEALTH__HEALTH_RESETTING;
	if (device->quarantined ||
	    (i->stop_failures >= DEGRADED_STOP_FAILURES && i->stop_failures * 10 > i->drained))
		return SVAD__V1__DEVICE_HEALTH__HEALTH_DEGRADED;
	return SVAD__V1__DEVICE_HEALTH__HEALTH_OK;
}

void device_reason(const struct device *device, char *buf, size_t size)
{
	const struct svab_dev_info *i = &device->info;

	buf[0] = '\0';
	if (i->reason[0])
		snprintf(buf, size, "%s", i->reason);
	else if (i->state == SVAB_DEV_GONE)
		snprintf(buf, size, "the device has vanished");
	else if (i->state == SVAB_DEV_RESETTING || device->resetting)
		snprintf(buf, size, "a reset is under way");
	else if (device->quarantined)
		snprintf(buf, size, "%u PASID%s quarantined: it did not stop in time; svadctl %s %s",
			 device->quarantined, device->quarantined == 1 ? "" : "s",
			 i->caps & SVAB_DEV_CAP_CAN_RESET ? "device reset" : "quarantine release --device",
			 i->name);
	else if (device_health(device) == SVAD__V1__DEVICE_HEALTH__HEALTH_DEGRADED)
		snprintf(buf, size, "%llu of %llu stops failed or were late; svadctl device reset %s",
			 (unsigned long long)i->stop_failures,
			 (unsigned long long)(i->drained + i->stop_failures), i->name);
}

uint32_t device_max_bonds(const struct device *device)
{
	const struct config_device *c = config_device(device->broker->config, device->info.name);

	return c ? c->max_bonds : device->info.max_bonds;
}

uint32_t device_deadline_ms(const struct device *device)
{
	const struct config_device *c = config_device(device->broker->config, device->info.name);

	if (c && c->drain_deadline_ms)
		return c->drain_deadline_ms;
	if (!c && device->info.drain_deadline_ms)
		return device->info.drain_deadline_ms;
	return device->broker->config->drain_deadline_ms;
}

/* ---- NUMA distances, read once before the sandbox closes ---- */

#define NUMA_MAX 64

static uint8_t numa_table[NUMA_MAX][NUMA_MAX];

void numa_load(void)
{
	int node;

	for (node = 0; node < NUMA_MAX; node++) {
		char path[64], text[512], *at = text, *end;
		ssize_t n;
		int to, fd;

		snprintf(path, sizeof(path), "/sys/devices/system/node/node%d/distance", node);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		n = read(fd, text, sizeof(text) - 1);
		close(fd);
		if (n <= 0)
			continue;
		text[n] = '\0';
		for (to = 0; to < NUMA_MAX; to++, at = end) {
			unsigned long d = strtoul(at, &end, 10);

			if (end == at)
				break;
			numa_table[node][to] = d > 255 ? 255 : (uint8_t)d;
		}
	}
}

int numa_distance(int from, int to)
{
	if (from == to)
		return 10;
	if (from < 0 || to < 0 || from >= NUMA_MAX || to >= NUMA_MAX || !numa_table[from][to])
		return 20;
	return numa_table[from][to];
}

/* ---- choice ---- */

static bool device_bindable(const struct device *device)
{
	Svad__V1__DeviceHealth health = device_health(device);
	uint32_t max = device_max_bonds(device);

	return (health == SVAD__V1__DEVICE_HEALTH__HEALTH_OK ||
		health == SVAD__V1__DEVICE_HEALTH__HEALTH_DEGRADED) &&
	       (!max || device->holds < max);
}

/* True when a is the better choice. */
static bool device_better(const struct device *a, const struct device *b, int numa_node)
{
	bool degraded_a = device_health(a) != SVAD__V1__DEVICE_HEALTH__HEALTH_OK;
	bool degraded_b = device_health(b) != SVAD__V1__DEVICE_HEALTH__HEALTH_OK;
	uint64_t load_a, load_b;

	if (degraded_a != degraded_b)
		return degraded_b;
	if (numa_node >= 0) {
		int da = numa_distance(numa_node, a->info.numa_node),
		    db = numa_distance(numa_node, b->info.numa_node);

		if (da != db)
			return da < db;
	}
	/* holds per engine, compared without dividing */
	load_a = (uint64_t)a->holds * (b->info.engines ? b->info.engines : 1);
	load_b = (uint64_t)b->holds * (a->info.engines ? a->info.engines : 1);
	if (load_a != load_b)
		return load_a < load_b;
	return a->info.id < b->info.id;
}

struct device *device_select(struct broker *broker, struct client *client, uint64_t operations,
			     uint64_t capabilities, int numa_node, enum policy_why *ret_why)
{
	struct device *best = NULL;
	struct list *pos;

	*ret_why = POLICY_ALLOWS;
	list_for_each(pos, &broker->device_list) {
		struct device *device = container_of(pos, struct device, link);
		struct policy_verdict verdict;

		if ((device->info.operations & operations) != operations ||
		    (device->info.caps & capabilities) != capabilities)
			continue;
		if (!device_bindable(device) || (best && !device_better(device, best, numa_node)))
			continue;
		client_policy(client, device, &verdict);
		if (!verdict.allowed) {
			*ret_why = verdict.why;
			continue;
		}
		best = device;
	}
	return best;
}
