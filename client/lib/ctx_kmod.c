/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A ctx fd of the kernel module: the kernel takes current->mm, drains by itself and needs no kick. */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "internal.h"

static int kmod_bind(const struct sva *sva, struct sva_ctx *ctx, uint32_t device, uint64_t deadline,
		     struct ctx_bound *ret)
{
	struct svab_bind bind = { .size = sizeof(bind), .device = device, .bond_fd = -1 };
	int r;

	(void)deadline; /* the kernel does not wait here */
	sva_fds_lock();
	r = ioctl(ctx->fd, SVAB_BIND, &bind) < 0 ? -errno : 0;
	if (r == 0)
		bind.bond_fd = sva_fd_own_locked(bind.bond_fd);
	sva_fds_unlock();
	if (r == -EACCES)
		return sva_fail(sva, r, "svad has taken back what it granted, just now; bind again");
	if (r == -EBUSY)
		return sva_fail(sva, r,
				"the last bond of this process with this device is still draining, or "
				"quarantined, or the device is being reset");
	if (r < 0)
		return sva_fail(sva, r, "the kernel refused the bind: %s",
				strerrordesc_np(-r) ?: "unknown error");
	if (bind.bond_fd < 0)
		return sva_fail(sva, -ENOMEM, "out of memory");
	*ret = (struct ctx_bound){ .bind = bind, .bond_fd = bind.bond_fd, .portal_fd = -1 };
	return 0;
}

static int kmod_unbind(struct sva_bond *bond, uint32_t *state, uint64_t deadline)
{
	struct svab_unbind unbind = { .size = sizeof(unbind), .state = *state };
	int r;

	(void)deadline; /* the kernel's own is the device's */
	do {
		r = ioctl(bond->fd, SVAB_UNBIND, &unbind) < 0 ? -errno : 0;
	} while (r == -EINTR);
	if (r == -ESHUTDOWN) /* this very fd's reference is gone, and no answer came with it */
		return -ENOLINK;
	if (r == 0)
		*state = unbind.state;
	return r;
}

static int kmod_kick(struct sva_bond *bond)
{
	(void)bond;
	return 0;
}

/* Its files have no type that fstat() could tell. A request that says it has no size is answered with EINVAL
 * by the module, and with ENOTTY by everything else. */
static bool kmod_is(int fd)
{
	struct svab_bind nothing = { .size = 0 };

	return ioctl(fd, SVAB_BIND, &nothing) < 0 && errno == EINVAL;
}

const struct ctx_transport ctx_transport_kmod = {
	.name = "kmod",
	.is = kmod_is,
	.bind = kmod_bind,
	.unbind = kmod_unbind,
	.kick = kmod_kick,
};
