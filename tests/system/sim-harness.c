/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sim-harness.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../daemon/channel.h"
#include "../../proto/simwire.h"
#include "tap.h"

static struct {
	pid_t pid;
	int channel, control, fault;
	char dir[64], socket[96];
	struct svab_event events[8192];
	size_t n_events;
	uint32_t seq;
} h = { .pid = -1, .channel = -1, .control = -1, .fault = -1 };

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000u + (uint64_t)ts.tv_nsec / 1000000u;
}

int h_ms(unsigned n)
{
	return (int)(n * tap_patience());
}

static void wait_readable(int fd, const char *what)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int r = poll(&p, 1, h_ms(10000));

	ck_assert_msg(r == 1, "nothing came: %s", what);
}

/* ---- start and stop ------------------------------------------------------------------------------------- */

static void send_backend(void)
{
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	ck_assert_int_eq(chan_send(h.channel, CHAN_BACKEND, 1, NULL, 0, &pair[1], 1), 0);
	close(pair[1]);
	h.control = pair[0];
}

void h_start(const char *config)
{
	char path[4200], text[4096];
	static char buf[CHAN_MAX];
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct chan_hdr hdr;
	int pair[2], memfd, fds[CHAN_MAX_FDS];

	snprintf(h.dir, sizeof(h.dir), "/tmp/svad-sim-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(h.dir));
	snprintf(h.socket, sizeof(h.socket), "%s/fault", h.dir);
	snprintf(text, sizeof(text), "[drain]\ndeadline = %u\n[sim]\nfault_socket = %s\n%s", DEADLINE_MS * tap_slow(),
		 h.socket, config);
	memfd = memfd_create("config", MFD_CLOEXEC);
	ck_assert_int_ge(memfd, 0);
	ck_assert_int_eq(write(memfd, text, strlen(text)), (ssize_t)strlen(text));

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	snprintf(path, sizeof(path), "%s/svad-simdev", tap_libexecdir());
	h.pid = fork();
	if (!h.pid) {
		if (pair[1] == 3)
			fcntl(3, F_SETFD, 0);
		else
			dup2(pair[1], 3);
		fcntl(3, F_SETFL, O_NONBLOCK);
		execl(path, "svad-simdev", NULL);
		_exit(127);
	}
	close(pair[1]);
	h.channel = pair[0];
	ck_assert_int_eq(chan_send(h.channel, CHAN_CONFIG, 1, NULL, 0, &memfd, 1), 0);
	close(memfd);
	do {
		wait_readable(h.channel, "CHAN_READY");
		ck_assert_msg(chan_recv(h.channel, &hdr, buf, fds) >= 0, "svad-simdev ended at its start");
		if (hdr.type == CHAN_LOG && getenv("SVAD_TEST_VERBOSE"))
			fprintf(stderr, "# log: %.*s\n", (int)hdr.len, buf);
	} while (hdr.type != CHAN_READY);
	send_backend();

	memcpy(addr.sun_path, h.socket, strlen(h.socket) + 1);
	h.fault = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(connect(h.fault, (struct sockaddr *)&addr, sizeof(addr)), 0);
}

pid_t h_pid(void)
{
	return h.pid;
}

void h_stop(void)
{
	const char *checker = h_fault("checker");
	int status;

	ck_assert_msg(!strncmp(checker, "ok violations=0 ", 16), "%s", checker);
	ck_assert_int_eq(chan_send(h.channel, CHAN_SHUTDOWN, 0, NULL, 0, NULL, 0), 0);
	ck_assert_int_eq(waitpid(h.pid, &status, 0), h.pid);
	ck_assert_msg(WIFEXITED(status) && !WEXITSTATUS(status), "svad-simdev ended with status %#x", status);
	rmdir(h.dir);
}

void h_new_broker(void)
{
	close(h.control);
	h.n_events = 0;
	send_backend();
}

/* ---- messages --------------------------------------------------------------------------------------------- */

struct packet {
	struct simwire_hdr hdr;
	unsigned char payload[SIMWIRE_MAX - sizeof(struct simwire_hdr)];
};

static void send_packet(int fd, uint32_t op, uint32_t seq, const void *arg, size_t size, const int *fds, unsigned n_fds)
{
	struct simwire_hdr hdr = { .op = op, .seq = seq, .len = (uint32_t)size };
	struct iovec iov[2] = { { &hdr, sizeof(hdr) }, { (void *)(uintptr_t)arg, size } };
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int) * 8)];
	} control = { 0 };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	ssize_t n;

	if (n_fds) {
		struct cmsghdr *c;

		msg.msg_control = control.space;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
	}
	n = sendmsg(fd, &msg, MSG_NOSIGNAL);
	ck_assert_msg(n >= 0 || errno == EPIPE || errno == ECONNRESET, "sendmsg: %s", strerror(errno));
}

/* 0 or -EPIPE. fds: 2, -1 padded. */
static int recv_packet(int fd, struct packet *p, int fds[2])
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int) * 2)];
	} control;
	struct iovec iov = { p, sizeof(*p) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
	struct cmsghdr *c;
	ssize_t n;

	fds[0] = fds[1] = -1;
	wait_readable(fd, "an answer");
	n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
	if (n <= 0)
		return -EPIPE;
	ck_assert_uint_eq((size_t)n, sizeof(p->hdr) + p->hdr.len);
	c = CMSG_FIRSTHDR(&msg);
	if (c)
		memcpy(fds, CMSG_DATA(c), c->cmsg_len - CMSG_LEN(0));
	return 0;
}

int h_message(int fd, uint32_t op, void *arg, size_t size, const int *fds, unsigned n_fds, int *ret_fds)
{
	static struct packet p;
	uint32_t seq = ++h.seq;
	int got[2];

	send_packet(fd, op, seq, arg, size, fds, n_fds);
	if (recv_packet(fd, &p, got) < 0)
		return -EPIPE;
	ck_assert_uint_eq(p.hdr.seq, seq);
	ck_assert_uint_eq(p.hdr.op, op);
	if (!p.hdr.result && arg && p.hdr.len <= size)
		memcpy(arg, p.payload, p.hdr.len);
	if (ret_fds)
		memcpy(ret_fds, got, sizeof(got));
	else
		for (int i = 0; i < 2; i++)
			if (got[i] >= 0)
				close(got[i]);
	return p.hdr.result;
}

/* ---- control ------------------------------------------------------------------------------------------------- */

static void keep_events(const struct packet *p)
{
	size_t n = p->hdr.len / sizeof(struct svab_event);

	ck_assert_uint_le(h.n_events + n, sizeof(h.events) / sizeof(h.events[0]));
	memcpy(h.events + h.n_events, p->payload, n * sizeof(struct svab_event));
	h.n_events += n;
}

int h_control(uint32_t op, void *arg, size_t size, const int *fds, unsigned n_fds)
{
	static struct packet p;
	uint32_t seq = ++h.seq;
	int got[2];

	send_packet(h.control, op, seq, arg, size, fds, n_fds);
	for (;;) {
		ck_assert_int_eq(recv_packet(h.control, &p, got), 0);
		if (p.hdr.op == SIMWIRE_EVENTS) {
			keep_events(&p);
			continue;
		}
		ck_assert_uint_eq(p.hdr.seq, seq);
		if (!p.hdr.result)
			memcpy(arg, p.payload, p.hdr.len < size ? p.hdr.len : size);
		return p.hdr.result;
	}
}

struct svab_info h_info(void)
{
	struct svab_info info = { .size = sizeof(info) };

	ck_assert_int_eq(h_control(SVAB_INFO, &info, sizeof(info), NULL, 0), 0);
	return info;
}

unsigned h_events_seen(uint32_t type, uint64_t bond)
{
	unsigned n = 0;

	(void)h_info();
	for (size_t i = 0; i < h.n_events; i++)
		n += h.events[i].type == type && (!bond || h.events[i].bond == bond);
	return n;
}

struct svab_event h_event(uint32_t type, uint64_t bond)
{
	static struct packet p;
	int got[2];

	for (;;) {
		for (size_t i = 0; i < h.n_events; i++) {
			struct svab_event e = h.events[i];

			if (e.type != type || (bond && e.bond != bond))
				continue;
			h.n_events -= i + 1;
			memmove(h.events, h.events + i + 1, h.n_events * sizeof(e));
			return e;
		}
		ck_assert_int_eq(recv_packet(h.control, &p, got), 0);
		ck_assert_uint_eq(p.hdr.op, SIMWIRE_EVENTS);
		keep_events(&p);
	}
}

int h_ctx_socket(uint64_t cookie)
{
	struct svab_ctx_create create = { .size = sizeof(create), .cookie = cookie, .pid = getpid() };
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	ck_assert_int_eq(h_control(SVAB_CTX_CREATE, &create, sizeof(create), &pair[1], 1), 0);
	close(pair[1]);
	return pair[0];
}

void h_grant(uint64_t cookie, uint32_t device)
{
	struct svab_ctx_grant g = { .size = sizeof(g), .cookie = cookie, .device = device, .grant = 100 + device };

	ck_assert_int_eq(h_control(SVAB_CTX_GRANT, &g, sizeof(g), NULL, 0), 0);
}

void h_revoke(uint64_t bond)
{
	struct svab_bond_ref ref = { .size = sizeof(ref), .bond = bond, .cause = SVAB_CAUSE_ADMIN };

	ck_assert_int_eq(h_control(SVAB_BOND_REVOKE, &ref, sizeof(ref), NULL, 0), 0);
}

void h_reset(uint32_t device, uint32_t *clean, uint32_t *quarantined)
{
	struct svab_dev_reset r = { .size = sizeof(r), .device = device };

	ck_assert_int_eq(h_control(SVAB_DEV_RESET, &r, sizeof(r), NULL, 0), 0);
	*clean = r.clean;
	*quarantined = r.quarantined;
}

/* ---- fault injection -------------------------------------------------------------------------------------------- */

static const char *fault(const char *fmt, va_list ap)
{
	static char text[16384];
	ssize_t n;

	vsnprintf(text, sizeof(text), fmt, ap);
	ck_assert_int_eq(send(h.fault, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
	wait_readable(h.fault, text);
	n = recv(h.fault, text, sizeof(text) - 1, 0);
	ck_assert_int_gt(n, 0);
	text[n] = 0;
	return text;
}

const char *h_fault(const char *fmt, ...)
{
	const char *r;
	va_list ap;

	va_start(ap, fmt);
	r = fault(fmt, ap);
	va_end(ap);
	return r;
}

void h_fault_ok(const char *fmt, ...)
{
	const char *r;
	va_list ap;

	va_start(ap, fmt);
	r = fault(fmt, ap);
	va_end(ap);
	ck_assert_msg(!strncmp(r, "ok", 2), "%s: %s", fmt, r);
}

uint64_t h_checker(const char *what)
{
	const char *at = strstr(h_fault("checker"), what);

	ck_assert_ptr_nonnull(at);
	return strtoull(at + strlen(what) + 1, NULL, 10);
}

/* ---- clients ------------------------------------------------------------------------------------------------------ */

int h_bind_fds(struct client *c, int mem, int maps)
{
	struct svab_bind bind = { .size = sizeof(bind), .device = c->device, .at_random = getauxval(AT_RANDOM) };
	int fds[2] = { mem, maps }, got[2], r;

	r = h_message(c->ctx, SVAB_BIND, &bind, sizeof(bind), fds, 2, got);
	if (r)
		return r;
	ck_assert_int_ge(got[0], 0);
	ck_assert_int_ge(got[1], 0);
	ck_assert_uint_eq(bind.portal_size, SVA_DEMO_PORTAL_SIZE);
	c->fd = got[0];
	c->portal_fd = got[1];
	c->pasid = bind.pasid;
	c->bond = bind.bond;
	c->portal = mmap(NULL, SVA_DEMO_PORTAL_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, c->portal_fd, 0);
	ck_assert_ptr_ne((void *)(uintptr_t)c->portal, MAP_FAILED);
	return 0;
}

int h_bind(struct client *c)
{
	int mem = open("/proc/self/mem", O_RDWR | O_CLOEXEC), maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	int r = h_bind_fds(c, mem, maps);

	close(mem);
	close(maps);
	return r;
}

void h_client(struct client *c, uint64_t cookie, uint32_t device)
{
	*c = (struct client) { .ctx = h_ctx_socket(cookie), .device = device };
	h_grant(cookie, device);
	ck_assert_int_eq(h_bind(c), 0);
	h_queue(c);
}

int h_unbind(struct client *c, uint32_t state, struct svab_unbind *ret)
{
	struct svab_unbind u = { .size = sizeof(u), .state = state };
	int r = h_message(c->fd, SVAB_UNBIND, &u, sizeof(u), NULL, 0, NULL);

	if (ret)
		*ret = u;
	return r;
}

#define REG32(c, reg) (*(volatile uint32_t *)((c)->portal + (reg)))

void *h_memory(size_t align, size_t size)
{
	static void *all[256]; /* what a device may still write is not freed, and from here it is found */
	static unsigned n;
	void *p;

	ck_assert_uint_lt(n, sizeof(all) / sizeof(all[0]));
	ck_assert_int_eq(posix_memalign(&p, align, size), 0);
	memset(p, 0, size);
	all[n++] = p;
	return p;
}

void h_queue(struct client *c)
{
	c->ring = h_memory(4096, RING * sizeof(*c->ring));
	memset(c->ring, 0, RING * sizeof(*c->ring));
	*(volatile uint64_t *)(c->portal + SVA_DEMO_REG_RING_BASE) = (uintptr_t)c->ring;
	REG32(c, SVA_DEMO_REG_RING_SIZE) = RING;
	REG32(c, SVA_DEMO_REG_ENABLE) = 1;
}

void h_submit(struct client *c, const struct sva_demo_desc *desc)
{
	c->ring[c->tail++ % RING] = *desc;
	__atomic_store_n((uint32_t *)(uintptr_t)(c->portal + SVA_DEMO_REG_DOORBELL), c->tail, __ATOMIC_SEQ_CST);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (REG32(c, SVA_DEMO_REG_IDLE))
		send_packet(c->fd, SIMWIRE_KICK, 0, NULL, 0, NULL, 0);
}

uint32_t h_wait(const struct client *c, struct sva_demo_completion *done)
{
	uint64_t end = now_ms() + (uint64_t)h_ms(20000);
	uint32_t status;

	while (!(status = __atomic_load_n(&done->status, __ATOMIC_ACQUIRE))) {
		ck_assert_msg(now_ms() < end, "no completion");
		if (h_hup(c->fd, 1))
			return __atomic_load_n(&done->status, __ATOMIC_ACQUIRE);
	}
	return status;
}

uint32_t h_run(struct client *c, struct sva_demo_desc desc, struct sva_demo_completion *done)
{
	struct sva_demo_completion *own = aligned_alloc(32, 32);
	uint32_t status;

	memset(own, 0, sizeof(*own));
	desc.completion = (uintptr_t)own;
	h_submit(c, &desc);
	status = h_wait(c, own);
	if (done)
		*done = *own;
	free(own);
	return status;
}

struct sva_demo_desc h_copy(void *dst, const void *src, size_t len)
{
	return (struct sva_demo_desc) { .op = SVA_DEMO_COPY, .src = (uintptr_t)src, .dst = (uintptr_t)dst, .len = len };
}

/* ---- processes ------------------------------------------------------------------------------------------------------ */

pid_t h_fork(void (*fn)(void *arg), void *arg)
{
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (!pid) {
		fn(arg);
		_exit(0);
	}
	return pid;
}

void h_reap(pid_t pid, int expected)
{
	int status;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == expected, "client process: status %#x", status);
}

void h_kill(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

bool h_hup(int fd, int timeout_ms)
{
	struct pollfd p = { .fd = fd };

	return poll(&p, 1, timeout_ms) == 1 && (p.revents & POLLHUP);
}
