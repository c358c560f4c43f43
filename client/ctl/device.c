// SPDX-License-Identifier: GPL-2.0-or-later
/* svadctl device list | show | reset */
#include <stdio.h>
#include <string.h>

#include "../../kmod/svabroker.h"
#include "ctl.h"
#include "device_hw.h"
#include "json.h"
#include "names.h"
#include "rpc.h"
#include "table.h"
#include "units.h"

static const struct table_column columns[] = {
	{ "NAME", false, 8, 0 },  { "HEALTH", false, 0, 0 },	  { "BUSY", true, 0, 3 },
	{ "BONDS", true, 0, 0 },  { "DRAINING", true, 0, 2 },	  { "QUARANTINED", true, 0, 0 },
	{ "FAULTS", true, 0, 4 }, { "JOBS", true, 0, 6 },	  { "BYTES", true, 0, 7 },
	{ "NODE", true, 0, 8 },	  { "OPERATIONS", false, 10, 9 }, { "REASON", false, 12, 0 },
};

struct list {
	struct table *table;
	json_t *json;
};

static int list_item(void *userdata, const Svad__V1__Device *d)
{
	struct list *l = userdata;
	char ops[128], bytes[UNITS_MAX];

	if (l->json) {
		json_array_append_new(l->json, json_device(d));
		return CTL_OK;
	}
	table_cell(l->table, STYLE_NONE, "%s", d->name);
	table_cell(l->table, style_health(d->health), "%s", name_health(d->health));
	table_cell(l->table, STYLE_NONE, "%u/%u", d->engines_busy, d->engines);
	if (d->max_bonds)
		table_cell(l->table, STYLE_NONE, "%u/%u", d->bonds, d->max_bonds);
	else
		table_cell(l->table, STYLE_NONE, "%u", d->bonds);
	table_cell(l->table, d->draining ? STYLE_YELLOW : STYLE_NONE, "%u", d->draining);
	table_cell(l->table, d->quarantined ? STYLE_RED : STYLE_NONE, "%u", d->quarantined);
	table_cell(l->table, STYLE_NONE, "%llu", (unsigned long long)d->faults);
	table_cell(l->table, STYLE_NONE, "%llu", (unsigned long long)d->jobs);
	table_cell(l->table, STYLE_NONE, "%s", units_bytes(d->bytes, bytes));
	if (d->numa_node < 0)
		table_cell(l->table, STYLE_DIM, "-");
	else
		table_cell(l->table, STYLE_NONE, "%d", d->numa_node);
	table_cell(l->table, STYLE_NONE, "%s", name_operations(d->operations, ops, sizeof(ops)));
	table_cell(l->table, STYLE_NONE, "%s", d->reason);
	return CTL_OK;
}

int cmd_device_list(struct ctl *ctl, int argc, char **argv)
{
	Svad__V1__AdminListDevices filter = SVAD__V1__ADMIN_LIST_DEVICES__INIT;
	struct list l = { NULL, NULL };
	struct rpc *rpc;
	unsigned width, height;
	int r;

	r = ctl_parse(ctl, argc, argv, NULL, NULL, 0, 0);
	if (r != CTL_GO)
		return r;
	r = rpc_open(ctl, &rpc);
	if (r)
		return r;
	if (ctl->json)
		l.json = json_array();
	else if (table_new(columns, sizeof(columns) / sizeof(columns[0]), &l.table))
		r = CTL_FAILED;
	if (!r)
		r = rpc_devices(rpc, &filter, list_item, &l);
	rpc_close(rpc);
	if (r) {
		json_decref(l.json);
	} else if (l.json) {
		r = json_print(l.json, false);
	} else {
		term_size(&width, &height);
		r = table_print(l.table, stdout, width, 0, "\n") ? CTL_FAILED : CTL_OK;
	}
	table_free(l.table);
	return r;
}

/* ---- show ---- */

/* What to do about a device that is not well; NULL: nothing. Each line is a remedy. */
static void remedies(const Svad__V1__Device *d)
{
	bool reset = d->capabilities & SVAB_DEV_CAP_CAN_RESET;

	if (d->health == SVAD__V1__DEVICE_HEALTH__HEALTH_GONE) {
		printf("What to do     bring the device back (rescan its bus, load its driver); its bonds "
		       "have ended\n");
		return;
	}
	if (d->health == SVAD__V1__DEVICE_HEALTH__HEALTH_RESETTING) {
		printf("What to do     wait: the reset is under way\n");
		return;
	}
	if (d->quarantined) {
		printf("What to do     svadctl quarantine release --device %s   asks it once more to stop\n",
		       d->name);
		if (reset)
			printf("               svadctl device reset %s                  ends all its bonds "
			       "and quarantines\n",
			       d->name);
		else
			printf("               it cannot be reset: unbind its driver, or reboot; the PASIDs "
			       "stay withheld\n");
		return;
	}
	if (d->health == SVAD__V1__DEVICE_HEALTH__HEALTH_DEGRADED) {
		if (reset)
			printf("What to do     it is chosen last; svadctl device reset %s makes it healthy "
			       "again\n",
			       d->name);
		else
			printf("What to do     it is chosen last and cannot be reset: watch it, or take it "
			       "out of use\n");
	}
}

struct show {
	bool json, found;
	int r;
};

static int show_item(void *userdata, const Svad__V1__Device *d)
{
	struct show *s = userdata;
	char buf[256], bytes[UNITS_MAX];

	s->found = true;
	if (s->json) {
		json_t *o = json_device(d);

		if (!(d->capabilities & SVAB_DEV_CAP_SIMULATED))
			device_hw_json(d->name, o);
		s->r = json_print(o, false);
		return CTL_OK;
	}
	printf("%s%s%s  %s%s%s\n", style_on(STYLE_BOLD), d->name, style_off(STYLE_BOLD),
	       style_on(style_health(d->health)), name_health(d->health), style_off(style_health(d->health)));
	if (*d->reason)
		printf("Reason         %s\n", d->reason);
	remedies(d);
	printf("Id             %u on bus %s\n", d->id, *d->bus ? d->bus : "unknown");
	if (d->numa_node < 0)
		printf("NUMA node      none\n");
	else
		printf("NUMA node      %d\n", d->numa_node);
	printf("Operations     %s\n", name_operations(d->operations, buf, sizeof(buf)));
	printf("Capabilities   %s\n", name_capabilities(d->capabilities, buf, sizeof(buf)));
	if (d->engines)
		printf("Engines        %u, %u busy\n", d->engines, d->engines_busy);
	printf("PASID bits     %u\n", d->pasid_bits);
	if (!(d->capabilities & SVAB_DEV_CAP_SIMULATED))
		device_hw_print(d);
	if (d->max_bonds)
		printf("Bonds          %u of at most %u, %u draining, %u quarantined\n", d->bonds,
		       d->max_bonds, d->draining, d->quarantined);
	else
		printf("Bonds          %u, %u draining, %u quarantined\n", d->bonds, d->draining,
		       d->quarantined);
	printf("Drain deadline %u ms\n", d->drain_deadline_ms);
	printf("Drained        %llu bonds, %llu stops failed\n", (unsigned long long)d->drained,
	       (unsigned long long)d->stop_failures);
	printf("Work           %llu jobs, %s\n", (unsigned long long)d->jobs, units_bytes(d->bytes, bytes));
	printf("Trouble        %llu faults, %llu errors\n", (unsigned long long)d->faults,
	       (unsigned long long)d->errors);
	return CTL_OK;
}

int cmd_device_show(struct ctl *ctl, int argc, char **argv)
{
	Svad__V1__AdminListDevices filter = SVAD__V1__ADMIN_LIST_DEVICES__INIT;
	struct show s = { 0 };
	const char *name;
	struct rpc *rpc;
	int r;

	r = ctl_parse(ctl, argc, argv, NULL, &name, 1, 1);
	if (r != CTL_GO)
		return r;
	if (!*name)
		return ctl_usage(ctl, "the device's name is empty");
	r = rpc_open(ctl, &rpc);
	if (r)
		return r;
	s.json = ctl->json;
	if (device_is_vfio(name)) {
		r = device_vfio_show(ctl, rpc, name);
		rpc_close(rpc);
		return r;
	}
	filter.only = (char *)name; /* protobuf-c's strings are not const; it only reads */
	r = rpc_devices(rpc, &filter, show_item, &s);
	if (!r && !s.found) {
		ctl_error("there is no device \"%s\": see svadctl device list", name);
		r = CTL_FAILED;
	}
	rpc_close(rpc);
	return r ? r : s.r;
}

/* ---- reset ---- */

int cmd_device_reset(struct ctl *ctl, int argc, char **argv)
{
	Svad__V1__ResetDevice reset = SVAD__V1__RESET_DEVICE__INIT;
	rpc_request req = SVAD__V1__REQUEST__INIT;
	const rpc_reply *reply;
	uint32_t clean, quarantined;
	const char *name;
	struct rpc *rpc;
	int r;

	r = ctl_parse(ctl, argc, argv, NULL, &name, 1, 1);
	if (r != CTL_GO)
		return r;
	if (!*name)
		return ctl_usage(ctl, "the device's name is empty");
	r = rpc_open(ctl, &rpc);
	if (r)
		return r;
	reset.device = (char *)name;
	reset.timeout_ms = (uint32_t)ctl->timeout_ms;
	req.body_case = SVAD__V1__REQUEST__BODY_RESET_DEVICE;
	req.reset_device = &reset;
	/* The daemon keeps the time; a second more for its answer to travel. */
	r = rpc_call_timeout(rpc, &req, ctl->timeout_ms + 1000, &reply);
	if (r) {
		rpc_close(rpc);
		return r;
	}
	clean = reply->reset_device->clean;
	quarantined = reply->reset_device->quarantined;
	rpc_close(rpc);

	if (ctl->json) {
		json_t *o = json_object();

		json_add_str(o, "device", name);
		json_add_u64(o, "clean", clean);
		json_add_u64(o, "quarantined", quarantined);
		r = json_print(o, false);
	} else {
		char safe[256];

		printf("%s was reset: %u bond%s CLEAN, %u still quarantined\n",
		       text_clean(name, safe, sizeof(safe)), clean, clean == 1 ? "" : "s", quarantined);
		if (quarantined)
			printf("A bond stays quarantined while an access of the device still hangs in its "
			       "client's memory;\n"
			       "it comes free by itself when that ends. See: svadctl quarantine list\n");
	}
	return r ? r : quarantined ? CTL_REMAINS : CTL_OK;
}
