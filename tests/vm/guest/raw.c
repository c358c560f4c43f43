/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /dev/svabroker by hand: what the broker and the library do, without either. */
#include "vm.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#define JOB_MS 120000
#define NAP_MIN_NS 50000
#define NAP_MAX_NS 2000000

/* ---- control ---- */

int ctl_open(void)
{
	int fd = open("/dev/svabroker", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		FAIL("/dev/svabroker: %s", strerror(errno));
	return fd;
}

static int own = -1;

int ctl(void)
{
	if (own < 0)
		own = ctl_open();
	return own;
}

void ctl_close(void)
{
	close_fd(&own);
}

int ctl_ioctl(unsigned long op, void *arg)
{
	return ioctl(ctl(), op, arg) < 0 ? -errno : 0;
}

void ctl_info(struct svab_info *ret)
{
	*ret = (struct svab_info){ .size = sizeof(*ret) };
	MUST_EQ(ctl_ioctl(SVAB_INFO, ret), 0);
}

bool dev_get(const char *name, struct svab_dev_info *ret)
{
	uint32_t id = 0;

	for (;;) {
		int r;

		*ret = (struct svab_dev_info){ .size = sizeof(*ret), .id = id };
		r = ctl_ioctl(SVAB_DEV_NEXT, ret);
		if (r == -ENOENT || r == -ENODEV)
			return false;
		MUST_EQ(r, 0);
		if (strcmp(ret->name, name) == 0 && ret->state != SVAB_DEV_GONE)
			return true;
		id = ret->id;
	}
}

uint32_t dev_id(const char *name)
{
	struct svab_dev_info info;

	if (!dev_get(name, &info))
		FAIL("there is no device %s", name);
	return info.id;
}

uint64_t ctx_new(int *ret_fd)
{
	struct svab_ctx_create c = {
		.size = sizeof(c), .uid = getuid(), .gid = getgid(), .pid = getpid(), .fd = -1
	};

	MUST_SYS(getrandom(&c.cookie, sizeof(c.cookie), 0) == sizeof(c.cookie));
	MUST_EQ(ctl_ioctl(SVAB_CTX_CREATE, &c), 0);
	*ret_fd = c.fd;
	return c.cookie;
}

int ctx_grant(uint64_t cookie, const char *device, unsigned deadline_ms)
{
	struct svab_ctx_grant g = { .size = sizeof(g),
				    .cookie = cookie,
				    .device = dev_id(device),
				    .deadline_ms = deadline_ms,
				    .grant = rnd() | 1 };

	return ctl_ioctl(SVAB_CTX_GRANT, &g);
}

int ctx_revoke(uint64_t cookie, uint32_t cause)
{
	struct svab_ctx_ref r = { .size = sizeof(r), .cookie = cookie, .cause = cause };

	return ctl_ioctl(SVAB_CTX_REVOKE, &r);
}

int bond_revoke(uint64_t bond)
{
	struct svab_bond_ref r = { .size = sizeof(r), .bond = bond, .cause = SVAB_CAUSE_ADMIN };

	return ctl_ioctl(SVAB_BOND_REVOKE, &r);
}

int dev_reset(const char *device, struct svab_dev_reset *ret)
{
	*ret = (struct svab_dev_reset){ .size = sizeof(*ret), .device = dev_id(device) };
	return ctl_ioctl(SVAB_DEV_RESET, ret);
}

int ctx_bind(int ctx, const char *device, struct svab_bind *ret)
{
	*ret = (struct svab_bind){ .size = sizeof(*ret), .device = dev_id(device), .bond_fd = -1 };
	return ioctl(ctx, SVAB_BIND, ret) < 0 ? -errno : 0;
}

void list_all(struct listed *ret)
{
	struct svab_list_entry page[64];
	struct svab_list l = { .size = sizeof(l) };

	*ret = (struct listed){ 0 };
	do {
		l.count = 64;
		l.entries = (uintptr_t)page;
		MUST_EQ(ctl_ioctl(SVAB_LIST, &l), 0);
		ret->at = realloc(ret->at, (ret->n + l.count + 1) * sizeof(*ret->at));
		MUST(ret->at != NULL);
		memcpy(ret->at + ret->n, page, l.count * sizeof(*page));
		ret->n += l.count;
	} while (l.cursor);
}

/* ---- bonds ---- */

uint32_t portal_read(const struct rbond *b, uint32_t reg)
{
	return __atomic_load_n((volatile uint32_t *)(b->portal + reg), __ATOMIC_ACQUIRE);
}

static void portal_write(const struct rbond *b, uint32_t reg, uint32_t value)
{
	__atomic_store_n((volatile uint32_t *)(b->portal + reg), value, __ATOMIC_RELEASE);
}

void bond_map(struct rbond *b, const struct svab_bind *bound)
{
	uint64_t deadline = deadline_in(20000);
	void *p;

	b->fd = bound->bond_fd;
	b->device = bound->device;
	b->pasid = bound->pasid;
	b->id = bound->bond;
	MUST(b->pasid != 0);
	MUST_EQ(bound->portal_size, SVA_DEMO_PORTAL_SIZE);
	p = mmap(NULL, bound->portal_size, PROT_READ | PROT_WRITE, MAP_SHARED, b->fd, 0);
	MUST_SYS(p != MAP_FAILED);
	b->portal = p;
	MUST_EQ(portal_read(b, SVA_DEMO_REG_MAGIC), SVA_DEMO_MAGIC);
	/* Another ctx of this address space may have used it before: the device forgets its place in that
	 * ring. */
	portal_write(b, SVA_DEMO_REG_ENABLE, 0);
	while (portal_read(b, SVA_DEMO_REG_HEAD) != 0) {
		if (past(deadline))
			FAIL("the device does not let go of its old ring");
		nap();
	}
	portal_write(b, SVA_DEMO_REG_DOORBELL, 0);
	MUST(posix_memalign((void **)&b->ring, 4096, RING * sizeof(*b->ring)) == 0);
	memset(b->ring, 0, RING * sizeof(*b->ring));
	b->tail = 0;
	__atomic_store_n((volatile uint64_t *)(b->portal + SVA_DEMO_REG_RING_BASE), (uintptr_t)b->ring,
			 __ATOMIC_RELEASE);
	portal_write(b, SVA_DEMO_REG_RING_SIZE, RING);
	portal_write(b, SVA_DEMO_REG_ENABLE, 1);
}

void bond_open_deadline(struct rbond *b, const char *device, unsigned deadline_ms)
{
	struct svab_bind bound;

	*b = (struct rbond){ .ctx = -1, .fd = -1 };
	b->cookie = ctx_new(&b->ctx);
	MUST_EQ(ctx_grant(b->cookie, device, deadline_ms), 0);
	MUST_EQ(ctx_bind(b->ctx, device, &bound), 0);
	bond_map(b, &bound);
}

void bond_open(struct rbond *b, const char *device)
{
	bond_open_deadline(b, device, (unsigned)ms(DRAIN_MS));
}

int bond_unbind(struct rbond *b, uint32_t vouched, struct svab_unbind *ret)
{
	struct svab_unbind u;
	int r;

	do {
		u = (struct svab_unbind){ .size = sizeof(u), .state = vouched };
		r = ioctl(b->fd, SVAB_UNBIND, &u) < 0 ? -errno : 0;
	} while (r == -EINTR);
	if (ret)
		*ret = u;
	return r;
}

void bond_unbind_clean(struct rbond *b)
{
	struct svab_unbind u;

	MUST_EQ(bond_unbind(b, SVAB_PASID_NONE, &u), 0);
	MUST_EQ(u.state, SVAB_PASID_CLEAN);
	bond_close(b);
}

void bond_close(struct rbond *b)
{
	close_fd(&b->fd);
	close_fd(&b->ctx);
	if (b->portal)
		munmap((void *)(uintptr_t)b->portal, SVA_DEMO_PORTAL_SIZE);
	b->portal = NULL;
	/* The ring stays: while the bond drains the device may read it, and what comes here next is not for
	 * it. */
}

int bond_info(const struct rbond *b, struct svab_bond_info *ret)
{
	*ret = (struct svab_bond_info){ .size = sizeof(*ret) };
	return ioctl(b->fd, SVAB_BOND_INFO, ret) < 0 ? -errno : 0;
}

static sigjmp_buf on_bus;

static void bus(int sig)
{
	(void)sig;
	siglongjmp(on_bus, 1);
}

bool portal_alive(const struct rbond *b)
{
	struct sigaction sa = { .sa_handler = bus }, old;
	volatile bool alive = false;

	sigaction(SIGBUS, &sa, &old);
	if (sigsetjmp(on_bus, 1) == 0) {
		(void)portal_read(b, SVA_DEMO_REG_MAGIC);
		alive = true;
	}
	sigaction(SIGBUS, &old, NULL);
	return alive;
}

bool hup(int fd, int timeout)
{
	uint64_t deadline = deadline_in(timeout);

	for (;;) {
		struct pollfd p = { .fd = fd };

		if (poll(&p, 1, timeout ? ms_left(deadline) : 0) > 0)
			return (p.revents & POLLHUP) != 0;
		if (past(deadline))
			return false;
	}
}

/* ---- jobs ---- */

bool is_done(const struct sva_demo_completion *done)
{
	return __atomic_load_n(&done->status, __ATOMIC_ACQUIRE) != SVA_DEMO_PENDING;
}

void submit(struct rbond *b, struct sva_demo_desc desc, struct sva_demo_completion *done)
{
	uint64_t deadline = deadline_in(JOB_MS);

	/* A reset zeroes HEAD a moment before the portal goes: then the ring looks full, and nothing is done
	 * any more. */
	while (b->tail - portal_read(b, SVA_DEMO_REG_HEAD) >= RING) {
		if (hup(b->fd, 0)) {
			__atomic_store_n(&done->status, SVA_DEMO_PENDING, __ATOMIC_RELAXED);
			return;
		}
		if (past(deadline))
			FAIL("the ring stays full: head %u, tail %u", portal_read(b, SVA_DEMO_REG_HEAD),
			     b->tail);
		nap();
	}
	__atomic_store_n(&done->status, SVA_DEMO_PENDING, __ATOMIC_RELAXED);
	desc.completion = (uintptr_t)done;
	b->ring[b->tail & (RING - 1)] = desc;
	portal_write(b, SVA_DEMO_REG_DOORBELL, ++b->tail);
}

uint32_t wait_done(struct rbond *b, const struct sva_demo_completion *done)
{
	uint64_t deadline = deadline_in(JOB_MS);
	long nap_ns = NAP_MIN_NS;

	while (!is_done(done)) {
		struct pollfd p = { .fd = b->fd };
		struct timespec t = { .tv_nsec = nap_ns };

		if (ppoll(&p, 1, &t, NULL) > 0 && (p.revents & POLLHUP))
			return is_done(done) ? done->status : 0;
		if (past(deadline))
			FAIL("the device has not done a job within %d ms (head %u, ring error %u)",
			     ms(JOB_MS), portal_read(b, SVA_DEMO_REG_HEAD),
			     portal_read(b, SVA_DEMO_REG_ERROR));
		nap_ns = nap_ns * 2 > NAP_MAX_NS ? NAP_MAX_NS : nap_ns * 2;
	}
	return done->status;
}

uint32_t run(struct rbond *b, struct sva_demo_desc desc, struct sva_demo_completion *ret_done)
{
	/* Not on the stack: after a revocation the device may still write it. */
	struct sva_demo_completion *done = aligned_alloc(64, 64);
	uint32_t status;

	MUST(done != NULL);
	memset(done, 0, 64);
	submit(b, desc, done);
	status = wait_done(b, done);
	if (ret_done)
		*ret_done = *done;
	if (status)
		free(done);
	return status;
}

void run_ok(struct rbond *b, struct sva_demo_desc desc)
{
	struct sva_demo_completion done;
	uint32_t status = run(b, desc, &done);

	if (status != SVA_DEMO_OK)
		FAIL("a job (op %u, %llu bytes) ended with status %u at %#llx after %llu bytes", desc.op,
		     (unsigned long long)desc.len, status, (unsigned long long)done.fault_addr,
		     (unsigned long long)done.bytes);
}

struct sva_demo_desc d_copy(void *dst, const void *src, size_t len)
{
	return (struct sva_demo_desc){
		.op = SVA_DEMO_COPY, .src = (uintptr_t)src, .dst = (uintptr_t)dst, .len = len
	};
}

struct sva_demo_desc d_fill(void *dst, uint64_t pattern, size_t len)
{
	return (struct sva_demo_desc){
		.op = SVA_DEMO_FILL, .dst = (uintptr_t)dst, .len = len, .arg = pattern
	};
}

struct sva_demo_desc d_crc(const void *src, size_t len)
{
	return (struct sva_demo_desc){ .op = SVA_DEMO_CRC32C, .src = (uintptr_t)src, .len = len };
}

struct sva_demo_desc d_compare(const void *a, const void *b, size_t len)
{
	return (struct sva_demo_desc){
		.op = SVA_DEMO_COMPARE, .src = (uintptr_t)a, .dst = (uintptr_t)b, .len = len
	};
}

uint32_t crc32c(const void *src, size_t len)
{
	const uint8_t *p = src;
	uint32_t crc = 0xffffffffu;

	while (len--) {
		crc ^= *p++;
		for (int i = 0; i < 8; i++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
	}
	return ~crc;
}

/* ---- events ---- */

bool event_next(int fd, struct svab_event *ret, int timeout)
{
	uint64_t deadline = deadline_in(timeout);
	struct pollfd p = { .fd = fd, .events = POLLIN };

	for (;;) {
		int r = poll(&p, 1, timeout ? ms_left(deadline) : 0);

		if (r > 0) {
			MUST_EQ(read(fd, ret, sizeof(*ret)), sizeof(*ret));
			MUST_EQ(ret->size, sizeof(*ret));
			return true;
		}
		if (past(deadline))
			return false;
	}
}

struct svab_event event_await(int fd, uint32_t type, uint64_t bond)
{
	uint64_t deadline = deadline_in(60000);
	struct svab_event e;

	while (!past(deadline)) {
		if (!event_next(fd, &e, 1000))
			continue;
		if (e.type == type && (!bond || e.bond == bond))
			return e;
		if (e.type == SVAB_EV_LOST)
			FAIL("%llu events were lost", (unsigned long long)e.value);
	}
	FAIL("no event %u of bond %llu", type, (unsigned long long)bond);
}

static bool settled(unsigned quarantined, bool empty)
{
	struct svab_info info;

	ctl_info(&info);
	if (info.draining || info.quarantined != quarantined)
		return false;
	return !empty || (!info.ctxs && !info.bonds);
}

static void await(unsigned quarantined, bool empty)
{
	uint64_t deadline = deadline_in(60000);
	int fd = ctl_open();

	while (!settled(quarantined, empty)) {
		struct svab_event e;

		if (past(deadline)) {
			struct svab_info info;

			ctl_info(&info);
			FAIL("%u ctxs, %u bonds, %u draining, %u quarantined are left", info.ctxs, info.bonds,
			     info.draining, info.quarantined);
		}
		(void)event_next(fd, &e, 50);
	}
	close(fd);
}

struct svab_event event_await_clean(int events, uint64_t bond, bool *ret_flushed)
{
	bool stopping = false, flushed = false;
	struct svab_event e;

	for (;;) {
		if (!event_next(events, &e, 60000))
			FAIL("no DRAINED of bond %llu", (unsigned long long)bond);
		if (e.bond != bond)
			continue;
		switch (e.type) {
		case SVAB_EV_STOPPING:
			MUST(!stopping && !flushed);
			stopping = true;
			break;
		case SVAB_EV_FLUSHED:
			MUST(stopping && !flushed);
			flushed = true;
			break;
		case SVAB_EV_DRAINED:
			MUST(stopping);
			MUST_EQ(e.state, SVAB_PASID_CLEAN);
			if (ret_flushed)
				*ret_flushed = flushed;
			return e;
		case SVAB_EV_QUARANTINED:
		case SVAB_EV_STOP_FAILED:
			FAIL("event %u of a device that stops", e.type);
		default:
			break;
		}
	}
}

void await_idle(void)
{
	await(0, true);
}

void await_drained(unsigned quarantined)
{
	await(quarantined, false);
}
