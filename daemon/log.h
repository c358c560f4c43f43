/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_LOG_H
#define SVAD_LOG_H
/*
 * Logging. Nothing per request in normal running. The supervisor and tools write straight to the journal (when stderr is the journal:
 * $JOURNAL_STREAM) or to stderr; the broker and simdev hand each record to the supervisor over their channel (log_relay_to), because their
 * loops must not block on a disk or on journald. A record that cannot be written is dropped and counted, and the next one that
 * can says how many were lost. Thread-safe.
 */
#include <stdint.h>
#include <syslog.h>

/* Stable MESSAGE_IDs; packaging/svad.catalog explains each to the person who reads it. */
#define SVAD_MSG_STARTED "e5b2f7c8d1a94c0fb7d1c46b0f6f2a01"
#define SVAD_MSG_STOPPED "e5b2f7c8d1a94c0fb7d1c46b0f6f2a02"
#define SVAD_MSG_BROKER_DIED "e5b2f7c8d1a94c0fb7d1c46b0f6f2a03"
#define SVAD_MSG_DEVICE_DIED "e5b2f7c8d1a94c0fb7d1c46b0f6f2a04"
#define SVAD_MSG_QUARANTINED "e5b2f7c8d1a94c0fb7d1c46b0f6f2a05"
#define SVAD_MSG_RELEASED "e5b2f7c8d1a94c0fb7d1c46b0f6f2a06" /* a quarantine ended */
#define SVAD_MSG_CLIENT_MISBEHAVED "e5b2f7c8d1a94c0fb7d1c46b0f6f2a07"
#define SVAD_MSG_LIMIT "e5b2f7c8d1a94c0fb7d1c46b0f6f2a08"
#define SVAD_MSG_RELOADED "e5b2f7c8d1a94c0fb7d1c46b0f6f2a09"
#define SVAD_MSG_RELOAD_REFUSED "e5b2f7c8d1a94c0fb7d1c46b0f6f2a0a"
#define SVAD_MSG_UNDRAINED "e5b2f7c8d1a94c0fb7d1c46b0f6f2a0b"
#define SVAD_MSG_VIOLATION "e5b2f7c8d1a94c0fb7d1c46b0f6f2a0c"
#define SVAD_MSG_CONTAINER_REMOVED "e5b2f7c8d1a94c0fb7d1c46b0f6f2a0e"
#define SVAD_MSG_STORE "e5b2f7c8d1a94c0fb7d1c46b0f6f2a0f" /* the registry of containers cannot be stored, or was damaged */
#define SVAD_MSG_NETNS "e5b2f7c8d1a94c0fb7d1c46b0f6f2a10" /* a process and its socket are of different network namespaces */
#define SVAD_MSG_ACCEPT "e5b2f7c8d1a94c0fb7d1c46b0f6f2a0d" /* out of fds or memory while accepting */

void log_init(const char *identifier, int max_level); /* "svad", "svad-broker", ...; picks journal or stderr */
void log_set_level(int max_level);
void log_relay_to(int channel_fd); /* from now on: records go to the supervisor as CHAN_LOG; -1: straight again */

/* One record. msg_id: SVAD_MSG_* or NULL. fields: "KEY=value" strings, NULL-terminated list after fmt's arguments are NOT supported: pass
 * them with log_fields(). */
void log_write(int level, const char *msg_id, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* The same with journal fields. fields: array of "KEY=value", NULL-terminated, may be NULL. */
void log_fields(int level, const char *msg_id, const char *const fields[], const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* For the supervisor: writes a record that a child relayed. */
void log_relayed(const char *identifier, int pid, const void *payload, uint32_t len);
uint64_t log_lost(void);

#define log_err(...) log_write(LOG_ERR, NULL, __VA_ARGS__)
#define log_warning(...) log_write(LOG_WARNING, NULL, __VA_ARGS__)
#define log_notice(...) log_write(LOG_NOTICE, NULL, __VA_ARGS__)
#define log_info(...) log_write(LOG_INFO, NULL, __VA_ARGS__)
#define log_debug(...) log_write(LOG_DEBUG, NULL, __VA_ARGS__)

#endif
