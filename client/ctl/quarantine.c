// SPDX-License-Identifier: GPL-2.0-or-later
/* svadctl quarantine list | release */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../kmod/svabroker.h"
#include "bond.h"
#include "ctl.h"
#include "json.h"
#include "names.h"
#include "units.h"

int cmd_quarantine_list(struct ctl *ctl, int argc, char **argv)
{
	Svad__V1__AdminListBonds filter = SVAD__V1__ADMIN_LIST_BONDS__INIT;
	const char *device = NULL, *container = NULL;
	const struct ctl_option options[] = {
		{ "device", 0, "NAME", "only this device's", NULL, &device },
		{ "container", 0, "ID", "only this container's, removed or not", NULL, &container },
		CTL_OPTIONS_END,
	};
	int r;

	r = ctl_parse(ctl, argc, argv, options, NULL, 0, 0);
	if (r != CTL_GO)
		return r;
	filter.quarantined = true;
	if (device)
		filter.device = (char *)device;
	return bond_list(ctl, &filter, container, "Nothing is quarantined.");
}

/* ---- release ---- */

struct todo {
	struct {
		uint64_t id;
		uint32_t pasid;
		char device[64];
	} * bonds;
	size_t n, room;
	bool not_quarantined; /* the named bond is in another state */
	unsigned state;
};

static int collect(void *userdata, const Svad__V1__Bond *b)
{
	struct todo *t = userdata;

	if (b->state != SVAD__V1__PASID_STATE__PASID_QUARANTINED) {
		t->not_quarantined = true;
		t->state = b->state;
		return CTL_OK;
	}
	if (t->n == t->room) {
		size_t room = t->room ? t->room * 2 : 16;
		void *bonds = reallocarray(t->bonds, room, sizeof(*t->bonds));

		if (!bonds) {
			ctl_error("out of memory");
			return CTL_FAILED;
		}
		t->bonds = bonds;
		t->room = room;
	}
	t->bonds[t->n].id = b->id;
	t->bonds[t->n].pasid = b->pasid;
	snprintf(t->bonds[t->n].device, sizeof(t->bonds[t->n].device), "%s", b->device);
	t->n++;
	return CTL_OK;
}

static int can_reset(void *userdata, const Svad__V1__Device *d)
{
	*(bool *)userdata = d->capabilities & SVAB_DEV_CAP_CAN_RESET;
	return CTL_OK;
}

static void say_only_reset(struct rpc *rpc, const char *device)
{
	Svad__V1__AdminListDevices filter = SVAD__V1__ADMIN_LIST_DEVICES__INIT;
	bool resettable = false;

	filter.only = (char *)device;
	if (rpc_devices(rpc, &filter, can_reset, &resettable))
		return;
	if (resettable)
		printf("%s still does not stop. Only a reset helps now: svadctl device reset %s\n", device,
		       device);
	else
		printf("%s still does not stop and cannot be reset: unbind its driver, or reboot. The PASIDs "
		       "stay withheld.\n",
		       device);
}

/* One after the other's answer would take a deadline each: all questions go out in windows, as many as a
 * daemon takes at once. */
#define WINDOW 32u

static int ask_all(struct rpc *rpc, const struct todo *t, bool *released, int wait_ms, uint32_t daemon_ms)
{
	uint64_t first = 0;
	size_t sent = 0, answered = 0;
	int r;

	while (answered < t->n) {
		const rpc_reply *reply;
		uint64_t id;

		if (sent < t->n && sent - answered < WINDOW) {
			Svad__V1__Revoke revoke = SVAD__V1__REVOKE__INIT;
			rpc_request req = SVAD__V1__REQUEST__INIT;

			revoke.bond = t->bonds[sent].id;
			revoke.timeout_ms = daemon_ms;
			req.body_case = SVAD__V1__REQUEST__BODY_REVOKE;
			req.revoke = &revoke;
			r = rpc_send(rpc, &req, &id);
			if (r)
				return r;
			if (!sent++)
				first = id;
			continue;
		}
		r = rpc_wait(rpc, wait_ms, &reply);
		if (r)
			return r;
		if (reply->id < first || reply->id >= first + sent) {
			ctl_error("svad answered request %llu, which was not asked",
				  (unsigned long long)reply->id);
			return CTL_FAILED;
		}
		answered++;
		if (reply->body_case == SVAD__V1__REPLY__BODY_REVOKE) {
			released[reply->id - first] = !reply->revoke->quarantined && !reply->revoke->pending;
		} else if (reply->status && reply->status->code == SVAD_NOT_FOUND) {
			released[reply->id - first] = true; /* it has ended since it was listed */
		} else {
			rpc_check(rpc, reply);
			return CTL_FAILED;
		}
	}
	return CTL_OK;
}

static int report(struct rpc *rpc, const struct ctl *ctl, const struct todo *t, const bool *released)
{
	size_t left = 0;
	int r = CTL_OK;

	if (ctl->json) {
		json_t *a = json_array();

		for (size_t i = 0; i < t->n; i++) {
			json_t *o = json_object();

			json_add_u64(o, "bond", t->bonds[i].id);
			json_add_str(o, "device", t->bonds[i].device);
			json_add_u64(o, "pasid", t->bonds[i].pasid);
			json_add_bool(o, "released", released[i]);
			json_array_append_new(a, o);
			left += !released[i];
		}
		r = json_print(a, false);
		return r ? r : left ? CTL_REMAINS : CTL_OK;
	}
	for (size_t i = 0; i < t->n; i++) {
		printf("bond %llu on %s, PASID %u: %s\n", (unsigned long long)t->bonds[i].id,
		       t->bonds[i].device, t->bonds[i].pasid,
		       released[i] ? "CLEAN, the PASID is free" : "still QUARANTINED");
		left += !released[i];
	}
	for (size_t i = 0; i < t->n; i++) {
		bool said = released[i];

		for (size_t j = 0; j < i && !said; j++)
			said = !released[j] && !strcmp(t->bonds[j].device, t->bonds[i].device);
		if (!said)
			say_only_reset(rpc, t->bonds[i].device);
	}
	return left ? CTL_REMAINS : CTL_OK;
}

int cmd_quarantine_release(struct ctl *ctl, int argc, char **argv)
{
	Svad__V1__AdminListBonds filter = SVAD__V1__ADMIN_LIST_BONDS__INIT;
	const char *id, *device = NULL;
	const struct ctl_option options[] = {
		{ "device", 0, "NAME", "every quarantined bond of this device", NULL, &device },
		CTL_OPTIONS_END,
	};
	struct todo t = { 0 };
	bool *released = NULL;
	uint32_t daemon_ms;
	struct rpc *rpc;
	int r, wait_ms;

	r = ctl_parse(ctl, argc, argv, options, &id, 0, 1);
	if (r != CTL_GO)
		return r;
	if (!id == !device)
		return ctl_usage(ctl, "name a bond's ID or --device NAME, one of them");
	if (id && (!ctl_u64(id, &filter.only) || !filter.only))
		return ctl_usage(ctl, "\"%s\" is no bond's id; see svadctl quarantine list", id);
	revoke_times(ctl, &daemon_ms, &wait_ms);
	r = rpc_open(ctl, &rpc);
	if (r)
		return r;
	/* A bond that is well is never revoked by this command: the state is asked first. */
	if (device) {
		filter.device = (char *)device;
		filter.quarantined = true;
	}
	r = rpc_bonds(rpc, &filter, collect, &t);
	if (r)
		goto out;
	if (!t.n) {
		if (id && t.not_quarantined)
			ctl_error("bond %s is not quarantined, it is %s; to end it: svadctl bond revoke %s",
				  id, name_state(t.state), id);
		else if (id)
			ctl_error("there is no bond %s: it has ended, or never was. See svadctl quarantine "
				  "list",
				  id);
		else if (ctl->json)
			r = json_print(json_array(), false);
		else
			printf("Nothing is quarantined on this device.\n");
		if (id)
			r = CTL_FAILED;
		goto out;
	}
	released = calloc(t.n, sizeof(*released));
	if (!released) {
		ctl_error("out of memory");
		r = CTL_FAILED;
		goto out;
	}
	r = ask_all(rpc, &t, released, wait_ms, daemon_ms);
	if (!r)
		r = report(rpc, ctl, &t, released);
out:
	free(released);
	free(t.bonds);
	rpc_close(rpc);
	return r;
}
