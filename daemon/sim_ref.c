/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bond sockets. One is one reference to a bond. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sim_bond.h"
#include "sim_control.h"
#include "sim_mm.h"
#include "sim_msg.h"
#include "sim_worker.h"

#define MESSAGES_A_TURN 32

static void ref_freed(uv_handle_t *handle)
{
	struct sim_ref *ref = container_of(handle, struct sim_ref, poll);

	close(ref->fd);
	sim_bond_unref(ref->bond);
	free(ref);
}

/* Takes the reference away, and the socket. */
static void ref_close(struct sim_ref *ref)
{
	if (ref->closed)
		return;
	ref->closed = true;
	drain_unwait(&ref->waiter);
	list_remove(&ref->of_bond);
	if (ref->hold) {
		ref->hold->refs--;
		ref->bond->n_refs--;
		ref->hold = NULL;
	}
	/* The client sees POLLHUP now, though the handle is closed at the end of the turn. */
	shutdown(ref->fd, SHUT_RDWR);
	uv_close((uv_handle_t *)&ref->poll, ref_freed);
}

static void ref_unbind_answer(struct sim_ref *ref, enum svab_pasid_state state, uint64_t took_ns)
{
	struct svab_unbind u = { .size = sizeof(u), .state = state, .drain_ns = took_ns };

	sim_control_flush();
	if (ref->unbind_seq)
		(void)sim_answer_raw(ref->fd, SVAB_UNBIND, ref->unbind_seq, 0, &u,
				     ref->unbind_size < sizeof(u) ? ref->unbind_size : sizeof(u), NULL, 0);
	ref_close(ref);
}

static void ref_drained(struct drain_waiter *w, enum svab_pasid_state state, uint64_t took_ns)
{
	ref_unbind_answer(container_of(w, struct sim_ref, waiter), state, took_ns);
}

/* Does the device visibly have work of this bond? */
static bool outstanding(struct sim_bond *bond)
{
	return sim_worker_busy(bond);
}

static int ref_unbind(struct sim_ref *ref, const struct sim_msg *m)
{
	struct sim_bond *bond = ref->bond;
	struct sim_hold *hold = ref->hold;
	struct svab_unbind u;
	int r;

	r = sim_msg_arg(m, &u, sizeof(u));
	if (r < 0)
		return r;
	if (u.state != SVAB_PASID_NONE && u.state != SVAB_PASID_FLUSHED && u.state != SVAB_PASID_CLEAN)
		return -EINVAL;
	if (ref->unbinding)
		return -ESHUTDOWN;
	if (bond->drain.state == SVAB_PASID_BOUND) {
		bool last = bond->n_refs == 1;

		if (last && u.state == SVAB_PASID_NONE && !(bond->device->caps & SVAB_DEV_CAP_CAN_STOP))
			return -EINVAL;
		if (u.state != SVAB_PASID_NONE && outstanding(bond))
			return -EBUSY;
		ref->unbinding = true;
		ref->unbind_seq = m->hdr.seq;
		ref->unbind_size = m->hdr.len;
		if (!last) {
			hold->refs--;
			bond->n_refs--;
			ref->hold = NULL;
			if (!hold->refs)
				sim_hold_end(hold, SVAB_CAUSE_UNBIND);
			ref_unbind_answer(ref, SVAB_PASID_BOUND, 0);
			return 1;
		}
		bond->vouched = (enum svab_pasid_state)u.state;
		ref->waiter.done = ref_drained;
		drain_wait(&bond->drain, &ref->waiter);
		sim_bond_input(bond, DRAIN_BEGIN, SVAB_CAUSE_UNBIND);
		return 1;
	}
	/* It is being ended already, by something else: the same result for everyone. */
	ref->unbinding = true;
	ref->unbind_seq = m->hdr.seq;
	ref->unbind_size = m->hdr.len;
	ref->waiter.done = ref_drained;
	drain_wait(&bond->drain, &ref->waiter);
	return 1;
}

static int ref_info(struct sim_ref *ref, const struct sim_msg *m)
{
	struct sim_bond *bond = ref->bond;
	struct svab_bond_info info;
	int r;

	r = sim_msg_arg(m, &info, sizeof(info));
	if (r < 0)
		return r;
	info = (struct svab_bond_info){
		.size = sizeof(info),
		.device = bond->device->id,
		.pasid = bond->pasid,
		.bond = bond->id,
		.state = bond->drain.state,
		.cause = bond->drain.cause,
		.refs = bond->n_refs,
		.faults = atomic_load(&bond->faults),
	};
	(void)sim_answer(ref->fd, m, 0, &info, sizeof(info), NULL, 0);
	return 1;
}

/* 1: answered, or will be; 0: answer 0; -errno: answer that. */
static int ref_handle(struct sim_ref *ref, struct sim_msg *m)
{
	struct sim_mm *mm = ref->bond->mm;

	if (m->bad)
		return m->bad;
	if (m->n_fds)
		return -EINVAL;
	if (m->hdr.op != SIMWIRE_KICK && m->hdr.op != SVAB_UNBIND && m->hdr.op != SVAB_BOND_INFO)
		return -ENOTTY;
	/* A forked child or whoever was given the fd is not the owner of the address space; nor is a new
	 * image in the same process. */
	if (m->pid != mm->pid || atomic_load(&mm->gone))
		return -EPERM;
	switch (m->hdr.op) {
	case SIMWIRE_KICK:
		if (ref->bond->portal_fd < 0)
			return -ENXIO; /* there is no doorbell to read */
		if (ref->bond->drain.state == SVAB_PASID_BOUND && sim_worker_kick(ref->bond) < 0)
			sim_bond_retry_kick(ref->bond);
		return m->hdr.len ? -EINVAL : 0;
	case SVAB_UNBIND:
		return ref_unbind(ref, m);
	default:
		return ref_info(ref, m);
	}
}

/* False: EOF. */
static bool ref_read(struct sim_ref *ref, int max)
{
	struct sim_msg m;

	while (!ref->closed && max--) {
		int r = sim_recv(ref->fd, &m);

		if (r == -EAGAIN)
			return true;
		if (r <= 0)
			return false;
		r = ref_handle(ref, &m);
		sim_msg_close_fds(&m);
		if (r <= 0 && !ref->closed)
			(void)sim_answer(ref->fd, &m, r, NULL, 0, NULL, 0);
	}
	return true;
}

static void ref_ready(uv_poll_t *poll, int status, int events)
{
	struct sim_ref *ref = container_of(poll, struct sim_ref, poll);
	struct sim_hold *hold;

	(void)status;
	(void)events;
	sim_control_drain();
	if (ref->closed || ref_read(ref, MESSAGES_A_TURN) || ref->closed)
		return;
	/* The last copy of the socket was closed. */
	hold = ref->hold;
	ref_close(ref);
	if (hold && !hold->refs)
		sim_hold_end(hold, SVAB_CAUSE_LAST_CLOSE);
}

int sim_ref_new(struct sim_hold *hold, int *ret_client_fd)
{
	struct sim_ref *ref = calloc(1, sizeof(*ref));
	const int on = 1;
	int fds[2], r;

	if (!ref)
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0) {
		r = -errno;
		free(ref);
		return r;
	}
	/* Each message then tells its sender. */
	if (setsockopt(fds[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0) {
		r = -errno;
		goto fail;
	}
	r = uv_poll_init(&sim.loop, &ref->poll, fds[0]);
	if (r < 0)
		goto fail;
	ref->fd = fds[0];
	ref->hold = hold;
	ref->bond = sim_bond_ref(hold->bond);
	hold->refs++;
	hold->bond->n_refs++;
	list_append(&hold->bond->sockets, &ref->of_bond);
	(void)uv_poll_start(&ref->poll, UV_READABLE, ref_ready);
	*ret_client_fd = fds[1];
	return 0;
fail:
	close(fds[0]);
	close(fds[1]);
	free(ref);
	return r;
}

void sim_refs_revoke(struct sim_bond *bond)
{
	struct list *l, *next;

	list_for_each_safe(l, next, &bond->sockets) {
		struct sim_ref *ref = container_of(l, struct sim_ref, of_bond);

		/* What was sent before is answered: an unbind that crossed the revocation gets its result. */
		if (!ref->unbinding && !bond->finished)
			(void)ref_read(ref, MESSAGES_A_TURN);
		if (!ref->unbinding)
			ref_close(ref);
	}
}

void sim_refs_close(struct sim_hold *hold)
{
	struct list *l, *next;

	list_for_each_safe(l, next, &hold->bond->sockets) {
		struct sim_ref *ref = container_of(l, struct sim_ref, of_bond);

		if (ref->hold == hold && !ref->unbinding)
			ref_close(ref);
	}
}
