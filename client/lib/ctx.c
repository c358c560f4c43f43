/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "internal.h"

int sva_ctx_new(const struct sva *sva, int fd, uint64_t cookie, struct sva_ctx **ret)
{
	static const struct ctx_transport *const transports[] = { &ctx_transport_sim, &ctx_transport_kmod };
	const struct ctx_transport *transport = NULL;
	struct sva_ctx *ctx;

	for (size_t i = 0; !transport && i < sizeof(transports) / sizeof(transports[0]); i++)
		if (transports[i]->is(fd))
			transport = transports[i];
	if (!transport || cookie == 0) {
		sva_fd_close(&fd);
		return sva_fail(sva, -EPROTO, "svad sent something that is no context");
	}
	ctx = malloc(sizeof(*ctx));
	if (!ctx) {
		sva_fd_close(&fd);
		return sva_fail(sva, -ENOMEM, "out of memory");
	}
	*ctx = (struct sva_ctx){ .transport = transport, .fd = fd, .cookie = cookie, .refs = 1 };
	*ret = ctx;
	return 0;
}

struct sva_ctx *sva_ctx_unref(struct sva_ctx *ctx)
{
	if (ctx && --ctx->refs == 0) {
		sva_fd_close(&ctx->fd);
		free(ctx);
	}
	return NULL;
}

bool sva_hung_up(int fd)
{
	struct pollfd p = { .fd = fd };

	return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR | POLLNVAL));
}
