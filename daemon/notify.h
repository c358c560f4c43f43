/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_NOTIFY_H
#define SVAD_NOTIFY_H
/* What the service manager is told ($NOTIFY_SOCKET); nothing at all when there is none. Supervisor's loop
 * only. */
#include <stdint.h>

void notify_ready(void);
void notify_reloading(void); /* a notify_ready() follows, whether the reload succeeded or not */
void notify_stopping(void);
void notify_status(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* one line, for people */
void notify_watchdog(void);

/* The manager's watchdog interval in ns, 0: there is none. Read once, before the environment is tidied. */
uint64_t notify_watchdog_interval(void);

#endif
