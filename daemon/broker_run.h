/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_BROKER_RUN_H
#define SVAD_BROKER_RUN_H
/* What broker_main.c calls as the supervisor's messages come in. Loop thread only. */
#include "../proto/status.h"
#include "broker.h"

int broker_init(struct broker *broker, int chan);
void broker_deinit(struct broker *broker);
int broker_configure(struct broker *broker, int fd, uint64_t seq); /* fd lent; the first one must succeed */
void broker_reloaded(struct broker *broker, int error, const char *text);
void broker_listen(struct broker *broker); /* as soon as there are sockets and a backend */
void broker_shutdown(struct broker *broker, uint64_t deadline_ms);
void broker_tell(struct broker *broker, enum chan_type type, uint64_t arg, const char *text, uint32_t len);
void broker_revoke_all(struct broker *broker);
void broker_deadline(uv_timer_t *timer);
void broker_tick(uv_timer_t *timer);

#endif
