/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Binding: the broker grants, then this process binds its own address space through the ctx fd. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>

#include "internal.h"

struct grant {
	uint32_t device;
	uint32_t drain_ms;
	uint64_t context;
	int ctx_fd;
	char name[64];
};

static int parse_bind(struct call *call, const Svad__V1__Reply *reply, struct wire_fds *fds)
{
	const Svad__V1__BindReply *bind = reply->bind;
	struct grant *grant = call->out;

	if (reply->body_case != SVAD__V1__REPLY__BODY_BIND || fds->n > 1 || bind->context == 0)
		return -EPROTO;
	grant->device = bind->device_id;
	grant->drain_ms = bind->drain_deadline_ms;
	grant->context = bind->context;
	grant->ctx_fd = wire_fds_take(fds, 0);
	(void)snprintf(grant->name, sizeof(grant->name), "%s", bind->device);
	return 0;
}

/* Lock held. The bond that a bind of this device must share, or one that is ending and must be waited for. */
static struct sva_bond *find(struct sva *sva, const char *name, uint32_t device)
{
	for (struct sva_bond *bond = sva->bonds; bond; bond = bond->next) {
		if (name ? strcmp(bond->name, name) != 0 : bond->device != device)
			continue;
		if (!bond->ending && !atomic_load(&bond->revoked) && sva_hung_up(bond->fd))
			sva_bond_mark_revoked(bond, SVAB_PASID_STOPPING, SVAB_CAUSE_NONE);
		if (bond->ending || !atomic_load(&bond->revoked))
			return bond;
	}
	return NULL;
}

static int bond_new(struct sva *sva, const struct grant *grant, struct ctx_bound *bound,
		    struct sva_bond **ret)
{
	struct epoll_event ev = { .events = 0 }; /* hang-up is always reported */
	struct sva_bond *bond;
	int r = 0;

	bond = calloc(1, sizeof(*bond));
	if (!bond) {
		r = sva_fail(sva, -ENOMEM, "out of memory");
		goto fail;
	}
	bond->sva = sva;
	bond->id = bound->bind.bond;
	bond->device = grant->device;
	bond->pasid = bound->bind.pasid;
	bond->drain_ms = grant->drain_ms ? grant->drain_ms : SVA_TIMEOUT_MS;
	memcpy(bond->name, grant->name, sizeof(bond->name));
	atomic_init(&bond->refs, 1);
	bond->mem = 1;

	if (bound->bind.portal_size) {
		int fd = bound->portal_fd >= 0 ? bound->portal_fd : bound->bond_fd;
		void *p = mmap(NULL, bound->bind.portal_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

		if (p == MAP_FAILED) {
			r = -errno;
			r = sva_fail(sva, r, "cannot map the portal of %s: %s", bond->name,
				     strerrordesc_np(-r));
			goto fail;
		}
		/* A forked child gets no portal, as with hardware (there the kernel module sees to it). */
		(void)madvise(p, bound->bind.portal_size, MADV_DONTFORK);
		bond->portal = p;
		bond->portal_size = bound->bind.portal_size;
	}
	sva_fd_close(&bound->portal_fd);

	ev.data.ptr = bond;
	if (epoll_ctl(sva->epoll_fd, EPOLL_CTL_ADD, bound->bond_fd, &ev) < 0) {
		r = -errno;
		r = sva_fail(sva, r, "cannot watch the bond: %s", strerrordesc_np(-r));
		goto fail;
	}
	bond->fd = bound->bond_fd;
	*ret = bond;
	return 0;
fail:
	sva_fd_close(&bound->portal_fd);
	sva_fd_close(&bound->bond_fd); /* its last close: the device unbinds */
	if (bond && bond->portal)
		(void)munmap(bond->portal, bond->portal_size);
	free(bond);
	return r;
}

/* Lock held. Makes the granted ctx the current one. */
static int take_ctx(struct sva *sva, struct grant *grant)
{
	struct sva_ctx *ctx;
	int r;

	if (grant->ctx_fd < 0) {
		if (sva->ctx && sva->ctx->cookie == grant->context)
			return 0;
		return sva_fail(sva, -EPROTO, "svad named a context that this process was not given");
	}
	r = sva_ctx_new(sva, grant->ctx_fd, grant->context, &ctx);
	grant->ctx_fd = -1;
	if (r < 0)
		return r;
	if (sva->ctx)
		sva_ctx_unref(sva->ctx);
	sva->ctx = ctx;
	return 0;
}

/* Lock held, binding set. */
static int bind_locked(struct sva *sva, const char *name, Svad__V1__Request *req, uint64_t deadline,
		       struct sva_bond **ret)
{
	unsigned contexts = 0;

	for (;;) {
		struct grant grant = { .ctx_fd = -1 };
		struct call call = { .parse = parse_bind, .out = &grant };
		struct ctx_bound bound;
		struct sva_bond *bond;
		struct sva_ctx *ctx;
		int r;

		/* A name is enough to know the bond by; a selector must ask which device it means now. */
		bond = name ? find(sva, name, 0) : NULL;
		if (!bond) {
			/* A ctx that the device has ended (it was restarted, or revoked us) is of no more
			 * use. */
			if (sva->ctx && sva->ctx->transport == &ctx_transport_sim &&
			    sva_hung_up(sva->ctx->fd))
				sva->ctx = sva_ctx_unref(sva->ctx);
			r = sva_rpc(sva, req, &call, deadline);
			if (r < 0) {
				/* parsed, and then the connection's protocol failed */
				sva_fd_close(&grant.ctx_fd);
				return r;
			}
			r = take_ctx(sva, &grant);
			if (r < 0)
				return r;
			bond = find(sva, NULL, grant.device);
		}
		if (bond && !bond->ending) {
			atomic_fetch_add(&bond->refs, 1);
			*ret = bond;
			return 0;
		}
		if (bond) { /* another thread is in its last sva_unbind(): the device takes no new one before
			       that ended */
			if (sva_remaining_ms(deadline) == 0)
				return sva_fail(sva, -EBUSY, "the earlier bond with %s is still draining",
						bond->name);
			sva_cond_wait(sva, deadline);
			continue;
		}

		ctx = sva->ctx;
		ctx->refs++;
		pthread_mutex_unlock(&sva->lock);
		r = ctx->transport->bind(sva, ctx, grant.device, deadline, &bound);
		pthread_mutex_lock(&sva->lock);
		if (r == 0)
			r = bond_new(sva, &grant, &bound, &bond);
		if (r == 0) {
			bond->ctx = ctx; /* our reference */
			bond->next = sva->bonds;
			sva->bonds = bond;
			*ret = bond;
			return 0;
		}
		if (r == -EPIPE && sva->ctx == ctx)
			sva->ctx = sva_ctx_unref(sva->ctx);
		sva_ctx_unref(ctx);
		if (r != -EPIPE || ++contexts > 1)
			return r == -EPIPE ? -ENODEV : r;
	}
}

static int bind_common(struct sva *sva, const char *name, Svad__V1__Selector *selector, struct sva_bond **ret)
{
	Svad__V1__Bind bind = SVAD__V1__BIND__INIT;
	Svad__V1__Request req = SVAD__V1__REQUEST__INIT;
	uint64_t deadline;
	int r;

	if (!sva_alive(sva))
		return sva_fail_owner(sva);
	if (name)
		bind.device = (char *)(uintptr_t)name;
	bind.selector = selector;
	req.body_case = SVAD__V1__REQUEST__BODY_BIND;
	req.bind = &bind;
	deadline = sva_deadline(sva->timeout_ms);

	pthread_mutex_lock(&sva->lock);
	while (sva->binding) {
		if (sva_remaining_ms(deadline) == 0) {
			pthread_mutex_unlock(&sva->lock);
			return sva_fail(sva, -ETIMEDOUT, "another thread's bind did not end in time");
		}
		sva_cond_wait(sva, deadline);
	}
	sva->binding = true;
	r = bind_locked(sva, name, &req, deadline, ret);
	sva->binding = false;
	pthread_cond_broadcast(&sva->cond);
	pthread_mutex_unlock(&sva->lock);
	return r;
}

int sva_bind(struct sva *sva, const char *name, struct sva_bond **ret_bond)
{
	Svad__V1__Selector any = SVAD__V1__SELECTOR__INIT;

	if (!sva || !ret_bond)
		return sva_fail(sva, -EINVAL, "no connection, or no place for the bond, was given");
	if (!name || !*name)
		return bind_common(sva, NULL, &any, ret_bond);
	if (strlen(name) >= 64)
		return sva_fail(sva, -ENOENT, "no device has a name as long as \"%.63s...\"", name);
	return bind_common(sva, name, NULL, ret_bond);
}

int sva_bind_selector(struct sva *sva, const struct sva_selector *selector, struct sva_bond **ret_bond)
{
	Svad__V1__Selector wire = SVAD__V1__SELECTOR__INIT;

	if (!sva || !ret_bond)
		return sva_fail(sva, -EINVAL, "no connection, or no place for the bond, was given");
	if (!selector)
		return sva_bind(sva, NULL, ret_bond);
	if (selector->size < sizeof(*selector))
		return sva_fail(sva, -EINVAL, "selector.size must be sizeof(struct sva_selector)");
	if (selector->flags & ~SVA_SELECT_NUMA || selector->reserved)
		return sva_fail(sva, -EINVAL, "the selector has flags that this library does not know");
	wire.operations = selector->operations;
	wire.capabilities = selector->capabilities;
	wire.has_numa_node = (selector->flags & SVA_SELECT_NUMA) != 0;
	wire.numa_node = wire.has_numa_node ? selector->numa_node : 0;
	return bind_common(sva, NULL, &wire, ret_bond);
}
