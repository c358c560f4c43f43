/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_SIM_SECCOMP_H
#define SVAD_SIM_SECCOMP_H
/* From here on only the system calls that a device made of software needs: exec, ptrace, process_vm_* and sockets other than AF_UNIX end the
 * process, all else that is not on the list is EPERM. 0: on; 1: left off, because a sanitizer or Valgrind needs more; -errno. */
int sim_seccomp_enter(void);

#endif
