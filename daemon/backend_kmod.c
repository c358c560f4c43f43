/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel module as a backend: ioctls and reads on a control fd of /dev/svabroker that the supervisor
 * opened and handed over. This process has no capability; the fd is the permission.
 *
 * None of the control ioctls waits for a device or a client, so they are made where they are asked for; the
 * one that may take long, the reset of a device, is made by a thread. An event is in the queue before the
 * call that caused it returns, here or in a client, so whoever reads the queue until it is empty is as far as
 * anybody who was answered.
 *
 * Contexts, grants and bonds are the module's: they outlive this process and its fd. A fresh fd starts with
 * an empty queue and a listing. When the queue ran over, what is left of it is read first and everything is
 * listed again: an event that is older than the listing names what the listing has, or what is no more, and
 * changes nothing.
 */
#include "backend_kmod.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "broker.h"
#include "log.h"

#define EVENTS_AT_ONCE 64u
#define EVENTS_A_TURN 1024u /* then the clients' turn comes */
#define EVENTS_CATCH_UP 65536u
#define LIST_AT_ONCE 512u

struct kmod_reset;

struct backend_kmod {
	struct backend b;
	const struct kmod_sys *sys;
	uv_loop_t *loop;
	uv_poll_t *io; /* its own allocation: it outlives an attachment until its close callback */
	int fd;
	bool lost;		   /* list again as soon as the queue is empty */
	bool stale;		   /* figures to be asked for again, by the same rule */
	bool reading;		   /* a handler that catches up from within an event finds nothing to do */
	struct kmod_reset *resets; /* under way */
	struct svab_list_entry entries[LIST_AT_ONCE];
	unsigned char buf[EVENTS_AT_ONCE * sizeof(struct svab_event)] __attribute__((aligned(8)));
};

struct kmod_reset {
	struct kmod_reset *next;
	uv_work_t work;
	struct backend_kmod *k; /* NULL: nobody waits any more */
	const struct kmod_sys *sys;
	int fd; /* its own: the attachment may end before the reset does */
	struct svab_dev_reset ask;
	int result;
	backend_done done;
	void *userdata;
};

static struct backend_kmod *kmod_of(struct backend *b)
{
	return container_of(b, struct backend_kmod, b);
}

static int os_ioctl(int fd, unsigned long request, void *arg)
{
	return ioctl(fd, request, arg);
}

static const struct kmod_sys os_sys = { .ioctl = os_ioctl, .read = read };

static int sys_ioctl(const struct kmod_sys *sys, int fd, unsigned long request, void *arg)
{
	int r;

	do {
		r = sys->ioctl(fd, request, arg) < 0 ? -errno : 0;
	} while (r == -EINTR);
	return r;
}

static ssize_t sys_read(const struct kmod_sys *sys, int fd, void *buf, size_t len)
{
	ssize_t n;

	do {
		n = sys->read(fd, buf, len);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

static int kmod_ask(struct backend_kmod *k, unsigned long request, void *arg)
{
	return k->b.is_up ? sys_ioctl(k->sys, k->fd, request, arg) : -ENODEV;
}

/* Without a listing this process knows nothing of what it answers for. The bonds do not need it: a new one,
 * started by the supervisor, does better. */
static void kmod_give_up(const char *what, int r)
{
	log_err("The kernel module cannot %s: %s; starting anew", what, strerror(-r));
	abort();
}

/* ---- figures, devices, lists ---- */

static void kmod_figures(struct backend_kmod *k)
{
	struct svab_dev_info device = { .size = sizeof(device) };
	struct svab_info info = { .size = sizeof(info) };
	int r = kmod_ask(k, SVAB_INFO, &info);

	if (r < 0)
		kmod_give_up("tell its figures", r);
	k->stale = false;
	while ((r = kmod_ask(k, SVAB_DEV_NEXT, &device)) == 0) {
		uint32_t id = device.id;

		k->b.handler->device(k->b.userdata, &device);
		memset(&device, 0, sizeof(device));
		device.size = sizeof(device);
		device.id = id;
	}
	if (r != -ENOENT)
		kmod_give_up("name its devices", r);
	k->b.handler->info(k->b.userdata, &info);
}

static void kmod_list(struct backend_kmod *k)
{
	uint64_t cursor = 0;

	k->lost = false;
	/* What was heard between a loss and now may have ended among what was lost. */
	k->b.handler->up(k->b.userdata);
	kmod_figures(k);
	do {
		struct svab_list list = {
			.size = sizeof(list),
			.cursor = cursor,
			.count = LIST_AT_ONCE,
			.entries = (uintptr_t)k->entries,
		};
		int r = kmod_ask(k, SVAB_LIST, &list);

		if (r < 0)
			kmod_give_up("list its bonds", r);
		for (uint32_t i = 0; i < list.count && i < LIST_AT_ONCE; i++)
			k->b.handler->entry(k->b.userdata, &k->entries[i]);
		cursor = list.cursor;
	} while (cursor);
	k->b.is_synced = true;
	k->b.handler->synced(k->b.userdata);
}

/* ---- events ---- */

static void kmod_event(struct backend_kmod *k, const struct svab_event *event)
{
	k->b.handler->event(k->b.userdata, event);
	switch (event->type) {
	case SVAB_EV_LOST:
		k->lost = true;
		break;
	case SVAB_EV_DEV_ADDED:
	case SVAB_EV_DEV_GONE:
	case SVAB_EV_DEV_RESET:
		k->stale = true;
		break;
	default:
		break;
	}
}

/* Records are as long as the module says, which may be of a later version than ours: what they have beyond
 * our struct is not for us, what they lack is 0. */
static void kmod_events(struct backend_kmod *k, size_t len)
{
	const unsigned char *at = k->buf;

	while (len >= offsetof(struct svab_event, time_ns)) {
		struct svab_event event = { 0 };
		uint32_t size;

		memcpy(&size, at, sizeof(size));
		if (size < offsetof(struct svab_event, time_ns) || size > len) {
			log_err("The kernel module sent a record of %u bytes where %zu are left", size, len);
			return;
		}
		memcpy(&event, at, size < sizeof(event) ? size : sizeof(event));
		kmod_event(k, &event);
		at += size;
		len -= size;
	}
}

/* At most `most` events; then what they ask for. */
static void kmod_read(struct backend_kmod *k, unsigned most)
{
	ssize_t n = 0;

	if (k->reading)
		return;
	k->reading = true;
	for (unsigned done = 0; done < most; done += EVENTS_AT_ONCE) {
		n = sys_read(k->sys, k->fd, k->buf, sizeof(k->buf));
		if (n <= 0)
			break;
		kmod_events(k, (size_t)n);
	}
	k->reading = false;
	if (n <= 0 && n != -EAGAIN)
		kmod_give_up("tell its events", n ? (int)n : -EPIPE);
	if (k->lost)
		kmod_list(k);
	else if (k->stale)
		kmod_figures(k);
}

static void kmod_io(uv_poll_t *poll, int status, int events)
{
	struct backend_kmod *k = poll->data;

	(void)events;
	if (status < 0)
		kmod_give_up("be waited for", status);
	kmod_read(k, EVENTS_A_TURN);
}

static void kmod_catch_up(struct backend *b)
{
	struct backend_kmod *k = kmod_of(b);

	if (k->b.is_up)
		kmod_read(k, EVENTS_CATCH_UP);
}

/* ---- attachment ---- */

static void kmod_io_closed(uv_handle_t *handle)
{
	free(handle);
}

static void kmod_detach(struct backend_kmod *k)
{
	k->b.is_up = k->b.is_synced = false;
	k->lost = k->stale = false;
	if (k->io)
		uv_close((uv_handle_t *)k->io, kmod_io_closed);
	k->io = NULL;
	if (k->fd >= 0)
		close(k->fd);
	k->fd = -1;
}

static int kmod_attach(struct backend *b, int fd, uint64_t generation)
{
	struct backend_kmod *k = kmod_of(b);
	int r;

	(void)generation; /* a module that was loaded anew has no bonds: the listing says so */
	kmod_detach(k);
	k->io = malloc(sizeof(*k->io));
	if (!k->io) {
		close(fd);
		return -ENOMEM;
	}
	r = uv_poll_init(k->loop, k->io, fd);
	if (r < 0) {
		free(k->io);
		k->io = NULL;
		close(fd);
		return r;
	}
	k->io->data = k;
	k->fd = fd;
	k->b.is_up = true;
	uv_poll_start(k->io, UV_READABLE, kmod_io);
	kmod_list(k);
	return 0;
}

/* ---- operations ---- */

static int kmod_ctx_create(struct backend *b, const struct svab_ctx_create *create, int *ret_fd)
{
	struct svab_ctx_create ask = *create;
	int r;

	ask.fd = -1;
	r = kmod_ask(kmod_of(b), SVAB_CTX_CREATE, &ask);
	if (r < 0)
		return r;
	*ret_fd = ask.fd;
	return 0;
}

static int kmod_ctx_grant(struct backend *b, const struct svab_ctx_grant *grant)
{
	struct svab_ctx_grant ask = *grant;

	return kmod_ask(kmod_of(b), SVAB_CTX_GRANT, &ask);
}

/* What is no more has ended as was wished; the event that says so is on its way. */
static int ended_is_fine(int r)
{
	return r == -ENOENT ? 0 : r;
}

static int kmod_ctx_revoke_grant(struct backend *b, uint64_t cookie, uint32_t device)
{
	struct svab_ctx_ref ref = { .size = sizeof(ref), .cookie = cookie, .device = device };

	return ended_is_fine(kmod_ask(kmod_of(b), SVAB_CTX_REVOKE_GRANT, &ref));
}

static int kmod_ctx_revoke(struct backend *b, uint64_t cookie, enum svab_cause cause)
{
	struct svab_ctx_ref ref = { .size = sizeof(ref), .cookie = cookie, .cause = cause };

	return ended_is_fine(kmod_ask(kmod_of(b), SVAB_CTX_REVOKE, &ref));
}

static int kmod_bond_revoke(struct backend *b, uint64_t bond, enum svab_cause cause)
{
	struct svab_bond_ref ref = { .size = sizeof(ref), .bond = bond, .cause = cause };
	int r = kmod_ask(kmod_of(b), SVAB_BOND_REVOKE, &ref);

	return r == -ENOENT ? 1 : r;
}

static void reset_work(uv_work_t *work)
{
	struct kmod_reset *reset = container_of(work, struct kmod_reset, work);

	reset->result = sys_ioctl(reset->sys, reset->fd, SVAB_DEV_RESET, &reset->ask);
}

static void reset_worked(uv_work_t *work, int status)
{
	struct kmod_reset *reset = container_of(work, struct kmod_reset, work), **link;
	int result = status < 0 ? status : reset->result;

	if (reset->k) {
		for (link = &reset->k->resets; *link != reset; link = &(*link)->next)
			;
		*link = reset->next;
		/* Whoever is told of the reset finds its bonds CLEAN. */
		if (reset->k->b.is_up)
			kmod_read(reset->k, EVENTS_CATCH_UP);
		reset->done(reset->userdata, result, &reset->ask);
	}
	close(reset->fd);
	free(reset);
}

static int kmod_dev_reset(struct backend *b, uint32_t device, backend_done done, void *userdata)
{
	struct backend_kmod *k = kmod_of(b);
	struct kmod_reset *reset;
	int r;

	if (!k->b.is_up)
		return -ENODEV;
	reset = calloc(1, sizeof(*reset));
	if (!reset)
		return -ENOMEM;
	*reset = (struct kmod_reset){
		.k = k,
		.sys = k->sys,
		.ask = { .size = sizeof(reset->ask), .device = device },
		.done = done,
		.userdata = userdata,
		.fd = fcntl(k->fd, F_DUPFD_CLOEXEC, 0),
	};
	if (reset->fd < 0) {
		r = -errno;
		free(reset);
		return r;
	}
	r = uv_queue_work(k->loop, &reset->work, reset_work, reset_worked);
	if (r < 0) {
		close(reset->fd);
		free(reset);
		return r;
	}
	reset->next = k->resets;
	k->resets = reset;
	return 0;
}

static int kmod_refresh(struct backend *b)
{
	struct backend_kmod *k = kmod_of(b);

	if (!k->b.is_up)
		return -ENODEV;
	kmod_figures(k);
	return 0;
}

static bool kmod_is_waiting(const struct backend *b)
{
	return container_of(b, struct backend_kmod, b)->resets != NULL;
}

static void kmod_free(struct backend *b)
{
	struct backend_kmod *k = kmod_of(b);
	struct kmod_reset *reset;

	kmod_detach(k);
	/* The module finishes them; who asked is told that nobody waits for it. */
	while ((reset = k->resets)) {
		k->resets = reset->next;
		reset->k = NULL;
		(void)uv_cancel((uv_req_t *)&reset->work);
		reset->done(reset->userdata, -ENODEV, NULL);
	}
	free(k);
}

static const struct backend_ops kmod_ops = {
	.name = "kmod",
	.attach = kmod_attach,
	.ctx_create = kmod_ctx_create,
	.ctx_grant = kmod_ctx_grant,
	.ctx_revoke_grant = kmod_ctx_revoke_grant,
	.ctx_revoke = kmod_ctx_revoke,
	.bond_revoke = kmod_bond_revoke,
	.dev_reset = kmod_dev_reset,
	.catch_up = kmod_catch_up,
	.refresh = kmod_refresh,
	.is_waiting = kmod_is_waiting,
	.free = kmod_free,
};

int backend_kmod_new(uv_loop_t *loop, const struct kmod_sys *sys, const struct backend_handler *handler,
		     void *userdata, struct backend **ret)
{
	struct backend_kmod *k = calloc(1, sizeof(*k));

	if (!k)
		return -ENOMEM;
	k->b = (struct backend){ .ops = &kmod_ops, .handler = handler, .userdata = userdata };
	k->sys = sys ? sys : &os_sys;
	k->loop = loop;
	k->fd = -1;
	*ret = &k->b;
	return 0;
}
