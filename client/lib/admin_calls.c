/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Registering, and looking: one function a request. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin_internal.h"
#include "internal.h"

static int attachment_text(struct sva_admin *admin, const struct sva_attachment *from,
			   Svad__V1__Attachment *to)
{
	int r = sva_admin_text(admin, "network", from->network, &to->network);

	if (r == 0)
		r = sva_admin_text(admin, "container_id", from->container_id, &to->container_id);
	if (r == 0)
		r = sva_admin_text(admin, "ifname", from->ifname, &to->ifname);
	return r;
}

/* ---- register ---- */

static int registration_text(struct sva_admin *admin, const struct sva_registration *from,
			     Svad__V1__RegisterContainer *to)
{
	const struct {
		const char *what, *text;
		char **field;
	} texts[] = {
		{ "netns_path", from->netns_path, &to->netns_path },
		{ "pod_namespace", from->pod_namespace, &to->pod_namespace },
		{ "pod_name", from->pod_name, &to->pod_name },
		{ "pod_uid", from->pod_uid, &to->pod_uid },
		{ "by", from->by, &to->by },
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof(texts) / sizeof(texts[0]); i++)
		r = sva_admin_text(admin, texts[i].what, texts[i].text, texts[i].field);
	for (size_t i = 0; r == 0 && i < from->n_devices; i++) {
		to->devices[i] = (char *)"";
		r = sva_admin_text(admin, "a device's name", from->devices[i], &to->devices[i]);
	}
	to->n_devices = from->n_devices;
	return r;
}

static void join_names(char *buf, size_t size, char *const *names, size_t n)
{
	size_t at = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(names[i]), space = at > 0;

		if (at + space + len >= size)
			return;
		if (space)
			buf[at++] = ' ';
		memcpy(buf + at, names[i], len + 1);
		at += len;
	}
}

int sva_admin_register(struct sva_admin *admin, const struct sva_registration *registration,
		       struct sva_registered *ret_registered)
{
	Svad__V1__Attachment attachment = SVAD__V1__ATTACHMENT__INIT;
	Svad__V1__ContainerLimits limits = SVAD__V1__CONTAINER_LIMITS__INIT;
	Svad__V1__RegisterContainer body = SVAD__V1__REGISTER_CONTAINER__INIT;
	Svad__V1__Request req = SVAD__V1__REQUEST__INIT;
	struct sva_registered registered = { .size = 0 };
	struct sva_registration from;
	const Svad__V1__Reply *reply;
	int r = sva_admin_begin(admin);

	if (r < 0)
		return r;
	if (!registration || (ret_registered && !sva_admin_has_size(ret_registered)))
		return sva_admin_fail(admin, -EINVAL,
				      "no registration was given, or ret_registered's size is not set");
	r = sva_admin_take(admin, registration, &from, sizeof(from));
	if (r < 0)
		return r;
	if (from.n_devices > 0 && !from.devices)
		return sva_admin_fail(admin, -EINVAL, "n_devices without devices");
	body.devices = calloc(from.n_devices ?: 1, sizeof(*body.devices));
	if (!body.devices)
		return sva_admin_fail(admin, -ENOMEM, "out of memory");
	r = attachment_text(admin, &from.attachment, &attachment);
	if (r == 0)
		r = registration_text(admin, &from, &body);
	if (r < 0)
		goto out;
	limits.bonds = from.limits.bonds;
	limits.connections = from.limits.connections;
	limits.requests_per_second = from.limits.requests_per_second;
	limits.drain_deadline_ms = from.limits.drain_deadline_ms;
	body.attachment = &attachment;
	body.limits = &limits;
	body.netns_cookie = from.netns_cookie;
	body.netns_dev = from.netns_dev;
	body.netns_inode = from.netns_inode;
	body.pid = from.pid;
	req.body_case = SVAD__V1__REQUEST__BODY_REGISTER_CONTAINER;
	req.register_container = &body;
	r = sva_admin_call(admin, &req, SVAD__V1__REPLY__BODY_REGISTER_CONTAINER,
			   sva_deadline(admin->timeout_ms), &reply);
	if (r == 0 && ret_registered) {
		registered.existed = reply->register_container->existed != 0;
		registered.container = reply->register_container->container;
		registered.n_devices = (uint32_t)reply->register_container->n_devices;
		join_names(registered.devices, sizeof(registered.devices), reply->register_container->devices,
			   reply->register_container->n_devices);
		sva_admin_give(ret_registered, &registered, sizeof(registered));
	}
out:
	free(body.devices);
	return r;
}

/* ---- list ---- */

/* The attachments of one container, in memory that grows. */
struct attachments {
	struct sva_attachment *at;
	size_t room;
};

static int tell(const Svad__V1__Container *from, struct attachments *room, sva_container_handler handler,
		void *userdata)
{
	const Svad__V1__ContainerLimits none = SVAD__V1__CONTAINER_LIMITS__INIT;
	const Svad__V1__ContainerLimits *limits = from->limits ?: &none;
	struct sva_container c = {
		.size = sizeof(c),
		.state = (uint32_t)from->state,
		.id = from->id,
		.name = from->name,
		.n_attachments = from->n_attachments,
		.pod_namespace = from->pod_namespace,
		.pod_name = from->pod_name,
		.pod_uid = from->pod_uid,
		.netns_path = from->netns_path,
		.policy = from->policy,
		.by = from->by,
		.netns_cookie = from->netns_cookie,
		.netns_inode = from->netns_inode,
		.limits = { limits->bonds, limits->connections, limits->requests_per_second,
			    limits->drain_deadline_ms },
		.clients = from->clients,
		.connections = from->connections,
		.bonds = from->bonds,
		.draining = from->draining,
		.quarantined = from->quarantined,
		.pid = from->pid,
		.faults = from->faults,
		.requests = from->requests,
		.refused = from->refused,
		.age_ns = from->age_ns,
	};

	if (from->n_attachments > room->room) {
		struct sva_attachment *more = realloc(room->at, from->n_attachments * sizeof(*more));

		if (!more)
			return -ENOMEM;
		room->at = more;
		room->room = from->n_attachments;
	}
	for (size_t i = 0; i < from->n_attachments; i++)
		room->at[i] = (struct sva_attachment){
			.network = from->attachments[i]->network,
			.container_id = from->attachments[i]->container_id,
			.ifname = from->attachments[i]->ifname,
		};
	c.attachments = room->at;
	return handler(userdata, &c);
}

int sva_admin_list(struct sva_admin *admin, const struct sva_container_filter *filter,
		   sva_container_handler handler, void *userdata)
{
	Svad__V1__Page page = SVAD__V1__PAGE__INIT;
	Svad__V1__Attachment attachment = SVAD__V1__ATTACHMENT__INIT;
	Svad__V1__ListContainers body = SVAD__V1__LIST_CONTAINERS__INIT;
	Svad__V1__Request req = SVAD__V1__REQUEST__INIT;
	struct sva_container_filter from = { .size = 0 };
	struct attachments room = { NULL, 0 };
	int n = 0, r = sva_admin_begin(admin);

	if (r < 0)
		return r;
	if (!handler)
		return sva_admin_fail(admin, -EINVAL, "no handler was given");
	if (filter) {
		r = sva_admin_take(admin, filter, &from, sizeof(from));
		if (r == 0)
			r = sva_admin_text(admin, "only", from.only, &body.only);
		if (r == 0)
			r = sva_admin_text(admin, "network", from.network, &body.network);
		if (r == 0 && from.attachment) {
			r = attachment_text(admin, from.attachment, &attachment);
			body.attachment = &attachment;
		}
		if (r < 0)
			return r;
		body.removed = from.removed != 0;
	}
	body.page = &page;
	req.body_case = SVAD__V1__REQUEST__BODY_LIST_CONTAINERS;
	req.list_containers = &body;
	do {
		const Svad__V1__ListContainersReply *list;
		const Svad__V1__Reply *reply;

		r = sva_admin_call(admin, &req, SVAD__V1__REPLY__BODY_LIST_CONTAINERS,
				   sva_deadline(admin->timeout_ms), &reply);
		if (r < 0)
			break;
		list = reply->list_containers;
		/* The key must grow, or a broken server could keep us here for ever. */
		if (list->next != 0 && (list->next <= page.after || list->n_containers == 0)) {
			r = sva_admin_fail(admin, -EPROTO, "the list from %s does not end: report this",
					   admin->path);
			break;
		}
		for (size_t i = 0; r == 0 && i < list->n_containers; i++, n++)
			r = tell(list->containers[i], &room, handler, userdata);
		page.after = list->next;
	} while (r == 0 && page.after != 0);
	free(room.at);
	return r == 0 ? n : r;
}

/* ---- reconcile, status ---- */

int sva_admin_reconcile(struct sva_admin *admin, struct sva_reconciled *ret_reconciled)
{
	Svad__V1__ReconcileContainers body = SVAD__V1__RECONCILE_CONTAINERS__INIT;
	Svad__V1__Request req = SVAD__V1__REQUEST__INIT;
	struct sva_reconciled done = { .size = 0 };
	const Svad__V1__Reply *reply;
	int r = sva_admin_begin(admin);

	if (r < 0)
		return r;
	if (ret_reconciled && !sva_admin_has_size(ret_reconciled))
		return sva_admin_fail(admin, -EINVAL, "ret_reconciled's size is not set");
	req.body_case = SVAD__V1__REQUEST__BODY_RECONCILE_CONTAINERS;
	req.reconcile_containers = &body;
	r = sva_admin_call(admin, &req, SVAD__V1__REPLY__BODY_RECONCILE_CONTAINERS,
			   sva_deadline(admin->timeout_ms), &reply);
	if (r == 0 && ret_reconciled) {
		done.looked_at = reply->reconcile_containers->looked_at;
		done.removed = reply->reconcile_containers->removed;
		sva_admin_give(ret_reconciled, &done, sizeof(done));
	}
	return r;
}

int sva_admin_status(struct sva_admin *admin, struct sva_admin_status *ret_status)
{
	Svad__V1__GetStatus body = SVAD__V1__GET_STATUS__INIT;
	Svad__V1__Request req = SVAD__V1__REQUEST__INIT;
	struct sva_admin_status status = { .size = 0 };
	const Svad__V1__StatusReply *from;
	const Svad__V1__Reply *reply;
	int r = sva_admin_begin(admin);

	if (r < 0)
		return r;
	if (!ret_status || !sva_admin_has_size(ret_status))
		return sva_admin_fail(admin, -EINVAL, "ret_status is NULL, or its size is not set");
	req.body_case = SVAD__V1__REQUEST__BODY_GET_STATUS;
	req.get_status = &body;
	r = sva_admin_call(admin, &req, SVAD__V1__REPLY__BODY_GET_STATUS, sva_deadline(admin->timeout_ms),
			   &reply);
	if (r < 0)
		return r;
	from = reply->get_status;
	status.backend_up = from->backend_up != 0;
	status.shutting_down = from->shutting_down != 0;
	status.clients = from->clients;
	status.bonds = from->bonds;
	status.draining = from->draining;
	status.quarantined = from->quarantined;
	status.devices = from->devices;
	status.devices_degraded = from->devices_degraded;
	status.broker_pid = from->broker_pid;
	status.uptime_ns = from->uptime_ns;
	(void)snprintf(status.backend, sizeof(status.backend), "%s", from->backend);
	(void)snprintf(status.version, sizeof(status.version), "%s", from->version);
	sva_admin_give(ret_status, &status, sizeof(status));
	return 0;
}
