/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "wire.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "wire_check.h"

/* Newer than Debian 12's libc; a socket with SO_PASSPIDFD gets one installed with each packet. */
#ifndef SCM_PIDFD
#define SCM_PIDFD 0x04
#endif

void wire_fds_close(struct wire_fds *fds)
{
	for (unsigned i = 0; i < fds->n; i++)
		if (fds->fd[i] >= 0)
			(void)close(fds->fd[i]);
	fds->n = 0;
}

int wire_fds_take(struct wire_fds *fds, unsigned i)
{
	int fd;

	if (i >= fds->n)
		return -1;
	fd = fds->fd[i];
	fds->fd[i] = -1;
	return fd;
}

/* Takes over the fds of one control message. False: more than we take; what did not fit is closed. */
static bool collect_fds(const struct cmsghdr *c, struct wire_fds *fds)
{
	size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	bool fits = true;

	for (size_t i = 0; i < n; i++) {
		int fd;

		memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
		if (fds->n < WIRE_MAX_FDS) {
			fds->fd[fds->n++] = fd;
		} else {
			fits = false;
			if (fd >= 0)
				(void)close(fd);
		}
	}
	return fits;
}

ssize_t wire_recv(int sock, void *buf, size_t size, struct wire_fds *ret_fds, pid_t *ret_pid, int flags)
{
	/* Room for all that the kernel may add, so that MSG_CTRUNC means the sender overdid it (or we are out
	 * of fds). */
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int) * WIRE_MAX_FDS) + CMSG_SPACE(sizeof(struct ucred)) +
			  CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = buf, .iov_len = size };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.room,
		.msg_controllen = sizeof(control.room),
	};
	struct wire_fds fds = WIRE_FDS_NONE;
	bool fits = true;
	pid_t pid = 0;
	ssize_t n;

	ret_fds->n = 0;
	if (ret_pid)
		*ret_pid = 0;

	do {
		n = recvmsg(sock, &msg, flags | MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EWOULDBLOCK ? -EAGAIN : -errno;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SCM_RIGHTS) {
			fits = collect_fds(c, &fds) && fits;
		} else if (c->cmsg_type == SCM_PIDFD && c->cmsg_len >= CMSG_LEN(sizeof(int))) {
			int fd;

			memcpy(&fd, CMSG_DATA(c), sizeof(fd));
			if (fd >= 0)
				(void)close(fd);
		} else if (c->cmsg_type == SCM_CREDENTIALS && c->cmsg_len >= CMSG_LEN(sizeof(struct ucred))) {
			struct ucred cred;

			memcpy(&cred, CMSG_DATA(c), sizeof(cred));
			pid = cred.pid;
		}
	}

	if (!fits || (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
		wire_fds_close(&fds);
		return -EMSGSIZE;
	}
	if (n == 0) {
		wire_fds_close(&fds); /* an empty packet may carry fds; nobody would take them */
		return 0;
	}
	*ret_fds = fds;
	if (ret_pid)
		*ret_pid = pid;
	return n;
}

int wire_send(int sock, const void *buf, size_t len, const int *fds, unsigned n_fds, int flags)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int) * WIRE_MAX_FDS)];
	} control;
	struct iovec iov = { .iov_base = (void *)(uintptr_t)buf, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (len == 0 || n_fds > WIRE_MAX_FDS)
		return -EINVAL;
	if (len > WIRE_MAX)
		return -EMSGSIZE;

	if (n_fds > 0) {
		struct cmsghdr *c;

		memset(&control, 0, sizeof(control));
		msg.msg_control = control.room;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
	}

	do {
		n = sendmsg(sock, &msg, flags | MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	return 0;
}

static void *arena_alloc(void *data, size_t size)
{
	struct wire_arena *arena = data;
	size_t align = _Alignof(max_align_t), pad;

	pad = (align - ((uintptr_t)arena->base + arena->used) % align) % align;
	if (pad > arena->size - arena->used || size > arena->size - arena->used - pad)
		return NULL;
	arena->used += pad + size;
	return arena->base + arena->used - size;
}

static void arena_free(void *data, void *pointer)
{
	(void)data;
	(void)pointer; /* everything dies with wire_arena_reset() */
}

void wire_arena_init(struct wire_arena *arena, void *memory, size_t size)
{
	arena->base = memory;
	arena->size = size;
	arena->used = 0;
	arena->allocator = (ProtobufCAllocator){
		.alloc = arena_alloc,
		.free = arena_free,
		.allocator_data = arena,
	};
}

void wire_arena_reset(struct wire_arena *arena)
{
	arena->used = 0;
}

static int decode(const ProtobufCMessageDescriptor *type, const void *data, size_t len,
		  struct wire_arena *arena, ProtobufCMessage **ret)
{
	ProtobufCMessage *msg;

	if (len == 0 || len > WIRE_MAX || !wire_check(type, data, len))
		return -EBADMSG;
	msg = protobuf_c_message_unpack(type, &arena->allocator, len, data);
	if (!msg)
		return -EBADMSG;
	*ret = msg;
	return 0;
}

int wire_decode_request(const void *data, size_t len, struct wire_arena *arena, Svad__V1__Request **ret)
{
	ProtobufCMessage *msg;
	int r = decode(&svad__v1__request__descriptor, data, len, arena, &msg);

	if (r < 0)
		return r;
	*ret = (Svad__V1__Request *)msg;
	return 0;
}

int wire_decode_reply(const void *data, size_t len, struct wire_arena *arena, Svad__V1__Reply **ret)
{
	ProtobufCMessage *msg;
	int r = decode(&svad__v1__reply__descriptor, data, len, arena, &msg);

	if (r < 0)
		return r;
	*ret = (Svad__V1__Reply *)msg;
	return 0;
}

static ssize_t encode(const ProtobufCMessage *msg, void *buf, size_t size)
{
	size_t len = protobuf_c_message_get_packed_size(msg);

	if (len > size || len > WIRE_MAX)
		return -EMSGSIZE;
	return (ssize_t)protobuf_c_message_pack(msg, buf);
}

void wire_trim_text(char *text)
{
	size_t len = strlen(text), tail = 0, want;
	unsigned char lead;

	while (tail < len && tail < 4 && ((unsigned char)text[len - 1 - tail] & 0xc0) == 0x80)
		tail++;
	if (tail == len)
		return;
	lead = (unsigned char)text[len - 1 - tail];
	want = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : lead >= 0xc0 ? 1 : 0;
	if (tail < want)
		text[len - 1 - tail] = '\0';
}

ssize_t wire_encode_request(const Svad__V1__Request *msg, void *buf, size_t size)
{
	return encode(&msg->base, buf, size);
}

ssize_t wire_encode_reply(const Svad__V1__Reply *msg, void *buf, size_t size)
{
	return encode(&msg->base, buf, size);
}
