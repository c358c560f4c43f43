/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SVAD_PROTO_WIRE_H
#define SVAD_PROTO_WIRE_H
/*
 * Framing: one protobuf message (svad.proto's Request or Reply) is one SOCK_SEQPACKET packet, fds ride along by SCM_RIGHTS and
 * are counted in the message. The daemon, the library and the CLI all go through this file; it keeps no state and takes no locks.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "svad.pb-c.h"

#define WIRE_MAX 65536u /* bytes in a packet */
#define WIRE_MAX_FDS 8u /* fds taken from one packet; a packet with more is -EMSGSIZE and all its fds are closed */
#define WIRE_VERSION_MAJOR 1u
#define WIRE_VERSION_MINOR 0u

/* Received fds, each with CLOEXEC. The owner closes what it does not take: wire_fds_close(). */
struct wire_fds {
	int fd[WIRE_MAX_FDS];
	unsigned n;
};
#define WIRE_FDS_NONE { .n = 0 }

void wire_fds_close(struct wire_fds *fds);
/* Takes fd i: returns it and leaves -1, so that wire_fds_close() passes over it. -1 when there is none. */
int wire_fds_take(struct wire_fds *fds, unsigned i);

/* Receives one packet into buf. Returns its length; 0: the peer closed (or sent an empty packet, which no version of the protocol
 * does); -EAGAIN; -EMSGSIZE: packet longer than size, or too many fds (everything that came was closed); other -errno.
 * flags: MSG_DONTWAIT or 0. EINTR is retried. pid_ret: when not NULL and the socket has SO_PASSCRED, the sender's pid, else 0. */
ssize_t wire_recv(int sock, void *buf, size_t size, struct wire_fds *ret_fds, pid_t *ret_pid, int flags);

/* Sends one packet, always with MSG_NOSIGNAL. The fds are only lent. 0, -EAGAIN, -EPIPE, other -errno. EINTR is retried. */
int wire_send(int sock, const void *buf, size_t len, const int *fds, unsigned n_fds, int flags);

/* A bump allocator for decoding without malloc: everything decoded from one packet dies together. Exhaustion fails the decode.
 * Memory amplification of a hostile packet is bounded by its size. */
struct wire_arena {
	unsigned char *base;
	size_t size, used;
	ProtobufCAllocator allocator;
};
void wire_arena_init(struct wire_arena *arena, void *memory, size_t size);
void wire_arena_reset(struct wire_arena *arena);

/* Decode. 0, -EBADMSG (not a protobuf of this type, or it does not fit the arena). The message lives in the arena. Strings are valid UTF-8
 * with no control characters, else -EBADMSG. */
int wire_decode_request(const void *data, size_t len, struct wire_arena *arena, Svad__V1__Request **ret);
int wire_decode_reply(const void *data, size_t len, struct wire_arena *arena, Svad__V1__Reply **ret);

/* After snprintf() into a short buffer: takes away a UTF-8 character that was cut in its middle, which no receiver would accept. */
void wire_trim_text(char *text);

/* Encode into buf (of WIRE_MAX bytes). Length, or -EMSGSIZE. */
ssize_t wire_encode_request(const Svad__V1__Request *msg, void *buf, size_t size);
ssize_t wire_encode_reply(const Svad__V1__Reply *msg, void *buf, size_t size);

#endif
