/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_SUPERVISOR_PRIVATE_H
#define SVAD_SUPERVISOR_PRIVATE_H
/* Shared by supervisor*.c only. */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "channel.h"
#include "config.h"
#include "listen.h"
#include "spawn.h"
#include "supervisor.h"

#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S UINT64_C(1000000000)

enum child_kind { CHILD_SIMDEV, CHILD_BROKER, N_CHILDREN };

struct supervisor;

/* A child, whether it runs at present or not. */
struct child {
	struct supervisor *s;
	enum child_kind kind;
	const char *name;     /* "svad-broker" */
	const char *msg_died; /* MESSAGE_ID */
	char *path;
	pid_t pid;  /* 0: does not run */
	int fd;	    /* our end of its channel; -1: none */
	bool ready; /* it said so */
	uint64_t started_ns;
	uint64_t seen_ns;    /* last sign of life */
	uint64_t kill_ns;    /* kill it then; 0: no */
	uint64_t restart_ns; /* start it then; 0: no */
	uint32_t backoff_ms; /* the next delay */
	uint32_t starts;
	uint32_t early_deaths; /* before it was ever ready */
};

enum phase {
	PHASE_RUN,
	PHASE_STOP_BROKER, /* told to drain and exit */
	PHASE_STOP_DEVICE, /* nothing is bound any more, or nobody is left to wait for it */
	PHASE_DONE,
};

struct vfio_report;

/* The look at vfio devices that is under way. */
struct probe {
	pid_t pid;  /* 0: none */
	int fd;	    /* its pipe; -1: none, or it has said all, or was given up */
	bool stuck; /* it was given up */
	bool again; /* asked for again while it ends */
	size_t have;
	struct vfio_report *report;
	uint64_t deadline_ns;
};

struct chan_scanned;

/* The look for dead network namespaces that is under way. */
struct scan {
	pid_t pid;  /* 0: none */
	int fd;	    /* its pipe; -1: none, or it has said all, or was given up */
	uint64_t number;
	size_t have;
	struct chan_scanned *result;
	uint64_t deadline_ns;
	bool stuck;    /* it was given up */
	int next_list; /* asked for while it ends; -1: not */
	uint64_t next_number;
};

struct supervisor {
	const struct supervisor_args *args;
	struct config *config;
	struct spawn_user user;
	struct listeners listeners;
	struct child child[N_CHILDREN];
	int signal_fd;
	uint64_t started_ns;
	uint64_t tick_ns;			/* when the loop last came round */
	bool announced;				/* READY=1 has been sent once */
	uint64_t watchdog_ns, watchdog_next_ns; /* interval of our own pings; 0: none */
	uint32_t config_seq;

	enum phase phase;
	uint64_t stop_deadline_ns;
	bool drained_known; /* CHAN_DONE came */
	bool failed;
	uint64_t undrained;

	struct reload {
		struct config *next; /* waits for the broker's answer; NULL: none under way */
		uint32_t seq;
		uint64_t deadline_ns;
		unsigned asked; /* CHAN_RELOADs that this one answers */
		bool again;	/* asked for once more meanwhile */
		unsigned asked_again;
	} reload;
	struct probe probe;
	struct {
		struct timespec notes_seen; /* mtime of the directory when its notes were handed over; 0: not all were */
		unsigned notes_out; /* handed over, and the broker has not said yet that it is done with them */
	} store;
	struct scan scan;
};

uint64_t now_ns(void);

/* supervisor_probe.c */
void probe_init(struct supervisor *s);
void probe_ask(struct supervisor *s);
void probe_read(struct supervisor *s); /* its pipe is readable */
void probe_reap(struct supervisor *s); /* SIGCHLD: it may have ended */
uint64_t probe_deadline(const struct supervisor *s); /* when probe_tick() has something to do; UINT64_MAX: never */
void probe_tick(struct supervisor *s, uint64_t now);
void probe_deinit(struct supervisor *s);

/* supervisor_netns.c */
void netns_identify(struct supervisor *s, uint64_t number, int pidfd, const void *payload, size_t len);
void scan_init(struct supervisor *s);
void scan_ask(struct supervisor *s, uint64_t number, int fd); /* fd is lent */
void scan_read(struct supervisor *s);			      /* its pipe is readable */
void scan_reap(struct supervisor *s);			      /* SIGCHLD: it may have ended */
uint64_t scan_deadline(const struct supervisor *s);
void scan_tick(struct supervisor *s, uint64_t now);
void scan_deinit(struct supervisor *s);

/* supervisor_store.c */
void store_ask(struct supervisor *s, uint64_t seq, int text); /* CHAN_STORE; text lent */
void store_set_aside(struct supervisor *s);
int store_hand_over(struct supervisor *s); /* to a broker that is new */
void store_tick(struct supervisor *s);
void store_note_done(struct supervisor *s, const char *name);

/* supervisor_child.c */
void child_init(struct child *c, struct supervisor *s, enum child_kind kind);
void child_deinit(struct child *c);
int child_start(struct child *c, char **ret_why); /* with all that it is told at its start */
void child_read(struct child *c);		  /* its channel is readable */
void child_reap(struct child *c);		  /* SIGCHLD: it may have died */
void child_tick(struct child *c, uint64_t now);
uint64_t child_deadline(const struct child *c); /* when child_tick() has something to do; UINT64_MAX: never */
/* Sends; a child that does not take it is killed (and started again): it would miss what it must know. */
int child_send(struct child *c, enum chan_type type, uint64_t arg, const void *payload, uint32_t len,
	       const int *fds, unsigned n_fds);
int child_send_config(struct child *c, const struct config *config, uint32_t seq);
void child_kill(struct child *c, const char *why);

/* supervisor.c: what happened to a child */
void supervisor_child_ready(struct child *c);
void supervisor_child_died(struct child *c);
void supervisor_fail(struct supervisor *s); /* cannot go on: stop in good order, exit 1 */

/* supervisor_reload.c */
void reload_ask(struct supervisor *s, bool by_broker);
void reload_ack(struct supervisor *s, uint32_t seq, int error, const char *text);
void reload_cancel(struct supervisor *s, const char *why); /* the broker died, or we stop */
void reload_tick(struct supervisor *s, uint64_t now);

/* supervisor_stop.c */
void stop_begin(struct supervisor *s);
void stop_done(struct supervisor *s, uint64_t undrained, const char *text);
void stop_child_died(struct supervisor *s, enum child_kind kind);
void stop_tick(struct supervisor *s, uint64_t now);

#endif
