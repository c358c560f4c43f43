/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* sva_admin_remove() and sva_admin_remove_many(): the same requests, one or several under way. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "admin_internal.h"
#include "internal.h"

#define WINDOW 32u	      /* under svad's requests_in_flight of a connection, 64 */
#define SVADS_CHOICE_MS 60000 /* waited for where svad chooses how long a drain may take */

struct removal {
	struct sva_admin *admin;
	const struct sva_attachment *attachments;
	size_t n;
	uint32_t drain_ms;
	const char *by;
	sva_bond_end_handler handler;
	void *userdata;
	unsigned char *results; /* of stride bytes each, as the caller was compiled; NULL: unwanted */
	size_t stride;
	struct {
		uint64_t id; /* 0: free */
		size_t which;
	} under_way[WINDOW];
	unsigned n_under_way;
};

static void give(const struct removal *m, size_t which, const struct sva_removed *removed)
{
	if (m->results)
		sva_admin_give(m->results + which * m->stride, removed, sizeof(*removed));
}

static int send_one(struct removal *m, size_t which, bool wait, uint64_t deadline)
{
	const struct sva_attachment *a = &m->attachments[which];
	Svad__V1__Attachment attachment = SVAD__V1__ATTACHMENT__INIT;
	Svad__V1__RemoveContainer body = SVAD__V1__REMOVE_CONTAINER__INIT;
	Svad__V1__Request req = SVAD__V1__REQUEST__INIT;
	unsigned slot = 0;
	int r;

	r = sva_admin_text(m->admin, "network", a->network, &attachment.network);
	if (r == 0)
		r = sva_admin_text(m->admin, "container_id", a->container_id, &attachment.container_id);
	if (r == 0)
		r = sva_admin_text(m->admin, "ifname", a->ifname, &attachment.ifname);
	if (r == 0)
		r = sva_admin_text(m->admin, "by", m->by, &body.by);
	if (r < 0)
		return r;
	body.attachment = &attachment;
	body.timeout_ms = m->drain_ms;
	req.body_case = SVAD__V1__REQUEST__BODY_REMOVE_CONTAINER;
	req.remove_container = &body;
	while (m->under_way[slot].id)
		slot++;
	r = sva_admin_send(m->admin, &req, wait, deadline, &m->under_way[slot].id);
	if (r < 0) {
		m->under_way[slot].id = 0;
		return r;
	}
	m->under_way[slot].which = which;
	m->n_under_way++;
	return 0;
}

static void bond_ends(const struct removal *m, size_t which, const Svad__V1__RemoveContainerReply *body)
{
	for (size_t i = 0; m->handler && i < body->n_bonds; i++) {
		const Svad__V1__BondEnd *from = body->bonds[i];
		struct sva_bond_end end = {
			.bond = from->bond,
			.duration_ns = from->duration_ns,
			.device = from->device,
			.pasid = from->pasid,
			.state = (uint32_t)from->state,
			.cause = (uint32_t)from->cause,
			.pid = from->pid,
		};

		m->handler(m->userdata, which, &end);
	}
}

/* Takes one answer. 0, or the connection is broken; what svad thought of the request is in *ret_result. */
static int receive_one(struct removal *m, uint64_t deadline, struct sva_removed *ret)
{
	const Svad__V1__RemoveContainerReply *body;
	const Svad__V1__Reply *reply;
	unsigned slot = 0;
	size_t which;
	int r;

	r = sva_admin_receive(m->admin, deadline, &reply);
	if (r < 0)
		return r;
	while (slot < WINDOW && m->under_way[slot].id != reply->id)
		slot++;
	*ret = (struct sva_removed){ .result = sva_admin_status_of(m->admin, reply) };
	if (slot == WINDOW ||
	    (ret->result == 0 && reply->body_case != SVAD__V1__REPLY__BODY_REMOVE_CONTAINER)) {
		m->admin->broken = true;
		return sva_admin_fail(m->admin, -EPROTO,
				      "the answer from %s makes no sense: is that svad, and of this version?",
				      m->admin->path);
	}
	which = m->under_way[slot].which;
	m->under_way[slot].id = 0;
	m->n_under_way--;
	if (reply->body_case == SVAD__V1__REPLY__BODY_REMOVE_CONTAINER) {
		body = reply->remove_container;
		ret->known = body->known != 0;
		ret->ended = body->ended;
		ret->clean = body->clean;
		ret->quarantined = body->quarantined;
		ret->pending = body->pending;
		ret->attachments_left = body->attachments_left;
		ret->slowest_ns = body->slowest_ns;
		bond_ends(m, which, body);
	}
	give(m, which, ret);
	return 0;
}

static int remove_all(struct removal *m, uint64_t deadline, struct sva_removed *last)
{
	size_t next = 0;
	int r = 0;

	for (size_t i = 0; i < m->n; i++)
		give(m, i, &(struct sva_removed){ .result = -ECANCELED });
	while (next < m->n || m->n_under_way > 0) {
		if (next < m->n && m->n_under_way < WINDOW) {
			/* With answers outstanding svad must be read from, or both sides would wait for ever.
			 */
			r = send_one(m, next, m->n_under_way == 0, deadline);
			if (r == 0) {
				next++;
				continue;
			}
			if (r == -EINVAL || r == -EMSGSIZE) { /* this one cannot even be asked for */
				*last = (struct sva_removed){ .result = r };
				give(m, next, last);
				next++;
				r = 0;
				continue;
			}
			if (r != -EAGAIN)
				return r;
		}
		r = receive_one(m, deadline, last);
		if (r < 0)
			return r;
	}
	return r;
}

static int checked(struct removal *m, const void *results)
{
	int r = sva_admin_begin(m->admin);

	if (r < 0)
		return r;
	if (m->n > 0 && !m->attachments)
		return sva_admin_fail(m->admin, -EINVAL, "no attachment was given");
	for (size_t i = 0; i < m->n; i++)
		if (!m->attachments[i].container_id)
			return sva_admin_fail(m->admin, -EINVAL, "an attachment without a container_id");
	if (results) {
		uint32_t size;

		if (!sva_admin_has_size(results))
			return sva_admin_fail(m->admin, -EINVAL, "ret_removed's size is not set");
		memcpy(&size, results, sizeof(size));
		m->stride = size;
		for (size_t i = 1; i < m->n; i++)
			if (memcmp((const unsigned char *)results + i * size, &size, sizeof(size)) != 0)
				return sva_admin_fail(m->admin, -EINVAL, "ret_removed[%zu]'s size is not set",
						      i);
	}
	return 0;
}

int sva_admin_remove(struct sva_admin *admin, const struct sva_attachment *attachment, int drain_timeout_ms,
		     const char *by, sva_bond_end_handler handler, void *userdata,
		     struct sva_removed *ret_removed)
{
	struct sva_removed last = { .result = 0 };
	struct removal m = {
		.admin = admin,
		.attachments = attachment,
		.n = 1,
		.drain_ms = drain_timeout_ms > 0 ? (uint32_t)drain_timeout_ms : 0,
		.by = by,
		.handler = handler,
		.userdata = userdata,
		.results = (unsigned char *)ret_removed,
	};
	int r = checked(&m, ret_removed);

	if (r < 0)
		return r;
	r = remove_all(&m,
		       sva_deadline(admin->timeout_ms) +
			       (uint64_t)(drain_timeout_ms > 0 ? drain_timeout_ms : SVADS_CHOICE_MS) *
				       1000000u,
		       &last);
	if (r == 0)
		r = last.result;
	return r;
}

int sva_admin_remove_many(struct sva_admin *admin, const struct sva_attachment *attachments, size_t n,
			  int drain_timeout_ms, int total_timeout_ms, const char *by,
			  sva_bond_end_handler handler, void *userdata, struct sva_removed *ret_removed)
{
	struct sva_removed last;
	struct removal m = {
		.admin = admin,
		.attachments = attachments,
		.n = n,
		.drain_ms = drain_timeout_ms > 0 ? (uint32_t)drain_timeout_ms : 0,
		.by = by,
		.handler = handler,
		.userdata = userdata,
		.results = (unsigned char *)ret_removed,
	};
	int r = checked(&m, n ? ret_removed : NULL);
	uint64_t deadline;

	if (r < 0)
		return r;
	if (total_timeout_ms > 0)
		deadline = sva_deadline(total_timeout_ms);
	else
		deadline = sva_deadline(admin->timeout_ms) +
			   (uint64_t)(drain_timeout_ms > 0 ? drain_timeout_ms : SVADS_CHOICE_MS) * 1000000u;
	return remove_all(&m, deadline, &last);
}
