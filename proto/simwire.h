/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SVAD_PROTO_SIMWIRE_H
#define SVAD_PROTO_SIMWIRE_H
/*
 * The kernel module's API (kmod/svabroker.h) as messages over SOCK_SEQPACKET sockets, for the simulated device.
 *
 * One packet: struct simwire_hdr, then the payload. A request's op is the ioctl number; the answer repeats op and seq and
 * has result 0 or -errno. seq 0: the sender wants no answer (errors are counted by the receiver).
 *
 * control socket (broker <-> svad-simdev): every control ioctl, and from the device SIMWIRE_EVENTS (seq 0): one or more
 *   struct svab_event. SVAB_CTX_CREATE carries one fd, the device's end of a SOCK_SEQPACKET pair whose other end the
 *   broker hands to the client as the ctx fd; it has SO_PASSCRED set before that. SVAB_LIST's answer is struct svab_list and then its entries.
 *   The device handles control messages before any message of a ctx or bond socket that became readable in the same
 *   turn: a grant sent before the client was answered is always seen before that client's SVAB_BIND.
 * ctx socket (client -> device): SVAB_BIND with two fds, /proc/self/mem (O_RDWR) and /proc/self/maps (O_RDONLY), in this
 *   order. The answer carries the bond socket and, when portal_size is not 0, a memfd to map shared.
 *   Closing the last copy of the ctx socket ends the ctx's bonds.
 * bond socket: SVAB_UNBIND, SVAB_BOND_INFO, and SIMWIRE_KICK (seq 0): "read my doorbell". The device closes it when the bond is
 *   revoked and its last answer given: the client polls POLLHUP. A packet that is too short, too long or unknown gets -EINVAL or -ENOTTY, even with seq 0;
 *   fds that a request does not take are closed and the request gets -EINVAL.
 */
#include <stdint.h>

struct simwire_hdr {
	uint32_t op;
	uint32_t seq;
	int32_t result;
	uint32_t len; /* bytes of payload that follow */
};

#define SIMWIRE_EVENTS 0x53564501u
#define SIMWIRE_KICK 0x53564502u
#define SIMWIRE_MAX 65536u /* bytes in a packet, header included */
#define SIMWIRE_MAX_FDS 4

#endif
