// SPDX-License-Identifier: GPL-2.0-or-later
/* svadctl status: one screen */
#include <stdio.h>
#include <string.h>

#include "ctl.h"
#include "json.h"
#include "names.h"
#include "rpc.h"
#include "units.h"

static void line(const char *label)
{
	printf("%s%-11s%s", style_on(STYLE_BOLD), label, style_off(STYLE_BOLD));
}

static enum style alarm_if(uint64_t figure, enum style style)
{
	return figure ? style : STYLE_NONE;
}

static void print(const Svad__V1__StatusReply *s)
{
	char up[UNITS_MAX];
	enum style st;

	printf("%ssvad %s%s  up %s, broker pid %d, restarted %u time%s%s\n", style_on(STYLE_BOLD), s->version,
	       style_off(STYLE_BOLD), units_ns(s->uptime_ns, up), s->broker_pid, s->broker_restarts,
	       s->broker_restarts == 1 ? "" : "s", s->shutting_down ? "; shutting down, no new binds" : "");
	line("Backend");
	st = s->backend_up ? STYLE_GREEN : STYLE_RED;
	printf("%s, %s%s%s\n", s->backend, style_on(st), s->backend_up ? "up" : "down", style_off(st));
	if (!s->backend_up)
		printf("%-11ssvad restarts it with growing pauses; the reason is in its log: journalctl -u "
		       "svad\n",
		       "");
	line("Config");
	printf("%s\n", *s->config ? s->config : "built-in defaults");
	line("Sockets");
	printf("%s, administrators' %s\n", s->socket, s->admin_socket);
	line("Devices");
	st = alarm_if(s->devices_degraded, STYLE_YELLOW);
	printf("%u, %s%u degraded%s\n", s->devices, style_on(st), s->devices_degraded, style_off(st));
	line("Clients");
	printf("%u\n", s->clients);
	line("Bonds");
	printf("%u, ", s->bonds);
	st = alarm_if(s->draining, STYLE_YELLOW);
	printf("%s%u draining%s, ", style_on(st), s->draining, style_off(st));
	st = alarm_if(s->quarantined, STYLE_RED);
	printf("%s%u quarantined%s\n", style_on(st), s->quarantined, style_off(st));
	/* Who plays the IOMMU can watch it; a real one is watched by nobody, and "0 violations" would say
	 * more than is known. */
	if (strcmp(s->backend, "sim") != 0)
		return;
	line("Checker");
	st = s->violations ? STYLE_RED : STYLE_GREEN;
	printf("%s%llu violation%s%s\n", style_on(st), (unsigned long long)s->violations,
	       s->violations == 1 ? "" : "s", style_off(st));
	if (s->violations)
		printf("%-11san access was made through a PASID that had ended: a bug in svad. Report it "
		       "with the log\n",
		       "");
}

struct containers {
	uint32_t active, removing, removed_in_use;
};

static int count(void *userdata, const Svad__V1__Container *c)
{
	struct containers *n = userdata;

	n->active += c->state == SVAD__V1__CONTAINER_STATE__CONTAINER_ACTIVE;
	n->removing += c->state == SVAD__V1__CONTAINER_STATE__CONTAINER_REMOVING;
	n->removed_in_use += c->state == SVAD__V1__CONTAINER_STATE__CONTAINER_REMOVED && c->quarantined;
	return CTL_OK;
}

static void print_containers(const struct containers *n)
{
	enum style st = alarm_if(n->removing, STYLE_YELLOW);

	if (!n->active && !n->removing && !n->removed_in_use)
		return;
	line("Containers");
	printf("%u, %s%u being removed%s", n->active, style_on(st), n->removing, style_off(st));
	if (n->removed_in_use)
		printf(", %s%u removed with quarantined bonds%s", style_on(STYLE_RED), n->removed_in_use,
		       style_off(STYLE_RED));
	printf("\n");
}

static int unwell(void *userdata, const Svad__V1__Device *d)
{
	(void)userdata;
	if (d->health == SVAD__V1__DEVICE_HEALTH__HEALTH_OK)
		return CTL_OK;
	printf("\n%s%s is %s%s: %s\n  svadctl device show %s says what to do\n",
	       style_on(style_health(d->health)), d->name, name_health(d->health),
	       style_off(style_health(d->health)), *d->reason ? d->reason : "no reason given", d->name);
	return CTL_OK;
}

static json_t *to_json(const Svad__V1__StatusReply *s)
{
	json_t *o = json_object();

	json_add_str(o, "version", s->version);
	json_add(o, "broker_pid", json_integer(s->broker_pid));
	json_add_u64(o, "broker_restarts", s->broker_restarts);
	json_add_u64(o, "uptime_ns", s->uptime_ns);
	json_add_str(o, "backend", s->backend);
	json_add_bool(o, "backend_up", s->backend_up);
	json_add_bool(o, "shutting_down", s->shutting_down);
	json_add_str(o, "config", s->config);
	json_add_str(o, "socket", s->socket);
	json_add_str(o, "admin_socket", s->admin_socket);
	json_add_u64(o, "clients", s->clients);
	json_add_u64(o, "bonds", s->bonds);
	json_add_u64(o, "draining", s->draining);
	json_add_u64(o, "quarantined", s->quarantined);
	json_add_u64(o, "devices", s->devices);
	json_add_u64(o, "devices_degraded", s->devices_degraded);
	if (strcmp(s->backend, "sim") == 0)
		json_add_u64(o, "violations", s->violations);
	else
		json_add(o, "violations", json_null());
	return o;
}

int cmd_status(struct ctl *ctl, int argc, char **argv)
{
	Svad__V1__AdminListDevices filter = SVAD__V1__ADMIN_LIST_DEVICES__INIT;
	Svad__V1__GetStatus body = SVAD__V1__GET_STATUS__INIT;
	Svad__V1__ListContainers containers = SVAD__V1__LIST_CONTAINERS__INIT;
	rpc_request req = SVAD__V1__REQUEST__INIT;
	struct containers n = { 0 };
	const rpc_reply *reply;
	struct rpc *rpc;
	int r;

	r = ctl_parse(ctl, argc, argv, NULL, NULL, 0, 0);
	if (r != CTL_GO)
		return r;
	containers.removed = true;
	r = rpc_open(ctl, &rpc);
	if (r)
		return r;
	req.body_case = SVAD__V1__REQUEST__BODY_GET_STATUS;
	req.get_status = &body;
	r = rpc_call(rpc, &req, &reply);
	if (!r && ctl->json) {
		json_t *o = to_json(reply->get_status);

		r = rpc_containers(rpc, &containers, count, &n);
		if (r) {
			json_decref(o);
		} else {
			json_add_u64(o, "containers", n.active);
			json_add_u64(o, "containers_removing", n.removing);
			r = json_print(o, false);
		}
	} else if (!r) {
		bool degraded = reply->get_status->devices_degraded;

		print(reply->get_status);
		r = rpc_containers(rpc, &containers, count, &n);
		if (!r)
			print_containers(&n);
		if (!r && degraded)
			r = rpc_devices(rpc, &filter, unwell, NULL);
	}
	rpc_close(rpc);
	return r;
}
