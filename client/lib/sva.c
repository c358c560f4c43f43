/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* sva_connect(), sva_disconnect(), sva_list_devices(). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

#include "internal.h"

#ifndef SVAD_DEFAULT_SOCKET
#define SVAD_DEFAULT_SOCKET "/run/svad/svad.sock"
#endif

#define ARENA_SIZE (1u << 20)

static char *choose_address(const char *address)
{
	const char *env;
	char *path;

	if (address && *address)
		return strdup(address);
	env = secure_getenv("SVAD_SOCKET");
	if (env && *env)
		return strdup(env);
	env = secure_getenv("XDG_RUNTIME_DIR");
	if (env && *env) {
		if (asprintf(&path, "%s/svad/svad.sock", env) < 0)
			return NULL;
		if (access(path, F_OK) == 0)
			return path;
		free(path);
	}
	return strdup(SVAD_DEFAULT_SOCKET);
}

static int add_fd(struct sva *sva, int fd)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = 2 };

	return epoll_ctl(sva->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

static int own_new(int fd)
{
	return fd < 0 ? -errno : sva_fd_own_locked(fd);
}

static int sva_new(const char *address, struct sva **ret)
{
	pthread_condattr_t attr;
	struct sva *sva;
	int r = 0;

	sva = calloc(1, sizeof(*sva));
	if (!sva)
		return sva_fail(NULL, -ENOMEM, "out of memory");
	sva->fd = sva->epoll_fd = sva->timer_fd = sva->wake_fd = -1;
	sva->events_tail = &sva->events;
	sva->next_id = 1;
	sva->backoff_ms = 10;
	(void)pthread_mutex_init(&sva->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&sva->cond, &attr);
	(void)pthread_condattr_destroy(&attr);

	sva->process = sva_process();
	sva->path = choose_address(address);
	sva->rx = malloc(WIRE_MAX);
	sva->tx = malloc(WIRE_MAX);
	sva->arena_memory = malloc(ARENA_SIZE);
	if (!sva->process || !sva->path || !sva->rx || !sva->tx || !sva->arena_memory) {
		r = sva_fail(NULL, -ENOMEM, "out of memory");
		goto fail;
	}
	if (strlen(sva->path) >= sizeof(((struct sockaddr_un *)0)->sun_path)) {
		r = sva_fail(NULL, -ENAMETOOLONG,
			     "the socket's path \"%.64s...\" is too long: %zu bytes at most", sva->path,
			     sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
		goto fail;
	}
	wire_arena_init(&sva->arena, sva->arena_memory, ARENA_SIZE);

	sva_fds_lock();
	sva->epoll_fd = r = own_new(epoll_create1(EPOLL_CLOEXEC));
	if (r >= 0)
		sva->timer_fd = r = own_new(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
	if (r >= 0)
		sva->wake_fd = r = own_new(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	sva_fds_unlock();
	if (r >= 0)
		r = add_fd(sva, sva->timer_fd);
	if (r >= 0)
		r = add_fd(sva, sva->wake_fd);
	if (r < 0) {
		r = sva_fail(NULL, r, "cannot make file descriptors: %s", strerrordesc_np(-r));
		goto fail;
	}
	*ret = sva;
	return 0;
fail:
	sva_disconnect(sva);
	return r;
}

int sva_connect(const char *address, int timeout_ms, struct sva **ret_sva)
{
	struct sva *sva = NULL;
	uint64_t deadline;
	int r;

	if (!ret_sva)
		return sva_fail(NULL, -EINVAL, "ret_sva is NULL");
	r = sva_new(address, &sva);
	if (r < 0)
		return r;
	sva->timeout_ms = timeout_ms > 0 ? timeout_ms : SVA_TIMEOUT_MS;
	deadline = sva_deadline(timeout_ms < 0 ? SVA_TIMEOUT_MS : timeout_ms);

	pthread_mutex_lock(&sva->lock);
	r = sva_conn_try(sva);
	if (r == 0 || r == -EAGAIN)
		r = sva_conn_await_up(sva, deadline, false);
	else
		(void)sva_fail(NULL, r, "%s", sva->hello_text);
	pthread_mutex_unlock(&sva->lock);
	if (r < 0) {
		sva_disconnect(sva); /* the words are the thread's and stay */
		return r;
	}
	*ret_sva = sva;
	return 0;
}

void sva_disconnect(struct sva *sva)
{
	struct sva_bond *bond;

	if (!sva)
		return;
	/* In a forked child the lock may be held for ever by a thread that does not exist there, the fds are
	 * closed already and the portals were never mapped: the functions below all know. */
	sva_fd_close(&sva->fd);
	sva_events_clear(sva);
	while ((bond = sva->bonds)) {
		sva_bond_unlink(bond);
		sva_bond_close(bond);
		atomic_store(&bond->refs, 0);
		sva_bond_unref_mem(bond);
	}
	if (sva->ctx)
		sva->ctx = sva_ctx_unref(sva->ctx);
	sva_fd_close(&sva->wake_fd);
	sva_fd_close(&sva->timer_fd);
	sva_fd_close(&sva->epoll_fd);
	if (sva->process == 0 || sva_alive(sva)) {
		(void)pthread_cond_destroy(&sva->cond);
		(void)pthread_mutex_destroy(&sva->lock);
	}
	free(sva->path);
	free(sva->rx);
	free(sva->tx);
	free(sva->arena_memory);
	free(sva);
}

struct list_out {
	struct sva_device *devices;
	size_t max, n;
	uint64_t next;
};

static int parse_devices(struct call *call, const Svad__V1__Reply *reply, struct wire_fds *fds)
{
	const Svad__V1__ListDevicesReply *list = reply->list_devices;
	struct list_out *out = call->out;

	(void)fds;
	if (reply->body_case != SVAD__V1__REPLY__BODY_LIST_DEVICES)
		return -EPROTO;
	/* The next page's key must grow, or a broken server could keep us here for ever. */
	if (list->next != 0 && (list->next <= out->next || list->n_devices == 0))
		return -EPROTO;
	for (size_t i = 0; i < list->n_devices; i++, out->n++) {
		const Svad__V1__Device *from = list->devices[i];
		struct sva_device *to = &out->devices[out->n];

		if (out->n >= out->max)
			continue;
		memset(to, 0, sizeof(*to));
		to->size = sizeof(*to);
		to->id = from->id;
		(void)snprintf(to->name, sizeof(to->name), "%s", from->name);
		to->numa_node = from->numa_node;
		to->pasid_bits = from->pasid_bits;
		to->operations = from->operations;
		to->capabilities = from->capabilities;
		to->health = (uint32_t)from->health;
		to->engines = from->engines;
		to->bonds = from->bonds;
	}
	out->next = list->next;
	return 0;
}

int sva_list_devices(struct sva *sva, struct sva_device *devices, size_t max)
{
	Svad__V1__Page page = SVAD__V1__PAGE__INIT;
	Svad__V1__ListDevices list = SVAD__V1__LIST_DEVICES__INIT;
	Svad__V1__Request req = SVAD__V1__REQUEST__INIT;
	struct list_out out = { .devices = devices, .max = max };
	struct call call = { .parse = parse_devices, .out = &out };
	uint64_t deadline;
	int r;

	if (!sva || (!devices && max > 0))
		return sva_fail(sva, -EINVAL, "no connection, or no array for the devices, was given");
	if (!sva_alive(sva))
		return sva_fail_owner(sva);

	list.page = &page;
	req.body_case = SVAD__V1__REQUEST__BODY_LIST_DEVICES;
	req.list_devices = &list;
	deadline = sva_deadline(sva->timeout_ms);

	pthread_mutex_lock(&sva->lock);
	do {
		page.after = out.next;
		r = sva_rpc(sva, &req, &call, deadline);
	} while (r == 0 && out.next != 0);
	pthread_mutex_unlock(&sva->lock);
	if (r < 0)
		return r;
	return out.n > INT32_MAX ? INT32_MAX : (int)out.n;
}
