/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_TESTS_SUPERVISOR_WORLD_H
#define SVAD_TESTS_SUPERVISOR_WORLD_H
/* A directory of its own, a svad in it with fake children, and what all of them say. Everything that waits
 * gives up in time, failing the test. */
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define NOBODY 65534u

extern struct supervisor_world {
	char dir[64];
	char config[96];
	struct inbox { /* a datagram socket, and what came */
		int fd;
		char *lines[8192];
		size_t n, at;
	} report, notify;
	int log; /* our end of svad's stderr */
	bool log_closed, log_unread;
	pid_t pid;
	char text[65536]; /* what came over log */
	size_t text_len;
	/* how to start it */
	const char *stderr_path;
	const char *libexec;
	int activate[2];
	int n_activate;
	const char *names;
	bool as_nobody;
} W;

void setup(void);
void teardown(void);
const char *in_dir(const char *fmt, ...)
	__attribute__((format(printf, 1, 2))); /* a path; good for the next three calls */
void write_file(const char *path, const char *text);
void configure(const char *extra);     /* writes svad.conf; extra begins in [daemon], in its line 5 */
int bound(const char *path, int type); /* a socket, bound */
int connects(const char *path);	       /* 0, or -errno of connect() */

void start(void);
void start_ready(pid_t *ret_broker, pid_t *ret_device); /* and waits for READY=1 */
void stop(int want);					/* SIGTERM; want: the exit status */
int wait_exit(void);

void expect_log(const char *text);
void forget_log(void);
/* The next report of child (a part of its name) that contains what; those before it are passed over. Lent. */
const char *expect(const char *child, const char *what);
void expect_both(const char *child_a, const char *what_a, const char *child_b,
		 const char *what_b); /* in either order */
const char *expect_notify(const char *what);
pid_t expect_start(const char *child);

#endif
