// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a hostile program in a container does with what it was given. Holdings, numbered 0 to 3, are all
 * that a bond is made of: connection, ctx, bond, portal, and the fds of the address space; they can be
 * handed to a program of another container.
 *
 * hold-open N [SOCKET]		connects and says Hello
 * hold-grant N DEVICE		asks for a device and keeps the ctx
 * hold-bind N [theirs]		SVAB_BIND on that ctx, with this address space or the one handed over
 * hold-info N | hold-unbind N	on the bond's fd
 * hold-give N PATH | hold-take N PATH	all of it, through a Unix socket: take listens
 * hold-page [N]		a page at the same address in every program; with N, a job that fills it
 * hold-ring N | hold-look	tells the device of the job; what is in the page
 * stuff N COUNT		requests whose answers are never read
 * vm-child			a process that shares this one's address space, and outlives it
 * linger			obeys no more, but lives
 * put PATH WORD		writes the word into a file that is there
 * measure DEVICE COUNT		binds and unbinds; how long the binds took, in microseconds
 * storm KIND			a child that attacks until it is killed: connect, flood, garbage, bind
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sva/demo_accel.h>
#include <sva/sva.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "../../../kmod/svabroker.h"
#include "box-wire.h"
#include "simwire.h"

#define HOLDINGS 4u
#define TIMEOUT_MS 60000
#define PATTERN 0x5a5a1234a5a5abcdull
#define PAGE ((void *)(uintptr_t)0x100000000000ull) /* the ring is in the page behind it */

enum { CONN, CTX, BOND, PORTAL, MEM, MAPS, PARTS };

struct holding {
	int fd[PARTS];
	uint32_t device;
	uint64_t cookie; /* of the ctx */
	volatile unsigned char *portal;
};

static struct holding holdings[HOLDINGS];
static bool holdings_are_set;

static struct holding *holding(const struct box_call *call)
{
	unsigned long n = box_number(call, 1, HOLDINGS);

	for (unsigned i = 0; !holdings_are_set && i < HOLDINGS; i++)
		memset(holdings[i].fd, 0xff, sizeof(holdings[i].fd));
	holdings_are_set = true;
	if (n < HOLDINGS)
		return &holdings[n];
	box_error(call, -EINVAL, "holdings are numbered 0 to %u", HOLDINGS - 1);
	return NULL;
}

static void keep(struct holding *h, unsigned part, int fd)
{
	if (h->fd[part] >= 0)
		close(h->fd[part]);
	h->fd[part] = fd;
}

/* ---- requests ----------------------------------------------------------------------------------------- */

static void cmd_open(struct box_call *call)
{
	struct holding *h = holding(call);
	int fd;

	if (!h)
		return;
	fd = box_dial(call->word[2]);
	if (fd < 0)
		box_error(call, fd, "%s", strerror(-fd));
	else
		keep(h, CONN, fd);
	if (fd >= 0 && box_answered(call, box_hello(fd)))
		box_ok(call, "connected");
}

static void cmd_grant(struct box_call *call)
{
	Svad__V1__Request req = SVAD__V1__REQUEST__INIT;
	Svad__V1__Bind body = SVAD__V1__BIND__INIT;
	struct wire_fds fds = WIRE_FDS_NONE;
	struct holding *h = holding(call);
	const Svad__V1__Reply *reply;

	if (!h)
		return;
	body.device = call->word[2] ? call->word[2] : (char *)"sim0";
	body.context = h->cookie;
	req.body_case = SVAD__V1__REQUEST__BODY_BIND;
	req.bind = &body;
	reply = box_exchange(h->fd[CONN], &req, &fds);
	if (box_answered(call, reply)) {
		h->cookie = reply->bind->context;
		h->device = reply->bind->device_id;
		if (fds.n)
			keep(h, CTX, wire_fds_take(&fds, 0));
		box_ok(call, "granted");
	}
	wire_fds_close(&fds);
}

/* The ioctls of the simulated device are messages; its result, -EPIPE when the socket is closed. */
static int message(int fd, uint32_t op, void *arg, size_t size, const int *fds, unsigned n_fds,
		   struct wire_fds *ret_fds)
{
	unsigned char buf[1024];
	struct simwire_hdr hdr = { .op = op, .seq = 1, .len = (uint32_t)size };
	ssize_t n;

	memcpy(buf, &hdr, sizeof(hdr));
	memcpy(buf + sizeof(hdr), arg, size);
	if (wire_send(fd, buf, sizeof(hdr) + size, fds, n_fds, 0) < 0)
		return -EPIPE;
	do {
		wire_fds_close(ret_fds);
		if (poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, TIMEOUT_MS) != 1)
			return -ETIMEDOUT;
		n = wire_recv(fd, buf, sizeof(buf), ret_fds, NULL, MSG_DONTWAIT);
		if (n < (ssize_t)sizeof(hdr))
			return -EPIPE;
		memcpy(&hdr, buf, sizeof(hdr));
	} while (hdr.op != op);
	if (hdr.result == 0)
		memcpy(arg, buf + sizeof(hdr), hdr.len < size ? hdr.len : size);
	return hdr.result;
}

static bool refused(const struct box_call *call, int r)
{
	if (r < 0)
		box_error(call, r, "%s", strerror(-r));
	return r < 0;
}

static void cmd_bind(struct box_call *call)
{
	struct svab_bind bind = { .size = sizeof(bind), .bond_fd = -1, .at_random = getauxval(AT_RANDOM) };
	struct wire_fds fds = WIRE_FDS_NONE;
	struct holding *h = holding(call);
	void *portal;

	if (!h)
		return;
	if (!call->word[2]) {
		keep(h, MEM, open("/proc/self/mem", O_RDWR | O_CLOEXEC));
		keep(h, MAPS, open("/proc/self/maps", O_RDONLY | O_CLOEXEC));
	}
	bind.device = h->device;
	if (refused(call, message(h->fd[CTX], SVAB_BIND, &bind, sizeof(bind), &h->fd[MEM], 2, &fds))) {
		wire_fds_close(&fds);
		return;
	}
	keep(h, BOND, wire_fds_take(&fds, 0));
	keep(h, PORTAL, wire_fds_take(&fds, 1));
	wire_fds_close(&fds);
	portal = mmap(NULL, SVA_DEMO_PORTAL_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, h->fd[PORTAL], 0);
	h->portal = portal == MAP_FAILED ? NULL : portal;
	box_ok(call, "pasid=%u id=%llu", bind.pasid, (unsigned long long)bind.bond);
}

static void cmd_info(struct box_call *call)
{
	struct svab_bond_info info = { .size = sizeof(info) };
	struct wire_fds fds = WIRE_FDS_NONE;
	struct holding *h = holding(call);

	if (h && !refused(call, message(h->fd[BOND], SVAB_BOND_INFO, &info, sizeof(info), NULL, 0, &fds)))
		box_ok(call, "pasid=%u", info.pasid);
	wire_fds_close(&fds);
}

static void cmd_unbind(struct box_call *call)
{
	struct svab_unbind unbind = { .size = sizeof(unbind), .state = SVAB_PASID_NONE };
	struct wire_fds fds = WIRE_FDS_NONE;
	struct holding *h = holding(call);

	if (h && !refused(call, message(h->fd[BOND], SVAB_UNBIND, &unbind, sizeof(unbind), NULL, 0, &fds)))
		box_ok(call, "unbound");
	wire_fds_close(&fds);
}

/* ---- from hand to hand -----------------------------------------------------------------------------------
 */

static int stream(const char *path, struct sockaddr_un *addr)
{
	memset(addr, 0, sizeof(*addr));
	addr->sun_family = AF_UNIX;
	snprintf(addr->sun_path, sizeof(addr->sun_path), "%s", path);
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static void cmd_give(struct box_call *call)
{
	struct holding *h = holding(call);
	struct {
		uint32_t device, parts;
	} what = { 0, 0 };
	struct sockaddr_un addr;
	int fds[PARTS], sock;
	unsigned n = 0;

	if (!h || !call->word[2])
		return;
	for (unsigned i = 0; i < PARTS; i++)
		if (h->fd[i] >= 0) {
			what.parts |= 1u << i;
			fds[n++] = h->fd[i];
		}
	what.device = h->device;
	sock = stream(call->word[2], &addr);
	if (connect(sock, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    wire_send(sock, &what, sizeof(what), fds, n, 0) < 0)
		box_error(call, -errno, "%s: %s", call->word[2], strerror(errno));
	else
		box_ok(call, "given");
	close(sock);
}

static void cmd_take(struct box_call *call)
{
	struct holding *h = holding(call);
	struct {
		uint32_t device, parts;
	} what = { 0, 0 };
	struct wire_fds fds = WIRE_FDS_NONE;
	struct sockaddr_un addr;
	int sock, conn = -1;
	unsigned n = 0;
	void *portal;

	if (!h || !call->word[2])
		return;
	sock = stream(call->word[2], &addr);
	unlink(call->word[2]);
	if (bind(sock, (struct sockaddr *)&addr, sizeof(addr)) == 0 && listen(sock, 1) == 0 &&
	    chmod(call->word[2], 0777) == 0 &&
	    poll(&(struct pollfd){ .fd = sock, .events = POLLIN }, 1, TIMEOUT_MS) == 1)
		conn = accept4(sock, NULL, NULL, SOCK_CLOEXEC);
	if (conn < 0 || wire_recv(conn, &what, sizeof(what), &fds, NULL, 0) != sizeof(what)) {
		box_error(call, -errno, "nothing came at %s", call->word[2]);
	} else {
		h->device = what.device;
		for (unsigned i = 0; i < PARTS; i++)
			if (what.parts & (1u << i))
				keep(h, i, wire_fds_take(&fds, n++));
		portal = mmap(NULL, SVA_DEMO_PORTAL_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, h->fd[PORTAL],
			      0);
		h->portal = portal == MAP_FAILED ? NULL : portal;
		box_ok(call, "taken fds=%u", n);
	}
	wire_fds_close(&fds);
	if (conn >= 0)
		close(conn);
	close(sock);
}

/* ---- the device's jobs
 * --------------------------------------------------------------------------------------- */

#define REG32(h, reg) (*(volatile uint32_t *)((h)->portal + (reg)))
#define REG64(h, reg) (*(volatile uint64_t *)((h)->portal + (reg)))

static void cmd_page(struct box_call *call)
{
	void *page = mmap(PAGE, 8192, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	struct holding *h = call->word[1] ? holding(call) : NULL;
	struct sva_demo_desc *ring = (struct sva_demo_desc *)((char *)PAGE + 4096);

	if (page == MAP_FAILED || (h && !h->portal)) {
		box_error(call, -errno, "no page, or no portal");
		return;
	}
	memset(page, 0, 8192);
	if (h) {
		for (unsigned i = 0; i < 8; i++)
			ring[i] = (struct sva_demo_desc){
				.op = SVA_DEMO_FILL, .dst = (uintptr_t)page, .len = 64, .arg = PATTERN
			};
		REG64(h, SVA_DEMO_REG_RING_BASE) = (uintptr_t)ring;
		REG32(h, SVA_DEMO_REG_RING_SIZE) = 8;
		REG32(h, SVA_DEMO_REG_ENABLE) = 1;
	}
	box_ok(call, "mapped");
}

static void cmd_ring(struct box_call *call)
{
	const struct simwire_hdr kick = { .op = SIMWIRE_KICK };
	struct holding *h = holding(call);

	if (!h)
		return;
	if (!h->portal) {
		box_error(call, -ENXIO, "no portal");
		return;
	}
	__atomic_store_n((uint32_t *)(uintptr_t)(h->portal + SVA_DEMO_REG_DOORBELL),
			 REG32(h, SVA_DEMO_REG_HEAD) + 1, __ATOMIC_SEQ_CST);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	wire_send(h->fd[BOND], &kick, sizeof(kick), NULL, 0, 0);
	box_ok(call, "rung");
}

static void cmd_look(struct box_call *call)
{
	const volatile uint64_t *page = PAGE;

	box_ok(call, "%s", *page == PATTERN ? "filled" : *page ? "something else" : "empty");
}

/* ---- too much
 * -------------------------------------------------------------------------------------------------- */

static ssize_t list_request(void *packet, size_t size, uint64_t id)
{
	Svad__V1__Request req = SVAD__V1__REQUEST__INIT;
	Svad__V1__ListDevices body = SVAD__V1__LIST_DEVICES__INIT;

	req.id = id;
	req.body_case = SVAD__V1__REQUEST__BODY_LIST_DEVICES;
	req.list_devices = &body;
	return wire_encode_request(&req, packet, size);
}

static void cmd_stuff(struct box_call *call)
{
	static unsigned char packet[WIRE_MAX];
	unsigned long n = box_number(call, 2, 1000), sent = 0;
	struct holding *h = holding(call);
	int r = 0;

	for (; h && sent < n && r == 0; sent += r == 0) {
		ssize_t len = list_request(packet, sizeof(packet), sent + 1);

		r = wire_send(h->fd[CONN], packet, (size_t)len, NULL, 0, MSG_DONTWAIT);
	}
	if (h)
		box_ok(call, "sent=%lu then %s", sent, r < 0 ? strerror(-r) : "none left");
}

/* One child of a storm: for ever. */
static void attack(const char *kind)
{
	static unsigned char packet[WIRE_MAX];
	int fd = -1, kept[64];

	memset(kept, 0xff, sizeof(kept));
	for (uint64_t i = 0;; i++) {
		if (fd < 0) {
			fd = box_dial(NULL);
			if (fd >= 0 && !box_hello(fd)) {
				close(fd);
				fd = -1;
			}
		}
		if (fd < 0 || !strcmp(kind, "connect")) {
			unsigned k = i % 64;

			if (kept[k] >= 0)
				close(kept[k]);
			kept[k] = fd;
			fd = -1;
		} else if (!strcmp(kind, "garbage")) {
			memset(packet, (int)i, sizeof(packet));
			wire_send(fd, packet, i % sizeof(packet) + 1, NULL, 0, MSG_DONTWAIT);
			close(fd);
			fd = -1;
		} else if (!strcmp(kind, "flood")) {
			ssize_t len = list_request(packet, sizeof(packet), i + 1);
			int r = wire_send(fd, packet, (size_t)len, NULL, 0, MSG_DONTWAIT);

			if (r == -EAGAIN) {
				recv(fd, packet, sizeof(packet), MSG_DONTWAIT);
			} else if (r < 0) {
				close(fd);
				fd = -1;
			}
		} else {
			Svad__V1__Request req = SVAD__V1__REQUEST__INIT;
			Svad__V1__Bind body = SVAD__V1__BIND__INIT;
			struct wire_fds fds = WIRE_FDS_NONE;

			body.device = (char *)"sim0";
			req.body_case = SVAD__V1__REQUEST__BODY_BIND;
			req.bind = &body;
			if (!box_exchange(fd, &req, &fds) || i % 32 == 31) {
				close(fd);
				fd = -1;
			}
			wire_fds_close(&fds);
		}
	}
}

static void cmd_storm(struct box_call *call)
{
	pid_t pid = fork();

	if (pid == 0) {
		signal(SIGPIPE, SIG_IGN);
		attack(call->word[1] ? call->word[1] : "flood");
		_exit(0);
	}
	box_ok(call, "storm pid=%d", (int)pid);
}

/* ---- itself
 * ------------------------------------------------------------------------------------------------------- */

static int wait_for_ever(void *arg)
{
	(void)arg;
	for (;;)
		pause();
	return 0;
}

static void cmd_vm_child(struct box_call *call)
{
	enum { STACK = 65536 };
	char *stack =
		mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	int pid = stack == MAP_FAILED ? -1 : clone(wait_for_ever, stack + STACK, CLONE_VM | SIGCHLD, NULL);

	if (pid < 0)
		box_error(call, -errno, "clone: %s", strerror(errno));
	else
		box_ok(call, "pid=%d", pid);
}

static void cmd_linger(struct box_call *call)
{
	box_ok(call, "lingering");
	for (;;)
		pause();
}

static void cmd_put(struct box_call *call)
{
	int fd = call->word[1] ? open(call->word[1], O_WRONLY | O_CLOEXEC) : -1;
	const char *word = call->word[2] ? call->word[2] : "";

	if (fd < 0 || write(fd, word, strlen(word)) < 0)
		box_error(call, -errno, "%s", strerror(errno));
	else
		box_ok(call, "written");
	if (fd >= 0)
		close(fd);
}

static uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}

static int by_size(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void cmd_measure(struct box_call *call)
{
	static uint64_t took[4096];
	unsigned long n = box_number(call, 2, 100), bad = 0;
	struct sva *sva = NULL;
	int r = sva_connect(getenv("SVAD_SOCKET"), 30000, &sva);

	n = n > 4096 ? 4096 : n;
	if (r < 0) {
		box_error(call, r, "not connected");
		return;
	}
	for (unsigned long i = 0; i < n; i++) {
		struct sva_bond *bond = NULL;
		uint64_t began = now_us();
		int b = sva_bind(sva, call->word[1], &bond);

		took[i] = now_us() - began;
		if (b == 0)
			b = sva_unbind(bond, SVA_STATE_NONE);
		if (b < 0) {
			r = b;
			bad++;
		}
	}
	qsort(took, n, sizeof(took[0]), by_size);
	box_ok(call, "binds=%lu failed=%lu median=%llu p99=%llu max=%llu %s", n, bad,
	       (unsigned long long)took[n / 2], (unsigned long long)took[n * 99 / 100],
	       (unsigned long long)took[n - 1], bad ? sva_strerror(sva, r) : "");
	sva_disconnect(sva);
}

const struct box_command box_hostile_commands[] = {
	{ "hold-open", cmd_open },
	{ "hold-grant", cmd_grant },
	{ "hold-bind", cmd_bind },
	{ "hold-info", cmd_info },
	{ "hold-unbind", cmd_unbind },
	{ "hold-give", cmd_give },
	{ "hold-take", cmd_take },
	{ "hold-page", cmd_page },
	{ "hold-ring", cmd_ring },
	{ "hold-look", cmd_look },
	{ "stuff", cmd_stuff },
	{ "storm", cmd_storm },
	{ "vm-child", cmd_vm_child },
	{ "linger", cmd_linger },
	{ "put", cmd_put },
	{ "measure", cmd_measure },
	{ NULL, NULL },
};
