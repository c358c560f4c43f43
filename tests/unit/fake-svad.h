/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_TESTS_FAKE_SVAD_H
#define SVAD_TESTS_FAKE_SVAD_H
/*
 * A broker and a device in one thread, for tests of the library: they speak the wire and simwire, and
 * misbehave on demand. What it does to a client's memory it does through the fds that the client sent, as the
 * real one.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "svad.pb-c.h"

enum fake_how {
	FAKE_GOOD = 0,
	FAKE_STATUS,	  /* refuses with fake->status */
	FAKE_EOF,	  /* closes instead of answering */
	FAKE_SILENT,	  /* never answers */
	FAKE_LATE,	  /* answers when fake_release() is called */
	FAKE_GARBAGE,	  /* answers with bytes that are no message */
	FAKE_WRONG,	  /* a well-formed answer of the wrong kind */
	FAKE_WRONG_FD,	  /* a pipe where a socket should be */
	FAKE_NO_FD,	  /* fds announced, none sent */
	FAKE_STALE,	  /* first an answer to another request, with fds, then the right one */
	FAKE_QUARANTINED, /* unbind only */
	FAKE_EOF_CLEAN,	  /* unbind only: closes, then the broker's event tells of CLEAN */
	FAKE_VERSION,	  /* hello only: speaks version 2 */
	FAKE_UNHEARD,	  /* hello only: refuses with fake->status and closes, before anything was asked */
};

#define FAKE_CONNS 64

struct fake {
	char directory[64], path[96];
	pthread_t thread;
	int listener, control[2];
	atomic_int hello, rpc, bind_fd, bind, unbind; /* enum fake_how of the next answers */
	atomic_int status;			      /* SVAD_* for FAKE_STATUS */
	atomic_int device_error;		      /* -errno for the device's FAKE_STATUS */
	atomic_bool know_context;		      /* Hello.context is known */
	atomic_uint n_hello, n_bind_rpc, n_device_bind, n_ctx_open, n_bond_open, n_conn;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	/* the thread's own */
	struct fake_fd *fds;
	uint64_t cookie;
	uint64_t next_bond;
};

void fake_start(struct fake *f);
void fake_stop(struct fake *f);

/* Each returns when the thread has done it. */
void fake_settle(struct fake *f); /* nothing: but fds that it handed over are closed on its side */
void fake_down(struct fake *f); /* closes the connections and the listener; devices stay */
void fake_up(struct fake *f);
void fake_drop(struct fake *f);	   /* closes the connections only */
void fake_release(struct fake *f); /* sends what FAKE_LATE held back */
void fake_revoke(struct fake *f,
		 bool tell);	       /* every bond: takes the portal away, hangs up; tell: an event first */
void fake_kill_device(struct fake *f); /* every ctx and bond socket is closed */
void fake_event(struct fake *f, uint32_t kind);		     /* about the newest bond */
void fake_raw(struct fake *f, const void *data, size_t len); /* a packet to every connection */

/* Waits until *what is value: no polling, the thread signals each change. */
void fake_await(struct fake *f, const atomic_uint *what, unsigned value);

#endif
