/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_TESTS_HARNESS_H
#define SVAD_TESTS_HARNESS_H
/*
 * A whole svad on the simulated device, for system tests: the daemon as a child of the test, raw clients (which speak the wire themselves, so
 * that they can misbehave), client processes, an administrator and the fault socket. One daemon at a time. Whatever goes wrong in here
 * ends the test, or the client process, with a line that says where; so most functions just return what was asked for.
 * Nothing sleeps: what is waited for is a packet, an event, a pidfd.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "../../client/lib/sva/demo_accel.h"
#include "../../kmod/svabroker.h"
#include "../../proto/status.h"
#include "../../proto/wire.h"
#include "tap.h"

#define MUST(cond)                                                    \
	do {                                                          \
		if (!(cond))                                          \
			sys_fail(__FILE__, __LINE__, "%s", #cond);    \
	} while (0)
#define MUST_EQ(a, b)                                                                                       \
	do {                                                                                                \
		long long must_a = (long long)(a), must_b = (long long)(b);                                 \
		if (must_a != must_b)                                                                       \
			sys_fail(__FILE__, __LINE__, "%s is %lld, not %s (%lld)", #a, must_a, #b, must_b);  \
	} while (0)
/* Fails the test; in a client process it tells the test and exits. */
void sys_fail(const char *file, int line, const char *fmt, ...) __attribute__((format(printf, 3, 4), noreturn));

/* ---- the daemon (harness.c) ----------------------------------------------------------------------- */

struct sys {
	char dir[64];
	pid_t pid; /* svad */
	int pidfd;
	int notify; /* its NOTIFY_SOCKET */
	int admin, watch; /* administrators' connections; watch is subscribed to every event */
	int fault; /* connection to the fault socket */
};
extern struct sys sys;

struct sys_options {
	const char *config; /* INI lines after [daemon] and [sim], which the harness writes */
	const char *daemon_keys; /* more lines of [daemon] */
	const char *stderr_path; /* NULL: DIR/log */
	const char *preload; /* a library for LD_PRELOAD */
	int listen_fds[2]; /* both not 0: socket activation, clients' and administrators' */
};

void sys_make_dir(void); /* the daemon's directory, when something must be in there before it starts */
/* Starts svad and returns when it has said READY=1. */
void sys_start(const char *config);
void sys_start_with(const struct sys_options *options);
/* No bond, charge or violation may be left; SIGTERM; the exit status must be 0. */
void sys_stop(void);
/* SIGTERM and the exit status (128 + signal). */
int sys_terminate(void);
void sys_fault_connect(void); /* to the fault socket, anew after simdev was restarted */
void sys_clean(void); /* closes connections, removes the directory: after sys_terminate() */
const char *sys_path(const char *name); /* of a file in the daemon's directory; four at a time are good */
/* Writes DIR/svad.conf anew. */
void sys_configure(const struct sys_options *options);
bool sys_log_has(const char *text);
pid_t sys_broker(void);
pid_t sys_simdev(void);
unsigned sys_fds(pid_t pid);
void sys_await_exit(int pidfd); /* readable within the time, else fails */
int sys_pidfd(pid_t pid);
int sys_ms(int ms); /* times tap_patience(): for what must come */
uint64_t sys_now_ns(void);

/* Adds a case of one test. */
void sys_test(Suite *suite, const char *name, const TTest *test);

/* Waits until the figures of both processes are what they were: fds have no event of their own. */
struct sys_baseline {
	pid_t broker, simdev;
	unsigned broker_fds, simdev_fds;
};
struct sys_baseline sys_baseline(void); /* after a client has come and gone, so that whatever is made once is there */
void sys_no_leak(const struct sys_baseline *before);

/* ---- administrator --------------------------------------------------------------------------------- */

void sys_reconnect(void); /* administrators' connections, after the broker was restarted */
uint64_t sys_counter(const char *name); /* GetStats: a round trip through broker and device */
/* Waits until the counter has this value: asks again at each event, and at least each 20 ms. */
void sys_await_counter(const char *name, uint64_t value);
Svad__V1__Reply *sys_bonds(void); /* AdminListBonds, one page; good until the next call on any connection */
const Svad__V1__Device *sys_device(const char *name); /* AdminListDevices, likewise */
Svad__V1__Reply *sys_revoke(const Svad__V1__Revoke *revoke);
Svad__V1__Reply *sys_reset(const char *device);
Svad__V1__Reply *sys_reload(void);

/* The next event of the watch of this kind (and of this bond, if not 0); others before it are dropped. */
Svad__V1__Event *sys_event(Svad__V1__EventKind kind, uint64_t bond);
/* Any next event. NULL when none came within the time. Good until the next call on any connection. */
Svad__V1__Event *sys_next_event(int timeout_ms);
void sys_drop_events(void); /* what has come so far */

/* Fault injection: the answer to a command, good until the next. _ok: it must be "ok". */
const char *sys_fault(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void sys_fault_ok(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
uint64_t sys_checker(const char *what); /* "violations", "accesses", "blocked" */

/* ---- the wire (harness-client.c) ------------------------------------------------------------------ */

int sys_connect(const char *socket); /* "svad.sock", "admin.sock"; the fd, or -errno */
bool sys_send(int fd, const void *data, size_t len, const int *fds, unsigned n_fds);
/* One request and its answer; events in between are dropped. Sets id when it is 0. ret_fd: -1 when none came; NULL: none is expected. The answer
 * is good until the next call. NULL: the connection was closed. */
Svad__V1__Reply *sys_call(int fd, Svad__V1__Request *request, int *ret_fd);
Svad__V1__Reply *sys_receive(int fd, int timeout_ms, struct wire_fds *fds); /* any packet; NULL: closed, or nothing in time */
unsigned sys_code(const Svad__V1__Reply *reply); /* SVAD_OK when there is no status; SVAD_UNAVAILABLE + 100 for NULL */
Svad__V1__Reply *sys_hello(int fd, uint64_t context);
int sys_client(void); /* connects and says Hello */

/* ---- a raw client ------------------------------------------------------------------------------------ */

#define RAW_RING 64u

struct raw {
	int conn, ctx;
	uint64_t cookie;
};

struct raw_bond {
	int fd, portal_fd;
	uint32_t device, pasid;
	uint64_t id;
	volatile unsigned char *portal;
	struct sva_demo_desc *ring;
	uint32_t tail;
};

void raw_open(struct raw *raw);
void raw_close(struct raw *raw);
/* Bind RPC; keeps a ctx fd that comes. The answer's code. */
unsigned raw_grant(struct raw *raw, const char *device, uint32_t *ret_device);
/* A message on a ctx or bond socket; the answer's result, -EPIPE when the socket is closed. arg is overwritten by the answer. ret_fds may be NULL. */
int raw_message(int fd, uint32_t op, void *arg, size_t size, const int *fds, unsigned n_fds, struct wire_fds *ret_fds);
int raw_send(int fd, uint32_t op, uint32_t seq, const void *arg, size_t size, const int *fds, unsigned n_fds);
/* SVAB_BIND with these fds; closes none. bond is filled when it succeeds, and its portal mapped. */
int raw_bind_fds(struct raw *raw, uint32_t device, const int *fds, unsigned n_fds, struct raw_bond *bond);
int raw_bind_own(struct raw *raw, uint32_t device, struct raw_bond *bond); /* with this process's mem and maps */
/* All of it; must succeed. */
void raw_bind(struct raw *raw, const char *device, struct raw_bond *bond);
int raw_unbind(struct raw_bond *bond, uint32_t state, struct svab_unbind *ret);
int raw_info(struct raw_bond *bond, struct svab_bond_info *ret);
void raw_bond_close(struct raw_bond *bond);

void raw_submit(struct raw_bond *bond, const struct sva_demo_desc *desc);
/* Waits for it: the status, 0 when the bond was revoked first. */
uint32_t raw_wait(struct raw_bond *bond, struct sva_demo_completion *done);
uint32_t raw_run(struct raw_bond *bond, struct sva_demo_desc desc, struct sva_demo_completion *ret_done);
struct sva_demo_desc raw_copy(void *dst, const void *src, size_t len);
struct sva_demo_desc raw_fill(void *dst, uint64_t pattern, size_t len);
bool raw_hup(int fd, int timeout_ms); /* POLLHUP within the time */
void *pages(size_t size); /* fresh anonymous memory */
bool filled(const void *memory, uint64_t pattern, size_t len);

/* ---- client processes (harness-child.c) -------------------------------------------------------------- */

struct child {
	pid_t pid;
	int pidfd, sock;
};

/* fn runs in a forked process that keeps nothing of the test's but its end of a socket; exits with 0 when it returns. */
void sys_child(struct child *child, void (*fn)(void *arg), void *arg);
/* The same, and every fd is inherited. */
void sys_child_inherits(struct child *child, void (*fn)(void *arg), void *arg);
const char *sys_expect(struct child *child, const char *prefix); /* its next message; good until the next */
void sys_tell(struct child *child, const char *message);
int sys_reap(struct child *child); /* waits for its end; the status as of waitpid() */
void sys_kill(struct child *child, int sig); /* and reaps; that signal must have ended it */
void sys_end(struct child *child); /* tells it "end"; it must exit with 0 */

/* In the client process: */
extern int say_sock;
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
const char *hear(void); /* the next message of the test */
void hear_this(const char *message);
void become(uid_t uid, gid_t gid); /* and no supplementary groups */

/* A bystander: a client process on a device of its own that copies and compares without end, until it is asked how that went. */
void bystander_start(struct child *child, const char *device);
void bystander_check(struct child *child); /* it has made progress since the last time, and all its bytes are right */
void bystander_end(struct child *child);

#endif
