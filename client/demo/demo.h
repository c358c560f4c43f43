/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_DEMO_H
#define SVAD_DEMO_H
/*
 * The demonstration: an svad of its own, real client processes, six scenes, everything verified, on the
 * simulated device or on the kernel module. The parent drives and judges; its children (demo --child ROLE) are
 * the clients, told by lines on their stdin, answering by lines on stdout. Nothing is timed by sleeping: what
 * has to be in the middle of DMA is held there through the channel for faults, and what has to have happened
 * is waited for as an event. Single-threaded, but for the children's own threads.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../ctl/rpc.h"

/* Of each transfer, and how long to wait for what must come. A kernel on an emulated processor works with
 * less, and takes longer. */
#define DEMO_BYTES demo_bytes
#define DEMO_MIB (demo_bytes >> 20)
#define DEMO_WAIT_MS demo_wait_ms
extern size_t demo_bytes;
extern int demo_wait_ms;
#define DEMO_ENV_MIB "SVAD_DEMO_MIB"
#define DEMO_ENV_WAIT "SVAD_DEMO_WAIT_MS"
#define DEMO_MAX_EVENTS 1024
#define DEMO_MAX_CHILDREN 32

struct demo_event {
	unsigned kind;
	uint64_t ns; /* CLOCK_MONOTONIC */
	uint64_t bond;
	uint32_t pasid;
	int32_t pid;
};

struct demo_child {
	pid_t pid; /* 0: reaped */
	int pidfd;
	int to, from;
	char line[256];
	size_t have; /* bytes of text[] not yet taken as a line */
	char text[1024];
};

struct demo {
	bool kmod;
	const char *device[2]; /* one whose stop ends FLUSHED, one whose stop ends CLEAN */
	const char *fault_port; /* kmod: of the device's model; NULL: found by its name */
	const char *bindir;
	const char *self;
	char dir[80];
	char socket[100], admin[100], fault[100], conf[100];
	pid_t svad;
	int svad_pidfd;
	int fault_fd;
	struct ctl ctl;
	struct rpc *admin_rpc, *watch;
	struct demo_event events[DEMO_MAX_EVENTS];
	size_t n_events;
	struct demo_child children[DEMO_MAX_CHILDREN];
	size_t n_children;
	/* what was shown */
	uint64_t verified; /* bytes compared */
	char why[512];	   /* of the first failure */
	char line[8][160];
	size_t n_lines;
};

/* ---- main.c ---- */
/* Notes the first failure and returns false. */
bool demo_fail(struct demo *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A line of the scene's result. */
void demo_say(struct demo *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Waits until fd is readable. False: time is up, or a signal asked to end (noted). */
bool demo_wait(struct demo *d, int fd, int timeout_ms, const char *what);
bool demo_wait_either(struct demo *d, int fd, int fd2, int timeout_ms, const char *what);

/* ---- daemon.c: svad and its administrators' connection ---- */
bool demo_start(struct demo *d);
void demo_stop(struct demo *d,
	       int *ret_status); /* drains, ends svad, removes the directory; whatever state it is in */
bool demo_status(struct demo *d, uint64_t *ret_violations);
/* Takes what events there are; then the first of that kind, bond (0: any) and pid (0: any) from *from on;
 * waits for it. */
const struct demo_event *demo_event(struct demo *d, size_t from, unsigned kind, uint64_t bond, pid_t pid);
/* Runs svadctl; its exit code, -1 when it could not be run. */
int demo_svadctl(struct demo *d, const char *a, const char *b, const char *c);

/* ---- fault.c: whoever plays the device, told what to do to it ---- */
bool demo_fault_open(struct demo *d);
bool demo_fault(struct demo *d, char *answer, size_t size, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* ---- children.c: the parent's side ---- */
struct demo_child *demo_spawn(struct demo *d, const char *role, const char *arg); /* NULL: noted */
bool demo_tell(struct demo *d, struct demo_child *c, const char *word);
/* The next line, which must begin with word; the rest is in c->line. */
bool demo_hear(struct demo *d, struct demo_child *c, const char *word);
bool demo_reap(struct demo *d, struct demo_child *c, int expect_signal); /* 0: must exit with 0 */
void demo_kill_children(struct demo *d);

/* ---- roles.c: the children's side ---- */
int demo_role(const char *role, const char *arg);

/* ---- scenes.c ---- */
struct demo_scene {
	const char *title;
	bool (*run)(struct demo *d);
};
extern const struct demo_scene demo_scenes[];
extern const size_t demo_n_scenes;

#endif
