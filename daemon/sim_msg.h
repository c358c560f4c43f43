/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_SIM_MSG_H
#define SVAD_SIM_MSG_H
/* Packets of proto/simwire.h. Loop only: they share one buffer. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../proto/simwire.h"

struct sim_msg {
	struct simwire_hdr hdr;
	const void *payload; /* in the shared buffer: good until the next receive */
	int fds[SIMWIRE_MAX_FDS]; /* CLOEXEC; -1 padded */
	unsigned n_fds;
	pid_t pid; /* of the sender, 0: not told, or in no pid namespace that we see */
	uid_t uid; /* of the sender */
	int bad; /* -errno to answer with: malformed, or fds were lost */
};

/* 1: *ret is filled (look at bad first); 0: EOF; -EAGAIN; -ECONNRESET and such: as EOF. */
int sim_recv(int fd, struct sim_msg *ret);
/* Closes the fds that nobody took, off the loop: a close can block. */
void sim_msg_close_fds(struct sim_msg *m);
int sim_msg_take_fd(struct sim_msg *m, unsigned i); /* -1: none */

/* Copies the extensible struct of a request to dst (known bytes). 0, -EINVAL: too short, size wrong, unknown bytes or flags set. */
int sim_msg_arg(const struct sim_msg *m, void *dst, size_t known);

/* Sends an answer unless the request had seq 0. arg: NULL or the struct, of which as many bytes go as the request had. fds are lent. */
int sim_answer(int fd, const struct sim_msg *m, int result, const void *arg, size_t known, const int *fds,
	       unsigned n_fds);
/* The same when the request itself is gone. */
int sim_answer_raw(int fd, uint32_t op, uint32_t seq, int result, const void *arg, size_t len, const int *fds,
		   unsigned n_fds);

#endif
