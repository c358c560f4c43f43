// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Beside the library: raw connections, numbered 0 to 15.
 *
 * raw-connect N [SOCKET]	connects and says Hello; raw-close N
 * raw-list N			the bonds that it is shown: ids
 * raw-bind N DEVICE		the Bind request alone: a grant, given back at once
 * raw-register N ID | raw-remove N ID | raw-containers N | raw-revoke N BOND
 *				administrators' requests, where they do not belong
 * raw-many N SOCKET|- DEVICE|-	N more connections, each says Hello (and asks for the device);
 *				how many were let in
 * raw-flood N COUNT		requests for the list of devices: answered, refused
 * raw-garbage N BYTES		bytes that are no message; is the connection closed
 * give N PATH | take N PATH	a connection through a Unix socket at PATH: take listens, give connects;
 *				give of a number that has none sends a fresh socket
 * raw-dial N [SOCKET]		connects a socket that somebody else made
 * unshare-net			a user namespace and a network namespace of its own
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "box-wire.h"
#include "status.h"

#define RAW 16u
#define ARENA (1u << 20)
#define TIMEOUT_MS 30000

static int raw[RAW] = { -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1 };
static unsigned char packet[WIRE_MAX], arena_memory[ARENA];
static struct wire_arena arena;
static uint64_t next_id = 1;

static int *slot(const struct box_call *call)
{
	unsigned long n = box_number(call, 1, RAW);

	if (n < RAW)
		return &raw[n];
	box_error(call, -EINVAL, "connections are numbered 0 to %u", RAW - 1);
	return NULL;
}

static const char *socket_path(const char *word)
{
	const char *e = getenv("SVAD_SOCKET");

	return word && strcmp(word, "-") ? word : e ? e : "/run/svad/svad.sock";
}

static int address(struct sockaddr_un *addr, const char *path)
{
	memset(addr, 0, sizeof(*addr));
	addr->sun_family = AF_UNIX;
	if (strlen(path) >= sizeof(addr->sun_path))
		return -ENAMETOOLONG;
	strcpy(addr->sun_path, path);
	return 0;
}

static int dial(int fd, const char *path)
{
	struct sockaddr_un addr;
	int r = address(&addr, path);

	if (r < 0)
		return r;
	return connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ? -errno : 0;
}

static int seqpacket(void)
{
	return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
}

int box_dial(const char *path)
{
	int fd = seqpacket(), r;

	if (fd < 0)
		return -errno;
	r = dial(fd, socket_path(path));
	if (r < 0) {
		close(fd);
		return r;
	}
	return fd;
}

Svad__V1__Reply *box_exchange(int fd, Svad__V1__Request *req, struct wire_fds *ret_fds)
{
	struct wire_fds fds = WIRE_FDS_NONE;
	Svad__V1__Reply *reply = NULL;
	ssize_t n;

	req->id = next_id++;
	n = wire_encode_request(req, packet, sizeof(packet));
	if (n < 0)
		return NULL;
	/* one that was closed already has perhaps said why */
	(void)wire_send(fd, packet, (size_t)n, NULL, 0, 0);
	do {
		if (poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, TIMEOUT_MS) != 1)
			return NULL;
		n = wire_recv(fd, packet, sizeof(packet), &fds, NULL, 0);
		if (n == -ECONNRESET)
			n = wire_recv(fd, packet, sizeof(packet), &fds, NULL, 0);
		if (n <= 0)
			return NULL;
		if (ret_fds) {
			wire_fds_close(ret_fds);
			*ret_fds = fds;
		} else {
			wire_fds_close(&fds);
		}
		wire_arena_init(&arena, arena_memory, sizeof(arena_memory));
		if (wire_decode_reply(packet, (size_t)n, &arena, &reply) < 0)
			return NULL;
	} while (reply->id != req->id && (reply->id || !reply->status || !reply->status->code));
	return reply;
}

bool box_answered(const struct box_call *call, const Svad__V1__Reply *reply)
{
	if (!reply)
		box_error(call, -EPIPE, "the connection was closed");
	else if (reply->status && reply->status->code)
		box_error(call, -(int)reply->status->code, "status %u: %s", reply->status->code,
			  reply->status->message);
	else
		return true;
	return false;
}

Svad__V1__Reply *box_hello(int fd)
{
	Svad__V1__Request req = SVAD__V1__REQUEST__INIT;
	Svad__V1__Version v = SVAD__V1__VERSION__INIT;
	Svad__V1__Hello body = SVAD__V1__HELLO__INIT;

	v.major = WIRE_VERSION_MAJOR;
	v.minor = WIRE_VERSION_MINOR;
	body.min = body.max = &v;
	body.program = (char *)"box-raw";
	req.body_case = SVAD__V1__REQUEST__BODY_HELLO;
	req.hello = &body;
	return box_exchange(fd, &req, NULL);
}

static void cmd_connect(struct box_call *call)
{
	int *fd = slot(call), r;

	if (!fd)
		return;
	if (*fd >= 0)
		close(*fd);
	*fd = seqpacket();
	r = *fd < 0 ? -errno : dial(*fd, socket_path(call->word[2]));
	if (r < 0)
		box_error(call, r, "%s: %s", socket_path(call->word[2]), strerror(-r));
	else if (box_answered(call, box_hello(*fd)))
		box_ok(call, "connected");
}

static void cmd_close(struct box_call *call)
{
	int *fd = slot(call);

	if (!fd)
		return;
	close(*fd);
	*fd = -1;
	box_ok(call, "closed");
}

static void cmd_list(struct box_call *call)
{
	Svad__V1__Request req = SVAD__V1__REQUEST__INIT;
	Svad__V1__ListBonds body = SVAD__V1__LIST_BONDS__INIT;
	Svad__V1__Reply *reply;
	char text[512] = "";
	int *fd = slot(call);

	if (!fd)
		return;
	req.body_case = SVAD__V1__REQUEST__BODY_LIST_BONDS;
	req.list_bonds = &body;
	reply = box_exchange(*fd, &req, NULL);
	if (!box_answered(call, reply))
		return;
	for (size_t i = 0;
	     reply->list_bonds && i < reply->list_bonds->n_bonds && strlen(text) < sizeof(text) - 32; i++)
		snprintf(text + strlen(text), 32, " %llu",
			 (unsigned long long)reply->list_bonds->bonds[i]->id);
	box_ok(call, "bonds:%s", text);
}

static Svad__V1__Reply *bind_request(int fd, char *device)
{
	Svad__V1__Request req = SVAD__V1__REQUEST__INIT;
	Svad__V1__Bind body = SVAD__V1__BIND__INIT;

	body.device = device;
	req.body_case = SVAD__V1__REQUEST__BODY_BIND;
	req.bind = &body;
	return box_exchange(fd, &req, NULL);
}

static void cmd_bind(struct box_call *call)
{
	int *fd = slot(call);

	if (fd && box_answered(call, bind_request(*fd, call->word[2] ? call->word[2] : (char *)"sim0")))
		box_ok(call, "granted");
}

/* ---- administrators' requests, in the wrong place ---------------------------------------------------- */

static void finish(struct box_call *call, const int *fd, Svad__V1__Request *req)
{
	if (box_answered(call, box_exchange(*fd, req, NULL)))
		box_ok(call, "it was done");
}

static void cmd_register(struct box_call *call)
{
	Svad__V1__Request req = SVAD__V1__REQUEST__INIT;
	Svad__V1__RegisterContainer body = SVAD__V1__REGISTER_CONTAINER__INIT;
	Svad__V1__Attachment attachment = SVAD__V1__ATTACHMENT__INIT;
	int *fd = slot(call);

	if (!fd)
		return;
	attachment.network = (char *)"forged";
	attachment.container_id = call->word[2] ? call->word[2] : (char *)"forged";
	attachment.ifname = (char *)"eth0";
	body.attachment = &attachment;
	body.netns_cookie = 4711;
	body.by = (char *)"cni";
	req.body_case = SVAD__V1__REQUEST__BODY_REGISTER_CONTAINER;
	req.register_container = &body;
	finish(call, fd, &req);
}

static void cmd_remove(struct box_call *call)
{
	Svad__V1__Request req = SVAD__V1__REQUEST__INIT;
	Svad__V1__RemoveContainer body = SVAD__V1__REMOVE_CONTAINER__INIT;
	Svad__V1__Attachment attachment = SVAD__V1__ATTACHMENT__INIT;
	int *fd = slot(call);

	if (!fd)
		return;
	attachment.container_id = call->word[2] ? call->word[2] : (char *)"forged";
	body.attachment = &attachment;
	req.body_case = SVAD__V1__REQUEST__BODY_REMOVE_CONTAINER;
	req.remove_container = &body;
	finish(call, fd, &req);
}

static void cmd_containers(struct box_call *call)
{
	Svad__V1__Request req = SVAD__V1__REQUEST__INIT;
	Svad__V1__ListContainers body = SVAD__V1__LIST_CONTAINERS__INIT;
	int *fd = slot(call);

	req.body_case = SVAD__V1__REQUEST__BODY_LIST_CONTAINERS;
	req.list_containers = &body;
	if (fd)
		finish(call, fd, &req);
}

static void cmd_revoke(struct box_call *call)
{
	Svad__V1__Request req = SVAD__V1__REQUEST__INIT;
	Svad__V1__Revoke body = SVAD__V1__REVOKE__INIT;
	int *fd = slot(call);

	body.bond = box_number(call, 2, 1);
	req.body_case = SVAD__V1__REQUEST__BODY_REVOKE;
	req.revoke = &body;
	if (fd)
		finish(call, fd, &req);
}

/* ---- too much ----------------------------------------------------------------------------------------- */

static void cmd_many(struct box_call *call)
{
	unsigned long n = box_number(call, 1, 1), in = 0, granted = 0;
	char *device = call->word[2] && call->word[3] && strcmp(call->word[3], "-") ? call->word[3] : NULL;
	char why[256] = "";

	for (unsigned long i = 0; i < n; i++) {
		const Svad__V1__Reply *reply;
		int fd = seqpacket();

		if (fd < 0 || dial(fd, socket_path(call->word[2])) < 0) {
			snprintf(why, sizeof(why), "%s", strerror(errno));
			if (fd >= 0)
				close(fd);
			break;
		}
		reply = box_hello(fd); /* the fd stays open for the life of this process */
		if (reply && !(reply->status && reply->status->code)) {
			in++;
			if (device) {
				reply = bind_request(fd, device);
				granted += reply && !(reply->status && reply->status->code);
			}
		}
		if (reply && reply->status && reply->status->code)
			snprintf(why, sizeof(why), "%s", reply->status->message);
	}
	box_ok(call, "in=%lu granted=%lu last: %s", in, granted, why);
}

static void cmd_flood(struct box_call *call)
{
	unsigned long n = box_number(call, 2, 1), done = 0, refused = 0, closed = 0;
	int *fd = slot(call);

	for (unsigned long i = 0; fd && i < n && !closed; i++) {
		Svad__V1__Request req = SVAD__V1__REQUEST__INIT;
		Svad__V1__ListDevices body = SVAD__V1__LIST_DEVICES__INIT;
		const Svad__V1__Reply *reply;

		req.body_case = SVAD__V1__REQUEST__BODY_LIST_DEVICES;
		req.list_devices = &body;
		reply = box_exchange(*fd, &req, NULL);
		closed += !reply;
		if (reply)
			*(reply->status && reply->status->code ? &refused : &done) += 1;
	}
	if (fd)
		box_ok(call, "done=%lu refused=%lu closed=%lu", done, refused, closed);
}

static void cmd_garbage(struct box_call *call)
{
	size_t n = box_number(call, 2, 100);
	int *fd = slot(call);

	if (!fd)
		return;
	n = n > sizeof(packet) ? sizeof(packet) : n;
	memset(packet, 0xff, n);
	if (wire_send(*fd, packet, n, NULL, 0, 0) < 0 ||
	    poll(&(struct pollfd){ .fd = *fd, .events = POLLIN }, 1, TIMEOUT_MS) != 1)
		box_error(call, -errno, "no answer");
	else
		box_ok(call, "%s", recv(*fd, packet, sizeof(packet), 0) > 0 ? "answered" : "closed");
}

/* ---- connections that change hands ----------------------------------------------------------------------
 */

static void cmd_give(struct box_call *call)
{
	int *fd = slot(call), sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), r;

	if (fd && call->word[2]) {
		r = dial(sock, call->word[2]);
		if (r == 0 && *fd < 0) {
			*fd = seqpacket(); /* not connected: the receiver is to do that */
			r = *fd < 0 ? -errno : 0;
		}
		if (r == 0)
			r = wire_send(sock, "x", 1, fd, 1, 0);
		if (r < 0)
			box_error(call, r, "%s: %s", call->word[2], strerror(-r));
		else
			box_ok(call, "given");
	}
	close(sock);
}

static void cmd_take(struct box_call *call)
{
	int *fd = slot(call), sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), conn = -1, r;
	struct wire_fds fds = WIRE_FDS_NONE;
	struct sockaddr_un addr;
	char byte;

	if (fd && call->word[2]) {
		unlink(call->word[2]);
		r = address(&addr, call->word[2]);
		if (r == 0 && (bind(sock, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(sock, 1) < 0))
			r = -errno;
		chmod(call->word[2], 0777);
		if (r == 0 && poll(&(struct pollfd){ .fd = sock, .events = POLLIN }, 1, 2 * TIMEOUT_MS) == 1)
			conn = accept4(sock, NULL, NULL, SOCK_CLOEXEC);
		if (conn >= 0 && wire_recv(conn, &byte, 1, &fds, NULL, 0) == 1) {
			*fd = wire_fds_take(&fds, 0);
			box_ok(call, "taken");
		} else {
			box_error(call, r, "nothing came at %s", call->word[2]);
		}
		wire_fds_close(&fds);
	}
	if (conn >= 0)
		close(conn);
	close(sock);
}

static void cmd_dial(struct box_call *call)
{
	int *fd = slot(call), r;

	if (!fd)
		return;
	r = dial(*fd, socket_path(call->word[2]));
	if (r < 0)
		box_error(call, r, "%s", strerror(-r));
	else if (box_answered(call, box_hello(*fd)))
		box_ok(call, "connected");
}

static void cmd_unshare_net(struct box_call *call)
{
	if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		box_error(call, -errno, "%s", strerror(errno));
	else
		box_ok(call, "unshared");
}

const struct box_command box_raw_commands[] = {
	{ "raw-connect", cmd_connect },
	{ "raw-close", cmd_close },
	{ "raw-list", cmd_list },
	{ "raw-bind", cmd_bind },
	{ "raw-register", cmd_register },
	{ "raw-remove", cmd_remove },
	{ "raw-containers", cmd_containers },
	{ "raw-revoke", cmd_revoke },
	{ "raw-many", cmd_many },
	{ "raw-flood", cmd_flood },
	{ "raw-garbage", cmd_garbage },
	{ "give", cmd_give },
	{ "take", cmd_take },
	{ "raw-dial", cmd_dial },
	{ "unshare-net", cmd_unshare_net },
	{ NULL, NULL },
};

/* ---- on the host: the fault socket ----------------------------------------------------------------------
 */

int box_fault(int argc, char **argv)
{
	int fd = seqpacket();
	ssize_t n;

	packet[0] = '\0';
	for (int i = 1; i < argc; i++)
		snprintf((char *)packet + strlen((char *)packet), 256, "%s%s", i > 1 ? " " : "", argv[i]);
	if (argc < 2 || fd < 0 || dial(fd, argv[0]) < 0 ||
	    send(fd, packet, strlen((char *)packet), MSG_NOSIGNAL) < 0) {
		fprintf(stderr, "svad-box: fault socket: %s\n", strerror(errno));
		return 1;
	}
	n = recv(fd, packet, sizeof(packet) - 1, 0);
	if (n <= 0)
		return 1;
	packet[n] = '\0';
	puts((char *)packet);
	return strncmp((char *)packet, "ok", 2) != 0;
}
