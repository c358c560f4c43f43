/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_TESTS_LIVE_H
#define SVAD_TESTS_LIVE_H
/*
 * A whole svad of one's own, on the simulated device, and plain connections to its sockets. For programs that
 * judge by themselves what is a failure (the randomized test, the benchmark): nothing here ends the process.
 * Errors are said on stderr where they are found. Single-threaded.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "../../proto/status.h"
#include "../../proto/wire.h"

struct live {
	pid_t pid;
	int pidfd;
	char dir[64];
	char socket[96], admin[96], fault[96];
	int fault_fd; /* the fault socket */
};

/* Starts svad from builddir (its children from libexecdir) with these INI lines after the sockets' own
 * ([daemon] is the open section) and waits until it is ready. False: said why. slow multiplies the patience.
 */
bool live_start(struct live *live, const char *builddir, const char *libexecdir, const char *ini,
		unsigned slow);
/* SIGTERM, and the end; removes the directory. The exit status, 128 + signal, or -1 when it had to be killed.
 */
int live_stop(struct live *live, unsigned slow);

/* Fault injection: a command, its answer into answer (may be NULL). True when that begins with "ok". */
bool live_fault(struct live *live, char *answer, size_t size, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* The simulated device's process, as the fault socket's listener. */
pid_t live_simdev(const struct live *live);

/* A connection after Hello; -errno. Blocking. */
int live_connect(const char *path, const char *program);
/* Sends a request; its id is filled in from a counter of this process. 0 or -errno. */
int live_send(int fd, Svad__V1__Request *request);
/* The next reply or event, waiting at most timeout_ms (0: not at all). *ret lives until the next call of any
 * of these functions. 0, -EAGAIN (nothing came), -errno. */
int live_receive(int fd, int timeout_ms, Svad__V1__Reply **ret);
/* Request and its answer; events in between are dropped. 0 or -errno; *ret may still be a refusal (status).
 */
int live_call(int fd, Svad__V1__Request *request, int timeout_ms, Svad__V1__Reply **ret);
/* Figures of GetStats by name: fills values[i] for names[i]; -errno. A figure that is not there is
 * UINT64_MAX. */
int live_stats(int fd, const char *const *names, uint64_t *values, unsigned n);
/* How many fds a process has open; -1: it is not there. */
int live_count_fds(pid_t pid);
void live_print_fds(pid_t pid); /* and what they are, on stderr */
uint64_t live_now_ns(void);

#endif
