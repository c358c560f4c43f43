// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdio.h>
#include <string.h>

#include "../../kmod/svabroker.h"
#include "names.h"
#include "svad.pb-c.h"

#define PICK(table, i) ((i) < sizeof(table) / sizeof((table)[0]) && (table)[i] ? (table)[i] : "unknown")

const char *name_state(unsigned state)
{
	static const char *const names[] = { "NONE", "BOUND", "STOPPING", "FLUSHED", "CLEAN", "QUARANTINED" };

	return PICK(names, state);
}

enum style style_state(unsigned state)
{
	switch (state) {
	case SVAD__V1__PASID_STATE__PASID_BOUND:
	case SVAD__V1__PASID_STATE__PASID_CLEAN:
		return STYLE_GREEN;
	case SVAD__V1__PASID_STATE__PASID_STOPPING:
	case SVAD__V1__PASID_STATE__PASID_FLUSHED:
		return STYLE_YELLOW;
	case SVAD__V1__PASID_STATE__PASID_QUARANTINED:
		return STYLE_RED;
	default:
		return STYLE_NONE;
	}
}

const char *name_cause(unsigned cause)
{
	static const char *const names[] = {
		"none",	       "unbind",	 "last close",	  "address space ended",
		"client gone", "container gone", "administrator", "policy",
		"device gone", "device reset",	 "shutdown",
	};

	return PICK(names, cause);
}

const char *name_health(unsigned health)
{
	static const char *const names[] = { "ok", "degraded", "gone", "resetting" };

	return PICK(names, health);
}

enum style style_health(unsigned health)
{
	switch (health) {
	case SVAD__V1__DEVICE_HEALTH__HEALTH_OK:
		return STYLE_GREEN;
	case SVAD__V1__DEVICE_HEALTH__HEALTH_RESETTING:
		return STYLE_YELLOW;
	default:
		return STYLE_RED;
	}
}

const char *name_event(unsigned kind)
{
	static const char *const names[] = {
		[SVAD__V1__EVENT_KIND__EVENT_CLIENT_CONNECTED] = "CLIENT_CONNECTED",
		[SVAD__V1__EVENT_KIND__EVENT_CLIENT_GONE] = "CLIENT_GONE",
		[SVAD__V1__EVENT_KIND__EVENT_GRANTED] = "GRANTED",
		[SVAD__V1__EVENT_KIND__EVENT_BOUND] = "BOUND",
		[SVAD__V1__EVENT_KIND__EVENT_STOPPING] = "STOPPING",
		[SVAD__V1__EVENT_KIND__EVENT_FLUSHED] = "FLUSHED",
		[SVAD__V1__EVENT_KIND__EVENT_CLEAN] = "CLEAN",
		[SVAD__V1__EVENT_KIND__EVENT_QUARANTINED] = "QUARANTINED",
		[SVAD__V1__EVENT_KIND__EVENT_FAULT] = "FAULT",
		[SVAD__V1__EVENT_KIND__EVENT_DEVICE_ADDED] = "DEVICE_ADDED",
		[SVAD__V1__EVENT_KIND__EVENT_DEVICE_GONE] = "DEVICE_GONE",
		[SVAD__V1__EVENT_KIND__EVENT_DEVICE_RESET] = "DEVICE_RESET",
		[SVAD__V1__EVENT_KIND__EVENT_RELOADED] = "RELOADED",
		[SVAD__V1__EVENT_KIND__EVENT_LOST] = "LOST",
		[SVAD__V1__EVENT_KIND__EVENT_BACKEND_DOWN] = "BACKEND_DOWN",
		[SVAD__V1__EVENT_KIND__EVENT_BACKEND_UP] = "BACKEND_UP",
		[SVAD__V1__EVENT_KIND__EVENT_REFUSED] = "REFUSED",
		[SVAD__V1__EVENT_KIND__EVENT_SHUTDOWN] = "SHUTDOWN",
		[SVAD__V1__EVENT_KIND__EVENT_CONTAINER_ADDED] = "CONTAINER_ADDED",
		[SVAD__V1__EVENT_KIND__EVENT_CONTAINER_REMOVED] = "CONTAINER_REMOVED",
	};

	return PICK(names, kind);
}

enum style style_event(unsigned kind)
{
	switch (kind) {
	case SVAD__V1__EVENT_KIND__EVENT_BOUND:
	case SVAD__V1__EVENT_KIND__EVENT_CLEAN:
	case SVAD__V1__EVENT_KIND__EVENT_BACKEND_UP:
		return STYLE_GREEN;
	case SVAD__V1__EVENT_KIND__EVENT_STOPPING:
	case SVAD__V1__EVENT_KIND__EVENT_FLUSHED:
	case SVAD__V1__EVENT_KIND__EVENT_REFUSED:
	case SVAD__V1__EVENT_KIND__EVENT_LOST:
	case SVAD__V1__EVENT_KIND__EVENT_SHUTDOWN:
		return STYLE_YELLOW;
	case SVAD__V1__EVENT_KIND__EVENT_QUARANTINED:
	case SVAD__V1__EVENT_KIND__EVENT_FAULT:
	case SVAD__V1__EVENT_KIND__EVENT_DEVICE_GONE:
	case SVAD__V1__EVENT_KIND__EVENT_BACKEND_DOWN:
		return STYLE_RED;
	default:
		return STYLE_CYAN;
	}
}

const char *name_container_state(unsigned state)
{
	static const char *const names[] = { "active", "removing", "removed" };

	return PICK(names, state);
}

enum style style_container_state(unsigned state)
{
	switch (state) {
	case SVAD__V1__CONTAINER_STATE__CONTAINER_ACTIVE:
		return STYLE_GREEN;
	case SVAD__V1__CONTAINER_STATE__CONTAINER_REMOVING:
		return STYLE_YELLOW;
	default:
		return STYLE_DIM;
	}
}

const char *name_timeline(unsigned kind)
{
	static const char *const names[] = {
		[SVAD__V1__TIMELINE_KIND__TIMELINE_REGISTERED] = "registered",
		[SVAD__V1__TIMELINE_KIND__TIMELINE_FIRST_BIND] = "first bind",
		[SVAD__V1__TIMELINE_KIND__TIMELINE_CLIENT_GONE] = "client gone",
		[SVAD__V1__TIMELINE_KIND__TIMELINE_REMOVE_ASKED] = "removal asked",
		[SVAD__V1__TIMELINE_KIND__TIMELINE_BOND_END] = "bond ended",
		[SVAD__V1__TIMELINE_KIND__TIMELINE_REMOVED] = "removed",
		[SVAD__V1__TIMELINE_KIND__TIMELINE_NETNS_DEAD] = "network namespace dead",
		[SVAD__V1__TIMELINE_KIND__TIMELINE_QUARANTINE_END] = "quarantine ended",
		[SVAD__V1__TIMELINE_KIND__TIMELINE_RESTORED] = "restored",
	};

	return PICK(names, kind);
}

const char *name_fault(unsigned code)
{
	static const char *const names[] = {
		[SVAB_FAULT_NONE] = "none",
		[SVAB_FAULT_UNMAPPED] = "no mapping there",
		[SVAB_FAULT_PERMISSION] = "permission denied",
		[SVAB_FAULT_DESCRIPTOR] = "bad descriptor",
		[SVAB_FAULT_RING] = "bad ring",
		[SVAB_FAULT_MM_GONE] = "address space ended",
	};

	return PICK(names, code);
}

struct bit_name {
	uint64_t bit;
	const char *name;
};

static char *bits(uint64_t value, const struct bit_name *names, size_t n, char *buf, size_t size)
{
	size_t used = 0;

	buf[0] = 0;
	for (size_t i = 0; i < n; i++) {
		int w;

		if (!(value & names[i].bit))
			continue;
		w = snprintf(buf + used, size - used, "%s%s", used ? " " : "", names[i].name);
		if (w < 0 || (size_t)w >= size - used)
			break;
		used += (size_t)w;
	}
	return buf;
}

char *name_operations(uint64_t value, char *buf, size_t size)
{
	static const struct bit_name names[] = {
		{ 1u << SVAD__V1__OPERATION__OP_COPY, "copy" },
		{ 1u << SVAD__V1__OPERATION__OP_FILL, "fill" },
		{ 1u << SVAD__V1__OPERATION__OP_CRC32C, "crc32c" },
		{ 1u << SVAD__V1__OPERATION__OP_COMPARE, "compare" },
		{ 1u << SVAD__V1__OPERATION__OP_NOP, "nop" },
	};

	return bits(value, names, sizeof(names) / sizeof(names[0]), buf, size);
}

char *name_capabilities(uint64_t value, char *buf, size_t size)
{
	static const struct bit_name names[] = {
		{ SVAB_DEV_CAP_STALL, "stall" },
		{ SVAB_DEV_CAP_PRI, "pri" },
		{ SVAB_DEV_CAP_ATS, "ats" },
		{ SVAB_DEV_CAP_CAN_STOP, "stop" },
		{ SVAB_DEV_CAP_STOP_CLEAN, "stop-clean" },
		{ SVAB_DEV_CAP_CAN_RESET, "reset" },
		{ SVAB_DEV_CAP_PORTAL, "portal" },
		{ SVAB_DEV_CAP_SIMULATED, "simulated" },
	};

	return bits(value, names, sizeof(names) / sizeof(names[0]), buf, size);
}
