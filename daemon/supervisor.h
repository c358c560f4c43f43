/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_SUPERVISOR_H
#define SVAD_SUPERVISOR_H
/*
 * The supervisor: holds the listening sockets, starts broker and device, starts them again when they die,
 * reloads, and sees to an orderly end. One thread, one poll() loop; every wait in it has a deadline. It never
 * reads a byte that a client sent: all it reads is the channel of its own children, and of that it believes
 * only what is within bounds.
 */
#include "config.h"

enum svad_exit {
	SVAD_EXIT_OK = 0,
	SVAD_EXIT_FAILURE = 1, /* could not start, or gave up */
	SVAD_EXIT_USAGE = 2,
	SVAD_EXIT_UNDRAINED = 4, /* something would not drain at the end */
	SVAD_EXIT_CONFIG = 5,	 /* mistakes in the configuration */
};

struct supervisor_args {
	const char *config_path; /* as given, NULL: the default; read again at each reload */
	const char *libexec_dir;
};

/* Takes over config. Blocks until the daemon is to end; the exit status. */
enum svad_exit supervisor_run(const struct supervisor_args *args, struct config *config);

#endif
