/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_LACKS_H
#define SVAD_LACKS_H
/* For tests: a kernel that lacks what newer ones have. $SVAD_TEST_LACKS names what is not to be used, and so can only take away:
 *   netns-cookie  SO_NETNS_COOKIE (Linux 5.14)
 *   peerpidfd     SO_PEERPIDFD (6.5)
 *   pidfd-netns   PIDFD_GET_NET_NAMESPACE (6.11)
 *   pidfd-info    PIDFD_GET_INFO (6.13)
 *   netns-id      NS_GET_ID (6.18)
 *   ptrace        CAP_SYS_PTRACE: the supervisor may not look at other processes' namespaces
 *   supervisor    the supervisor's answers to questions about network namespaces */
#include <stdbool.h>

bool kernel_lacks(const char *what);

#endif
