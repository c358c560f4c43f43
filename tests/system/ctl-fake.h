/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_TESTS_CTL_FAKE_H
#define SVAD_TESTS_CTL_FAKE_H
/*
 * A stand-in for svad's administrators' socket, for the tests of svadctl: what a broker may send and what it
 * never should.
 */
#include <stdbool.h>
#include <sys/types.h>

enum fake_mode {
	FAKE_GOOD,
	FAKE_EMPTY,	/* no devices, clients, bonds, counters */
	FAKE_CONTROL,	/* escape sequences in names */
	FAKE_BIDI,	/* text that reorders what stands around it: valid for the wire */
	FAKE_ENDLESS,	/* pages that never advance */
	FAKE_BACKWARDS, /* pages that go back */
	FAKE_WRONG_ID,
	FAKE_WRONG_BODY,
	FAKE_GARBAGE,
	FAKE_FDS,	   /* an fd with each answer */
	FAKE_EOF_HELLO,	   /* closes instead of the Hello */
	FAKE_STRANGER,	   /* refuses who connects, and closes, the Hello unread */
	FAKE_EOF_CALL,	   /* closes instead of the first answer */
	FAKE_EOF_PAGE,	   /* closes in the middle of a list */
	FAKE_SILENT,	   /* never answers but the Hello */
	FAKE_CHATTY,	   /* events without end, no answer */
	FAKE_REFUSE,	   /* a limit */
	FAKE_VERSION,	   /* speaks another protocol version */
	FAKE_STUCK,	   /* devices that do not stop: QUARANTINED */
	FAKE_STUCK_FIXED,  /* the same without a reset */
	FAKE_DEADLINE,	   /* Revoke: DEADLINE_EXCEEDED with counts */
	FAKE_KMOD,	   /* backend = kmod */
	FAKE_KMOD_GONE,	   /* the same, and no device can be used */
	FAKE_EVIL_METRICS, /* label values to be escaped, names to be mended */
};

/* Serves at path until it is killed. The process is the caller's to kill and reap; it is listening when this
 * returns. */
pid_t fake_start(const char *path, enum fake_mode mode);

#define FAKE_BONDS 2500u /* in FAKE_GOOD, over several pages; the last one is quarantined */

#endif
