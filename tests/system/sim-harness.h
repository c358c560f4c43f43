/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_TESTS_SIM_HARNESS_H
#define SVAD_TESTS_SIM_HARNESS_H
/* Drives svad-simdev directly: the test plays supervisor, broker and clients. One simdev at a time; failures end the test. */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "../../client/lib/sva/demo_accel.h"
#include "../../kmod/svabroker.h"

#define DEADLINE_MS 600u

/* Starts simdev with these INI lines (devices and such; the fault socket is added). */
void h_start(const char *config);
/* Ends it, after making sure that its checker has seen no violation. */
void h_stop(void);
pid_t h_pid(void);

/* ---- as the broker ---- */
int h_control(uint32_t op, void *arg, size_t size, const int *fds, unsigned n_fds); /* result; arg is overwritten */
void h_new_broker(void); /* a new control socket */
int h_ctx_socket(uint64_t cookie); /* SVAB_CTX_CREATE: the client's end */
void h_grant(uint64_t cookie, uint32_t device);
/* The next event of this type, others before it are dropped; bond 0: of any. Fails the test after 10 s. */
struct svab_event h_event(uint32_t type, uint64_t bond);
/* How many events of this type are there, until now? (A round trip flushes them; nothing is dropped.) */
unsigned h_events_seen(uint32_t type, uint64_t bond);
void h_revoke(uint64_t bond);
void h_reset(uint32_t device, uint32_t *clean, uint32_t *quarantined);
struct svab_info h_info(void);

/* ---- fault injection ---- */
/* printf-style command; the answer, good until the next call. */
const char *h_fault(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void h_fault_ok(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
uint64_t h_checker(const char *what); /* "violations", "blocked" */

/* ---- as a client ---- */
struct client {
	int ctx, fd;
	uint32_t device, pasid;
	uint64_t bond;
	volatile unsigned char *portal;
	int portal_fd;
	struct sva_demo_desc *ring;
	uint32_t tail;
};
#define RING 64u

/* A raw message with fds on a ctx or bond socket; the answer's result. ret_fds (2) may be NULL: then they are closed. */
int h_message(int fd, uint32_t op, void *arg, size_t size, const int *fds, unsigned n_fds, int *ret_fds);
int h_bind_fds(struct client *c, int mem, int maps); /* result */
int h_bind(struct client *c); /* with this process's own fds */
/* ctx, grant and bind on this process's memory. */
void h_client(struct client *c, uint64_t cookie, uint32_t device);
int h_unbind(struct client *c, uint32_t state, struct svab_unbind *ret);
void h_queue(struct client *c); /* sets the ring up */
void *h_memory(size_t align, size_t size); /* zeroed; lives until the test's process ends, and is no leak */
void h_submit(struct client *c, const struct sva_demo_desc *desc);
uint32_t h_wait(const struct client *c, struct sva_demo_completion *done); /* status; 0: the bond was revoked first */
uint32_t h_run(struct client *c, struct sva_demo_desc desc, struct sva_demo_completion *done);
struct sva_demo_desc h_copy(void *dst, const void *src, size_t len);

/* ---- client processes ---- */
/* Forks; the child runs fn and exits. */
pid_t h_fork(void (*fn)(void *arg), void *arg);
void h_reap(pid_t pid, int status); /* expects this exit status */
void h_kill(pid_t pid);
int h_ms(unsigned ms); /* times tap_patience(): for what must come */
bool h_hup(int fd, int timeout_ms); /* POLLHUP within the time */

#endif
