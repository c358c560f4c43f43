/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_SIM_FAULT_H
#define SVAD_SIM_FAULT_H
/*
 * Fault injection: a SOCK_SEQPACKET socket, there only when [sim] fault_socket names one. One command in words a packet, one answer a packet:
 * "ok ..." or "error ...". See fault_help() for the commands. Loop only.
 */
int sim_fault_init(const char *path); /* "" or NULL: none. 0 or -errno, logged */
void sim_fault_deinit(void);

#endif
