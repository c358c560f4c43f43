/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_SANDBOX_H
#define SVAD_SANDBOX_H
/*
 * From here on only the system calls on a list: exec, ptrace, process_vm_*, setns, mount and the like and sockets other than AF_UNIX end the
 * process, all else that is not listed is EPERM. 0: on; 1: left off, because a sanitizer or Valgrind needs more; -errno.
 */
#define SANDBOX_END (-2147483647)
/* What each may do beyond what both may; SANDBOX_END ends the list. */
extern const int sandbox_broker[];
extern const int sandbox_simdev[];
int sandbox_enter(const int *allowed);

#endif
