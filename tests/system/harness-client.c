/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The wire, and a client that speaks it itself: with no library in between it can say what no library would. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "../../proto/simwire.h"
#include "harness.h"

#define WAIT_MS 10000

/* ---- the broker's wire -------------------------------------------------------------------------------- */

int sys_connect(const char *name)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/run/%s", sys.dir, name);
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		int r = -errno;

		close(fd);
		return r;
	}
	return fd;
}

bool sys_send(int fd, const void *data, size_t len, const int *fds, unsigned n_fds)
{
	struct iovec iov = { .iov_base = (void *)(uintptr_t)data, .iov_len = len };
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(64 * sizeof(int))];
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	/* Not wire_send(), which has the decency to refuse. */
	MUST(n_fds <= 64);
	if (n_fds) {
		struct cmsghdr *c;

		memset(control, 0, sizeof(control));
		m.msg_control = control;
		m.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
	}
	return sendmsg(fd, &m, MSG_NOSIGNAL) == (ssize_t)len;
}

Svad__V1__Reply *sys_receive(int fd, int timeout_ms, struct wire_fds *fds)
{
	static unsigned char buf[WIRE_MAX];
	static Svad__V1__Reply *last;
	struct wire_fds own = WIRE_FDS_NONE;
	struct pollfd p = { .fd = fd, .events = POLLIN };
	ssize_t n;

	if (last)
		svad__v1__reply__free_unpacked(last, NULL);
	last = NULL;
	if (poll(&p, 1, timeout_ms) != 1)
		return NULL;
	n = wire_recv(fd, buf, sizeof(buf), &own, NULL, MSG_DONTWAIT);
	if (n <= 0)
		return NULL;
	last = svad__v1__reply__unpack(NULL, (size_t)n, buf);
	MUST(last != NULL);
	MUST_EQ(own.n, last->fds);
	if (fds)
		*fds = own;
	else
		wire_fds_close(&own);
	return last;
}

Svad__V1__Reply *sys_call(int fd, Svad__V1__Request *request, int *ret_fd)
{
	static unsigned char buf[WIRE_MAX];
	static uint64_t last_id;
	struct wire_fds fds = WIRE_FDS_NONE;
	Svad__V1__Reply *reply;
	ssize_t len;

	if (!request->id)
		request->id = ++last_id;
	len = wire_encode_request(request, buf, sizeof(buf));
	MUST(len > 0);
	if (!sys_send(fd, buf, (size_t)len, NULL, 0))
		return NULL;
	do {
		wire_fds_close(&fds);
		reply = sys_receive(fd, sys_ms(WAIT_MS), &fds);
	} while (reply && reply->id != request->id);
	if (!reply)
		return NULL;
	MUST(fds.n == 0 || ret_fd);
	if (ret_fd)
		*ret_fd = wire_fds_take(&fds, 0);
	wire_fds_close(&fds);
	return reply;
}

unsigned sys_code(const Svad__V1__Reply *reply)
{
	if (!reply)
		return SVAD_UNAVAILABLE + 100;
	return reply->status ? reply->status->code : SVAD_OK;
}

Svad__V1__Reply *sys_hello(int fd, uint64_t context)
{
	Svad__V1__Request request = SVAD__V1__REQUEST__INIT;
	Svad__V1__Hello hello = SVAD__V1__HELLO__INIT;
	Svad__V1__Version version = SVAD__V1__VERSION__INIT;

	version.major = WIRE_VERSION_MAJOR;
	version.minor = WIRE_VERSION_MINOR;
	hello.min = hello.max = &version;
	hello.program = (char *)(uintptr_t)"test";
	hello.context = context;
	request.body_case = SVAD__V1__REQUEST__BODY_HELLO;
	request.hello = &hello;
	return sys_call(fd, &request, NULL);
}

int sys_client(void)
{
	int fd = sys_connect("svad.sock");

	MUST(fd >= 0);
	MUST_EQ(sys_code(sys_hello(fd, 0)), SVAD_OK);
	return fd;
}

/* ---- a raw client --------------------------------------------------------------------------------------- */

void raw_open(struct raw *raw)
{
	*raw = (struct raw) { .conn = sys_client(), .ctx = -1 };
}

void raw_close(struct raw *raw)
{
	if (raw->ctx >= 0)
		close(raw->ctx);
	if (raw->conn >= 0)
		close(raw->conn);
	raw->ctx = raw->conn = -1;
}

unsigned raw_grant(struct raw *raw, const char *device, uint32_t *ret_device)
{
	Svad__V1__Request request = SVAD__V1__REQUEST__INIT;
	Svad__V1__Bind bind = SVAD__V1__BIND__INIT;
	Svad__V1__Reply *reply;
	int fd = -1;

	bind.device = (char *)(uintptr_t)device;
	bind.context = raw->cookie;
	request.body_case = SVAD__V1__REQUEST__BODY_BIND;
	request.bind = &bind;
	reply = sys_call(raw->conn, &request, &fd);
	if (sys_code(reply) != SVAD_OK)
		return sys_code(reply);
	if (fd >= 0) {
		if (raw->ctx >= 0)
			close(raw->ctx);
		raw->ctx = fd;
	}
	raw->cookie = reply->bind->context;
	if (ret_device)
		*ret_device = reply->bind->device_id;
	return SVAD_OK;
}

int raw_send(int fd, uint32_t op, uint32_t seq, const void *arg, size_t size, const int *fds, unsigned n_fds)
{
	unsigned char buf[1024];
	struct simwire_hdr hdr = { .op = op, .seq = seq, .len = (uint32_t)size };

	MUST(sizeof(hdr) + size <= sizeof(buf));
	memcpy(buf, &hdr, sizeof(hdr));
	if (size)
		memcpy(buf + sizeof(hdr), arg, size);
	return sys_send(fd, buf, sizeof(hdr) + size, fds, n_fds) ? 0 : -errno;
}

int raw_message(int fd, uint32_t op, void *arg, size_t size, const int *fds, unsigned n_fds, struct wire_fds *ret_fds)
{
	struct {
		struct simwire_hdr hdr;
		unsigned char room[1024];
	} answer;
	static uint32_t last_seq;
	uint32_t seq = ++last_seq;
	struct wire_fds got = WIRE_FDS_NONE;
	ssize_t n;
	int r;

	r = raw_send(fd, op, seq, arg, size, fds, n_fds);
	if (r < 0)
		return r == -ECONNRESET ? -EPIPE : r;
	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };

		MUST_EQ(poll(&p, 1, sys_ms(WAIT_MS)), 1);
		n = wire_recv(fd, &answer, sizeof(answer), &got, NULL, MSG_DONTWAIT);
		if (n <= 0)
			return -EPIPE;
		MUST((size_t)n >= sizeof(answer.hdr) && answer.hdr.len == (size_t)n - sizeof(answer.hdr));
		if (answer.hdr.seq == seq && answer.hdr.op == op)
			break;
		wire_fds_close(&got);
	}
	if (answer.hdr.result == 0 && arg)
		memcpy(arg, answer.room, answer.hdr.len < size ? answer.hdr.len : size);
	if (ret_fds)
		*ret_fds = got;
	else
		wire_fds_close(&got);
	return answer.hdr.result;
}

int raw_bind_fds(struct raw *raw, uint32_t device, const int *fds, unsigned n_fds, struct raw_bond *bond)
{
	struct svab_bind bind = {
		.size = sizeof(bind),
		.device = device,
		.bond_fd = -1,
		.at_random = getauxval(AT_RANDOM),
	};
	struct wire_fds got = WIRE_FDS_NONE;
	void *portal;
	int r;

	r = raw_message(raw->ctx, SVAB_BIND, &bind, sizeof(bind), fds, n_fds, &got);
	if (r < 0) {
		MUST_EQ(got.n, 0);
		return r;
	}
	MUST_EQ(got.n, 2);
	portal = mmap(NULL, bind.portal_size, PROT_READ | PROT_WRITE, MAP_SHARED, got.fd[1], 0);
	MUST(portal != MAP_FAILED);
	*bond = (struct raw_bond) {
		.fd = got.fd[0],
		.portal_fd = got.fd[1],
		.device = device,
		.pasid = bind.pasid,
		.id = bind.bond,
		.portal = portal,
	};
	return 0;
}

int raw_bind_own(struct raw *raw, uint32_t device, struct raw_bond *bond)
{
	int fds[2] = { open("/proc/self/mem", O_RDWR | O_CLOEXEC), open("/proc/self/maps", O_RDONLY | O_CLOEXEC) }, r;

	MUST(fds[0] >= 0 && fds[1] >= 0);
	r = raw_bind_fds(raw, device, fds, 2, bond);
	close(fds[0]);
	close(fds[1]);
	return r;
}

void raw_bind(struct raw *raw, const char *device, struct raw_bond *bond)
{
	uint32_t id;

	MUST_EQ(raw_grant(raw, device, &id), SVAD_OK);
	MUST_EQ(raw_bind_own(raw, id, bond), 0);
}

int raw_unbind(struct raw_bond *bond, uint32_t state, struct svab_unbind *ret)
{
	struct svab_unbind u = { .size = sizeof(u), .state = state };
	int r = raw_message(bond->fd, SVAB_UNBIND, &u, sizeof(u), NULL, 0, NULL);

	if (ret)
		*ret = u;
	return r;
}

int raw_info(struct raw_bond *bond, struct svab_bond_info *ret)
{
	*ret = (struct svab_bond_info) { .size = sizeof(*ret) };
	return raw_message(bond->fd, SVAB_BOND_INFO, ret, sizeof(*ret), NULL, 0, NULL);
}

void raw_bond_close(struct raw_bond *bond)
{
	munmap((void *)(uintptr_t)bond->portal, SVA_DEMO_PORTAL_SIZE);
	close(bond->fd);
	close(bond->portal_fd);
	free(bond->ring);
	bond->fd = bond->portal_fd = -1;
	bond->ring = NULL;
}

/* ---- work ---------------------------------------------------------------------------------------------- */

#define REG32(b, reg) (*(volatile uint32_t *)((b)->portal + (reg)))

static void queue_set_up(struct raw_bond *b)
{
	MUST_EQ(posix_memalign((void **)&b->ring, 4096, RAW_RING * sizeof(*b->ring)), 0);
	memset(b->ring, 0, RAW_RING * sizeof(*b->ring));
	*(volatile uint64_t *)(b->portal + SVA_DEMO_REG_RING_BASE) = (uintptr_t)b->ring;
	REG32(b, SVA_DEMO_REG_RING_SIZE) = RAW_RING;
	REG32(b, SVA_DEMO_REG_ENABLE) = 1;
}

void raw_submit(struct raw_bond *b, const struct sva_demo_desc *desc)
{
	if (!b->ring)
		queue_set_up(b);
	b->ring[b->tail++ % RAW_RING] = *desc;
	__atomic_store_n((uint32_t *)(uintptr_t)(b->portal + SVA_DEMO_REG_DOORBELL), b->tail, __ATOMIC_SEQ_CST);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (REG32(b, SVA_DEMO_REG_IDLE))
		(void)raw_send(b->fd, SIMWIRE_KICK, 0, NULL, 0, NULL, 0);
}

uint32_t raw_wait(struct raw_bond *b, struct sva_demo_completion *done)
{
	uint64_t end = sys_now_ns() + (uint64_t)sys_ms(WAIT_MS) * 1000000u;
	unsigned spins = 0;
	uint32_t status;

	/* A completion is a word in memory: there is no event to wait for. The bond's socket is one. */
	while (!(status = __atomic_load_n(&done->status, __ATOMIC_ACQUIRE))) {
		if (spins++ < 100) {
			sched_yield();
			continue;
		}
		MUST(sys_now_ns() < end);
		if (raw_hup(b->fd, 1))
			return __atomic_load_n(&done->status, __ATOMIC_ACQUIRE);
	}
	return status;
}

uint32_t raw_run(struct raw_bond *b, struct sva_demo_desc desc, struct sva_demo_completion *ret_done)
{
	struct sva_demo_completion *own = aligned_alloc(32, 32);
	uint32_t status;

	memset(own, 0, sizeof(*own));
	desc.completion = (uintptr_t)own;
	raw_submit(b, &desc);
	status = raw_wait(b, own);
	if (ret_done)
		*ret_done = *own;
	free(own);
	return status;
}

struct sva_demo_desc raw_copy(void *dst, const void *src, size_t len)
{
	return (struct sva_demo_desc) { .op = SVA_DEMO_COPY, .src = (uintptr_t)src, .dst = (uintptr_t)dst, .len = len };
}

struct sva_demo_desc raw_fill(void *dst, uint64_t pattern, size_t len)
{
	return (struct sva_demo_desc) { .op = SVA_DEMO_FILL, .dst = (uintptr_t)dst, .len = len, .arg = pattern };
}

bool raw_hup(int fd, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = 0 };

	return poll(&p, 1, timeout_ms) == 1 && (p.revents & (POLLHUP | POLLERR));
}

void *pages(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	MUST(p != MAP_FAILED);
	return p;
}

bool filled(const void *memory, uint64_t pattern, size_t len)
{
	const uint64_t *p = memory;

	for (size_t i = 0; i < len / 8; i++)
		if (p[i] != pattern)
			return false;
	return true;
}
