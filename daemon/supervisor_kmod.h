/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_SUPERVISOR_KMOD_H
#define SVAD_SUPERVISOR_KMOD_H

#define KMOD_DEVICE "/dev/svabroker"

/* A control fd of the kernel module, non-blocking, for a broker to work through; each has a queue of events of its own, empty at first. fd; or
 * -errno and in why (malloc()ed) what is wrong and what to do. */
int kmod_control_open(const char *path, char **ret_why);

#endif
