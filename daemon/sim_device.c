/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sim_device.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "sim_bond.h"
#include "sim_control.h"
#include "sim_event.h"
#include "sim_worker.h"

static void (*on_activity)(struct sim_device *device);

static void activity_note(struct sim_note *note)
{
	struct sim_device *d = container_of(note, struct sim_device, activity_note);

	atomic_store(&d->activity_posted, false);
	if (on_activity)
		on_activity(d);
}

void sim_device_activity(struct sim_device *device)
{
	if (!atomic_load(&device->watched) || atomic_exchange(&device->activity_posted, true))
		return;
	sim_post(&device->activity_note);
}

void sim_device_on_activity(void (*fn)(struct sim_device *device))
{
	on_activity = fn;
}

static uint64_t device_caps(const struct config_device *c)
{
	uint64_t caps = c->capabilities | SVAB_DEV_CAP_SIMULATED;

	if (c->portal)
		caps |= SVAB_DEV_CAP_PORTAL;
	if (c->stop != STOP_NONE)
		caps |= SVAB_DEV_CAP_CAN_STOP;
	if (c->stop == STOP_CLEAN)
		caps |= SVAB_DEV_CAP_STOP_CLEAN;
	if (c->reset)
		caps |= SVAB_DEV_CAP_CAN_RESET;
	return caps;
}

static int device_init(struct sim_device *d, uint32_t id, const struct config_device *c)
{
	d->id = id;
	snprintf(d->name, sizeof(d->name), "%s", c->name);
	d->config = c;
	d->caps = device_caps(c);
	d->max_pasid = (1u << c->pasid_bits) - 1;
	d->n_slots = c->engines < SIM_MAX_ENGINES ? c->engines : SIM_MAX_ENGINES;
	list_init(&d->bonds);
	list_init(&d->waiters);
	pthread_mutex_init(&d->lock, NULL);
	d->activity_note.run = activity_note;
	return idmap_init(&d->by_mm);
}

int sim_devices_init(void)
{
	int r;

	if (sim.config->n_devices > SIM_MAX_DEVICES) {
		log_err("%zu devices are configured; the simulation has room for %u", sim.config->n_devices,
			SIM_MAX_DEVICES);
		return -E2BIG;
	}
	sim.devices = calloc(sim.config->n_devices, sizeof(*sim.devices));
	if (!sim.devices)
		return -ENOMEM;
	for (uint32_t i = 0; i < sim.config->n_devices; i++) {
		r = device_init(&sim.devices[i], i + 1, &sim.config->devices[i]);
		if (r < 0)
			return r;
		sim.n_devices++;
	}
	return 0;
}

void sim_devices_deinit(void)
{
	for (uint32_t i = 0; i < sim.n_devices; i++) {
		idmap_deinit(&sim.devices[i].by_mm);
		pthread_mutex_destroy(&sim.devices[i].lock);
	}
	free(sim.devices);
	sim.devices = NULL;
	sim.n_devices = 0;
}

struct sim_device *sim_device_find(uint32_t id)
{
	return id && id <= sim.n_devices ? &sim.devices[id - 1] : NULL;
}

struct sim_device *sim_device_by_name(const char *name)
{
	for (uint32_t i = 0; i < sim.n_devices; i++)
		if (!strcmp(sim.devices[i].name, name))
			return &sim.devices[i];
	return NULL;
}

void sim_device_info(struct sim_device *d, struct svab_dev_info *ret)
{
	*ret = (struct svab_dev_info){
		.id = d->id,
		.numa_node = d->config->numa_node,
		.pasid_bits = d->config->pasid_bits,
		.state = d->state,
		.caps = d->caps,
		.operations = d->config->operations,
		.engines = d->n_slots,
		.bonds = d->n_bonds,
		.draining = d->draining,
		.quarantined = d->quarantined,
		.max_bonds = d->config->max_bonds,
		.drain_deadline_ms = d->config->drain_deadline_ms,
		.jobs = atomic_load(&d->jobs),
		.bytes = atomic_load(&d->bytes),
		.faults = atomic_load(&d->faults),
		.errors = atomic_load(&d->errors),
		.stop_failures = d->stop_failures,
		.drained = d->drained,
		.bus = "sim",
	};
	pthread_mutex_lock(&d->lock);
	ret->engines_busy = d->slots_busy;
	pthread_mutex_unlock(&d->lock);
	memcpy(ret->name, d->name, sizeof(ret->name));
	if (d->state == SVAB_DEV_GONE)
		snprintf(ret->reason, sizeof(ret->reason), "the device has vanished");
}

/* Every bond of it ends, or leaves quarantine, by the device's death or reset. */
static void bonds_reset(struct sim_device *d, enum svab_cause cause)
{
	struct list *l, *next;

	list_for_each_safe(l, next, &d->bonds)
		sim_bond_device_reset(container_of(l, struct sim_bond, of_device), cause);
}

int sim_device_reset(struct sim_device *d, uint32_t seq)
{
	if (d->state == SVAB_DEV_GONE)
		return -ENODEV;
	if (!d->config->reset)
		return -EOPNOTSUPP;
	if (d->resetting)
		return -EBUSY;
	d->reset_before = d->drained;
	bonds_reset(d, SVAB_CAUSE_DEVICE_RESET);
	d->reset_seq = seq;
	d->resetting = true;
	sim_device_reset_settle(d);
	return 0;
}

void sim_device_reset_settle(struct sim_device *d)
{
	struct svab_event e = { .type = SVAB_EV_DEV_RESET, .device = d->id };
	struct svab_dev_reset reset = { .size = sizeof(reset), .device = d->id };

	if (!d->resetting || d->draining || d->reset_waits)
		return;
	d->resetting = false;
	reset.clean = (uint32_t)(d->drained - d->reset_before);
	reset.quarantined = d->quarantined;
	e.value = reset.clean;
	d->stop_failures = 0;
	sim_event(&e);
	log_notice("%s was reset: %u bonds became CLEAN, %u are still quarantined", d->name, reset.clean,
		   reset.quarantined);
	sim_control_answer_reset(d->reset_seq, &reset);
	d->reset_seq = 0;
}

int sim_device_vanish(struct sim_device *d)
{
	struct svab_event e = { .type = SVAB_EV_DEV_GONE, .device = d->id };

	if (d->state == SVAB_DEV_GONE)
		return -EALREADY;
	d->state = SVAB_DEV_GONE;
	sim_event(&e);
	bonds_reset(d, SVAB_CAUSE_DEVICE_GONE);
	return 0;
}

int sim_device_return(struct sim_device *d)
{
	struct svab_event e = { .type = SVAB_EV_DEV_ADDED, .device = d->id };

	if (d->state != SVAB_DEV_GONE)
		return -EALREADY;
	d->state = SVAB_DEV_OK;
	sim_event(&e);
	return 0;
}
