/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_CHANNEL_H
#define SVAD_CHANNEL_H
/*
 * The channel between the supervisor and each of its children: a SOCK_SEQPACKET pair, fd 3 in the child. One packet is a
 * struct chan_hdr, then len bytes, with up to CHAN_MAX_FDS fds. The child's end is non-blocking; so is the supervisor's.
 * EOF in the child: the supervisor is gone; the child drains what it can and exits. EOF in the supervisor: the child is dying.
 */
#include <stdint.h>
#include <sys/types.h>

#define CHAN_FD 3
#define CHAN_MAX 65536u
#define CHAN_MAX_FDS 4u

enum chan_type {
	/* supervisor -> broker, simdev */
	CHAN_CONFIG = 1, /* one fd: memfd with config_to_text(); arg: sequence number. The first one comes before all else */
	CHAN_BACKEND = 2, /* one fd: the broker's or the device's end of their control socket; arg: generation (of simdev). Again whenever the other side was
	                   * restarted. With backend = kmod, to the broker: a control fd of the kernel module */
	CHAN_SHUTDOWN = 3, /* arg: deadline in ms; broker: drain all, then CHAN_DONE and exit; simdev: exit */
	/* supervisor -> broker */
	CHAN_LISTEN = 4, /* two fds: listening client socket, listening admin socket */
	CHAN_RELOAD_RESULT = 5, /* arg: 0 or errno; payload: text; answers CHAN_RELOAD */
	CHAN_INFO = 6, /* payload: struct chan_info */
	CHAN_STORED = 8, /* one fd or none: the registry of containers as it was left; payload: the machine's boot id. Before CHAN_LISTEN */
	CHAN_STORE_ACK = 9, /* arg: sequence number << 32 | errno; answers CHAN_STORE */
	CHAN_NOTE = 10, /* an attachment that ended while svad could not be told; arg: when (CLOCK_REALTIME, ns); payload: name of the note, network, container
	                 * id, ifname, a line each */
	CHAN_IDENTIFIED = 32, /* arg: as asked; payload: struct chan_netns; answers CHAN_IDENTIFY */
	CHAN_NETNS_SCANNED = 33, /* arg: as asked; payload: struct chan_scanned; answers CHAN_NETNS_SCAN */
	CHAN_PROBE_RESULT = 7, /* arg: 0 and struct vfio_report as far as it is used, or errno and text; answers every CHAN_PROBE sent so far */

	/* broker, simdev -> supervisor */
	CHAN_READY = 16,
	CHAN_LOG = 17, /* arg: level; payload: see log.c */
	CHAN_PING = 18, /* the loop turns; at least every second */
	/* broker -> supervisor */
	CHAN_STATUS = 19, /* payload: one line for sd_notify STATUS= */
	CHAN_RELOAD = 20, /* an administrator asks to reload */
	CHAN_CONFIG_ACK = 21, /* arg: sequence number << 32 | errno; payload: text when refused */
	CHAN_PROBE = 23, /* look at the devices that are bound to vfio */
	CHAN_STORE = 24, /* one fd: a sealed memfd, the registry of containers to be stored; arg: sequence number */
	CHAN_STORE_DAMAGED = 25, /* the file that was handed over is to be set aside */
	CHAN_NOTE_DONE = 26, /* payload: name of a note that is not needed any more */
	CHAN_IDENTIFY = 34, /* in which network namespace a process is: one fd, its pidfd; arg: a number; payload: its pid, an int32_t */
	CHAN_NETNS_SCAN = 35, /* which network namespaces are alive: one fd, a sealed memfd of struct chan_scan, each with its path; arg: a number */
	CHAN_DONE = 22, /* arg: bonds that would not drain; payload: text naming them, a line each */
};

struct chan_hdr {
	uint32_t type;
	uint32_t len;
	uint64_t arg;
};

struct chan_info {
	uint32_t broker_restarts;
	uint32_t daemon_uid; /* the uid the supervisor runs as */
	uint64_t started_ns; /* CLOCK_MONOTONIC */
};

struct chan_netns {
	int32_t error; /* 0; ESRCH: the process is gone, or its first thread; EPERM: it cannot be told; other */
	uint32_t pad;
	uint64_t dev, inode, cookie; /* cookie 0: not told */
};

struct chan_scan {
	uint64_t id; /* the asker's */
	uint64_t dev, inode, cookie; /* cookie 0: not to be compared */
	uint32_t path_len; /* bytes of path, which follow; padded to 8. 0: none */
	int32_t pid; /* a process whose being alive is enough; 0: none */
};
#define CHAN_SCAN_MAX (64u << 20) /* bytes of a list */
#define CHAN_SCAN_PATH_MAX 4095u

struct chan_scanned {
	int32_t error; /* then nothing is known to be dead */
	uint32_t n;
	uint64_t dead[]; /* ids, as many as fit; the next scan finds the others */
};
#define CHAN_SCANNED_MAX ((CHAN_MAX - sizeof(struct chan_scanned)) / sizeof(uint64_t))

/* Sends one message; the fds are lent. 0, -EAGAIN when the peer does not read, -EPIPE, other -errno. */
int chan_send(int fd, enum chan_type type, uint64_t arg, const void *payload, uint32_t len, const int *fds, unsigned n_fds);

/* Receives one message into buf (CHAN_MAX bytes): payload length and *ret_hdr, fds (CLOEXEC, -1 padded) in ret_fds[CHAN_MAX_FDS]; -EAGAIN;
 * -ECONNRESET on EOF; -EBADMSG on a malformed one (its fds closed). */
ssize_t chan_recv(int fd, struct chan_hdr *ret_hdr, void *buf, int ret_fds[CHAN_MAX_FDS]);

/* A sealed memfd with these bytes, at its beginning: what is sent as one can be of any length, and changes under nobody's eyes. Memory only: it
 * does not block. name: for /proc. fd (owned by the caller, CLOEXEC) or -errno. */
int chan_memfd(const char *name, const void *bytes, size_t len);

#endif
