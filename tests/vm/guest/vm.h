/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_VM_H
#define SVAD_VM_H
/*
 * vm-scenario: runs in the guest of the VM tier, on the real kernel, the unmodified arm-smmu-v3 driver and svabroker.ko.
 *
 * Each scenario is a function, listed in scenarios.list, and runs in a process of its own as root. It passes by returning. The runner
 * then asks the model of the hardware for violations, the module for what is left, and the kernel log for splats: all three must be empty.
 *
 * What is waited for is an event, a completion record or the model's word that a condition holds. Where the kernel has no event
 * for it (a counter in sysfs, a freed mm), it is asked again until a deadline: nothing here counts on a pause being long enough.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../../../client/lib/sva/demo_accel.h"
#include "../../../kmod/svabroker.h"

#define MUST(cond)                                              \
	do {                                                    \
		if (!(cond))                                    \
			fail(__FILE__, __LINE__, "%s", #cond);  \
	} while (0)
/* As MUST, with errno's words. */
#define MUST_SYS(cond)                                                                   \
	do {                                                                             \
		if (!(cond))                                                             \
			fail(__FILE__, __LINE__, "%s: %s", #cond, strerror(errno));      \
	} while (0)
#define MUST_EQ(a, b)                                                                                       \
	do {                                                                                                \
		long long must_a = (long long)(a), must_b = (long long)(b);                                 \
		if (must_a != must_b)                                                                       \
			fail(__FILE__, __LINE__, "%s is %lld, not %s (%lld)", #a, must_a, #b, must_b);      \
	} while (0)
#define FAIL(...) fail(__FILE__, __LINE__, __VA_ARGS__)

/* ---- the run (base.c, run.c) ---- */

struct vm {
	unsigned slow; /* every deadline is so many times as long */
	unsigned rounds; /* 0: a scenario's own */
	uint64_t seed;
	bool debug; /* the debug kernel: more rounds where a race is looked for */
	const char *bindir; /* svad, svadctl, svad-demo, vm-hostile */
	const char *modules; /* svabroker.ko and the others */
	const char *mutation; /* of svabroker.ko; NULL: none */
};
extern struct vm vm;
extern int report_fd; /* the scenario's and its kids' way to say why; stderr elsewhere */
#define EXIT_FAIL 1
#define EXIT_SKIP 77

/* Ends the scenario. In a kid as well: the first word counts. */
void fail(const char *file, int line, const char *fmt, ...) __attribute__((format(printf, 3, 4), noreturn));
void skip(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
void note(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* a line "# ..." on stdout */
unsigned rounds(unsigned release, unsigned debug); /* --rounds, else by kernel */
int ms(int ms); /* times slow */
uint64_t now_ns(void);
uint64_t deadline_in(int ms_from_now); /* times slow */
bool past(uint64_t deadline);
int ms_left(uint64_t deadline);
void nap(void); /* 1 ms: between two looks at something that has no event */
uint64_t rnd(void); /* seeded by --seed and the scenario's name */
uint32_t rnd_below(uint32_t n);
void seed_rnd(uint64_t seed);

/* ---- the model of the hardware (hwctl.c) ---- */

void hw_open(void); /* by the runner: everybody inherits it. One process at a time may speak: the scenario's first */
/* A request that must be answered with "ok"; what follows that word, good until the next. */
const char *hw(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The same, and may be answered with "error": false. */
bool hw_try(const char **ret_answer, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
uint64_t hw_figure(const char *line, const char *key); /* "key=N" in an answer */
unsigned hw_violations(const char **ret_first); /* how many, and the first one's text; ret_first may be NULL */
int hw_port(const char *name); /* a virtio port by its name; -1 and errno */
void hw_resync(void); /* after a scenario that was killed in the middle of a request */

/* ---- the watcher, which tells the model of each bond that is CLEAN (watch.c) ---- */

void watch_start(void); /* once, by the runner; where it was not, the others do nothing */
pid_t watch_pid(void);
void watch_on(void);
void watch_off(void); /* it holds svabroker.ko no longer */
void watch_sync(void); /* every bond that is CLEAN by now has been told of */
bool watch_end(char *why, size_t size); /* the same, by the runner; false: why it cannot be believed */

/* ---- what the runner looks at when a scenario has ended (check.c) ---- */

void check_init(void); /* once, by the runner */
void check_begin(void);
/* 0 characters in why: nothing is left. */
void check_end(char *why, size_t size, bool expect_violations);
void check_kmemleak(char *why, size_t size);
unsigned check_splats(char *why, size_t size);

/* ---- /dev/svabroker, by hand (raw.c) ---- */

#define DRAIN_MS 20000 /* for a device that behaves, on a machine that does not */

int ctl_open(void); /* a control fd of one's own: sees events from now on */
int ctl(void); /* this process's */
void ctl_close(void);
int ctl_ioctl(unsigned long op, void *arg); /* 0 or -errno */
void ctl_info(struct svab_info *ret);
bool dev_get(const char *name, struct svab_dev_info *ret); /* false: there is no such device */
uint32_t dev_id(const char *name); /* must exist */
uint64_t ctx_new(int *ret_fd); /* the cookie */
int ctx_grant(uint64_t cookie, const char *device, unsigned deadline_ms);
int ctx_revoke(uint64_t cookie, uint32_t cause);
int bond_revoke(uint64_t bond);
int dev_reset(const char *device, struct svab_dev_reset *ret);
int ctx_bind(int ctx, const char *device, struct svab_bind *ret);
struct listed {
	struct svab_list_entry *at;
	unsigned n;
};
void list_all(struct listed *ret); /* free(ret->at) */

#define RING 64u
struct rbond {
	int ctx, fd;
	uint32_t device, pasid;
	uint64_t id, cookie;
	volatile unsigned char *portal;
	struct sva_demo_desc *ring;
	uint32_t tail;
};
/* Ctx, grant, bind, portal and ring: all must succeed. */
void bond_open(struct rbond *b, const char *device);
void bond_open_deadline(struct rbond *b, const char *device, unsigned deadline_ms);
void bond_map(struct rbond *b, const struct svab_bind *bound); /* portal and ring of a bind done by hand */
/* The answer of SVAB_UNBIND; a signal does not end it. ret may be NULL. */
int bond_unbind(struct rbond *b, uint32_t vouched, struct svab_unbind *ret);
void bond_unbind_clean(struct rbond *b); /* must end CLEAN; closes all */
void bond_close(struct rbond *b); /* closes and unmaps without a word */
int bond_info(const struct rbond *b, struct svab_bond_info *ret);

void submit(struct rbond *b, struct sva_demo_desc desc, struct sva_demo_completion *done);
uint32_t wait_done(struct rbond *b, const struct sva_demo_completion *done); /* enum sva_demo_status; 0: revoked */
bool is_done(const struct sva_demo_completion *done);
uint32_t run(struct rbond *b, struct sva_demo_desc desc, struct sva_demo_completion *ret_done);
void run_ok(struct rbond *b, struct sva_demo_desc desc);
struct sva_demo_desc d_copy(void *dst, const void *src, size_t len);
struct sva_demo_desc d_fill(void *dst, uint64_t pattern, size_t len);
struct sva_demo_desc d_crc(const void *src, size_t len);
struct sva_demo_desc d_compare(const void *a, const void *b, size_t len);
uint32_t crc32c(const void *src, size_t len); /* by the CPU */

uint32_t portal_read(const struct rbond *b, uint32_t reg);
bool portal_alive(const struct rbond *b); /* false: a read of it raised SIGBUS */
bool hup(int fd, int ms); /* POLLHUP within the time */

/* Events of a control fd. */
bool event_next(int fd, struct svab_event *ret, int ms);
/* The next one of this type (and bond, if not 0); others are dropped. Must come. */
struct svab_event event_await(int fd, uint32_t type, uint64_t bond);
/* Up to the DRAINED of a bond whose device stops: nothing of it was QUARANTINED. Whether FLUSHED was among them, in its place; may be NULL. */
struct svab_event event_await_clean(int fd, uint64_t bond, bool *ret_flushed);
void await_idle(void); /* no ctx, bond, drain, quarantine is left */
void await_drained(unsigned quarantined); /* nothing drains, so many are quarantined */

/* ---- memory (memory.c) ---- */

void *pages(size_t size); /* fresh anonymous memory, never touched */
void *pages_at(void *where, size_t size);
void fill_cpu(void *memory, uint64_t pattern, size_t len);
bool filled(const void *memory, uint64_t pattern, size_t len);
size_t resident(const void *memory, size_t size); /* how many of its pages are present, by mincore */
bool present(const void *page); /* by pagemap: in this address space's own page tables */
uint64_t frame(const void *page); /* by pagemap; 0: not present */
uint64_t smaps_kib(const void *memory, const char *field);
bool write_file(const char *path, const char *text); /* false and errno */
uint64_t read_number(const char *path); /* UINT64_MAX when it cannot be read */

#define TARGET ((void *)0x500000000000ull) /* the same address in every process that uses it */

/* ---- kids (kid.c) ---- */

struct kid {
	pid_t pid;
	int pidfd, sock;
};
/* fn runs in a forked process; exits with 0 when it returns. Inherits every fd and the memory. */
void kid_start(struct kid *k, void (*fn)(void *arg), void *arg);
void kid_adopt(struct kid *k, pid_t pid, int sock);
const char *expect(struct kid *k, const char *prefix); /* its next message; good until the next */
void tell(struct kid *k, const char *message);
int kid_reap(struct kid *k); /* waits for its end; the status as of waitpid() */
void kid_kill(struct kid *k); /* SIGKILL, and reaps */
void kid_end(struct kid *k); /* tells it "end": it must exit with 0 */
void await_exit(int pidfd);
int open_pidfd(pid_t pid);
void close_fd(int *fd);

/* In the kid: */
extern int say_sock;
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
const char *hear(void);
void hear_this(const char *message);
void send_fd(int sock, int fd);
int receive_fd(int sock);
void become(uid_t uid);
void crash_now(void); /* SIGSEGV */

/* ---- kids with DMA under way (worker.c) ---- */

struct worker {
	struct kid kid;
	uint64_t bond;
	uint32_t pasid;
};
struct work {
	const char *device;
	unsigned deadline_ms;
	size_t bytes; /* of a FILL of TARGET, submitted before it says so; 0: no work */
	bool loop; /* without end, over the same memory */
};
/* Binds, submits, then waits for "end" (or, with loop, works until it is told). */
void worker_start(struct worker *w, const struct work *work);
void worker_kill(struct worker *w); /* SIGKILL in the middle of it */
/* A process that binds, says its PASID, and ends. */
uint32_t bind_once(const char *device);
void bystander_start(struct kid *k, const char *device); /* copies and compares on a device of its own, without end */
void bystander_check(struct kid *k); /* it has made progress since the last time, and all its bytes are right */

/* ---- devices and modules as the kernel's driver core sees them (driver.c) ---- */

void driver_init(void); /* once, by the runner: names of the accelerators' platform devices */
bool driver_bound(const char *device);
int driver_unbind(const char *device); /* 0 or -errno: returns when svab_device_unregister did */
int driver_bind(const char *device);
const char *driver_device(const char *device); /* "7d000000.accel": its name in sysfs */
/* accel4 and on are nobody's. To a driver (which must take it; whose module is there), and back. */
void driver_give(const char *device, const char *driver);
void driver_take_back(const char *device);
void driver_want(const char *device, const char *driver); /* the driver takes it when it comes, or is asked to */
/* Gives a device to bare.ko's driver, which is loaded for it; driver_restore() gives it back and unloads. */
void bare_take(const char *device);
void driver_restore(void); /* whatever a failed scenario left unbound */
int module_load(const char *name, const char *params); /* 0 or -errno; a module that is there: -EEXIST */
int module_unload(const char *name); /* never waits: -EWOULDBLOCK while in use */
bool module_loaded(const char *name);
void modules_load(void); /* svabroker, with its mutation if any, and svad_accel */
void modules_reload(void);
long module_refs(const char *name); /* -1: not loaded */

/* ---- the scenarios: one function for each line of scenarios.list ---- */

#define NEEDS_NOTHING 0u
#define NEEDS_DAEMON 1u
#define NEEDS_BARE 2u
#define NEEDS_LATE 4u
#define VIOLATES 8u /* the model is told to misbehave: violations are what it must see */
#define SCENARIO(group, name, limit, needs, what) void scenario_##group##_##name(void);
#include "scenarios.list"
#undef SCENARIO

/* A daemon of the scenario's own (daemon.c): the path of its administrators' socket, and its end, which must be a good one. */
const char *svad_start(void);
void svad_stop(void);

int contained(const char *device); /* container.c: what runs inside one; the status of its process */
/* svadctl (ctlrun.c): its exit status; what it wrote is in ctl_out. */
extern char ctl_out[65536];
int ctl_run(const char *socket, const char *const *args);
#define CTL_RUN(socket, ...) ctl_run(socket, (const char *const[]){ __VA_ARGS__, NULL })
void ctl_print(void);
void ctl_says(const char *text); /* must be there */
void ctl_is(int status, int wanted);

void pair(void); /* bug2017.c: the bare provider and svad, side by side */

#endif
