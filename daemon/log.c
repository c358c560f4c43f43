/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A record's way: log_fields() formats it into one flat payload, and either the payload goes to the
 * supervisor (CHAN_LOG) or emit() writes it here. The supervisor's log_relayed() hands a child's payload to
 * the same emit().
 *
 * Payload: the level as one digit, then strings, each ended by NUL: message id ("" for none), message, the
 * fields "KEY=value".
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include "channel.h"
#include "log.h"

#define PAYLOAD_MAX 8192u
#define LINE_MAX_BYTES 4096u /* PIPE_BUF: POLLOUT promises that much room in a pipe */
#define FIELDS_MAX 16u

static struct {
	pthread_mutex_t lock; /* guards all of it, and keeps lines whole */
	char identifier[32];
	int level;
	int relay;
	bool journal;
	uint64_t lost;	   /* in all */
	uint64_t unspoken; /* lost since the last record that could be written */
} L = { .lock = PTHREAD_MUTEX_INITIALIZER, .identifier = "svad", .level = LOG_INFO, .relay = -1 };

struct record {
	const char *identifier;
	int pid; /* 0: our own */
	int level;
	const char *payload; /* from the message id on; ends with NUL */
	size_t len;
};

static const char *level_name(int level)
{
	static const char *const names[] = { "emerg",	"alert",  "crit", "error",
					     "warning", "notice", "info", "debug" };

	return level >= 0 && level <= LOG_DEBUG ? names[level] : "info";
}

/* $JOURNAL_STREAM is "dev:inode" of the socket that systemd connected to stderr; anything else means that
 * stderr was redirected. */
static bool stderr_is_journal(void)
{
	const char *env = getenv("JOURNAL_STREAM");
	uintmax_t dev, ino;
	struct stat st;

	if (!env || sscanf(env, "%" SCNuMAX ":%" SCNuMAX, &dev, &ino) != 2 || fstat(STDERR_FILENO, &st) < 0)
		return false;
	return (uintmax_t)st.st_dev == dev && (uintmax_t)st.st_ino == ino;
}

void log_init(const char *identifier, int max_level)
{
	pthread_mutex_lock(&L.lock);
	snprintf(L.identifier, sizeof(L.identifier), "%s", identifier);
	L.level = max_level;
	L.journal = stderr_is_journal();
	pthread_mutex_unlock(&L.lock);
}

void log_set_level(int max_level)
{
	pthread_mutex_lock(&L.lock);
	L.level = max_level;
	pthread_mutex_unlock(&L.lock);
}

void log_relay_to(int channel_fd)
{
	pthread_mutex_lock(&L.lock);
	L.relay = channel_fd;
	pthread_mutex_unlock(&L.lock);
}

uint64_t log_lost(void)
{
	uint64_t lost;

	pthread_mutex_lock(&L.lock);
	lost = L.lost;
	pthread_mutex_unlock(&L.lock);
	return lost;
}

/* Some of what is logged was chosen by strangers: it must neither move a cursor nor begin a line of its own.
 */
static void scrub(char *s)
{
	for (; *s; s++) {
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			*s = '?';
	}
}

/* The string after s in the payload; NULL: none. */
static const char *next_string(const struct record *rec, const char *s)
{
	s += strlen(s) + 1;
	return s < rec->payload + rec->len ? s : NULL;
}

static int write_stderr(const char *line, size_t len)
{
	struct pollfd pfd = { .fd = STDERR_FILENO, .events = POLLOUT };
	ssize_t n;

	/* Nobody who reads slowly, or not at all, may hold us up. */
	if (poll(&pfd, 1, 0) < 0)
		return -errno;
	if (!(pfd.revents & POLLOUT))
		return -EAGAIN;
	do {
		n = send(STDERR_FILENO, line, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == ENOTSOCK)
			n = write(STDERR_FILENO, line, len);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

static int emit_stderr(const struct record *rec)
{
	const char *message = next_string(rec, rec->payload);
	char line[LINE_MAX_BYTES];
	int n;

	n = snprintf(line, sizeof(line), "%s: <%s> %s", rec->identifier, level_name(rec->level),
		     message ? message : "");
	if (n < 0)
		return -EINVAL;
	if ((size_t)n > sizeof(line) - 2)
		n = (int)sizeof(line) - 2;
	line[n] = '\0';
	scrub(line);
	line[n++] = '\n';
	return write_stderr(line, (size_t)n);
}

/* journald's rule for names, and none of those that we set: a child may not speak in the supervisor's name.
 */
static bool field_ok(const char *field)
{
	static const char *const ours[] = { "MESSAGE=", "MESSAGE_ID=", "PRIORITY=", "SYSLOG_",
					    "SVAD_CHILD_PID=" };
	size_t n = strcspn(field, "=");

	if (n == 0 || n > 64 || field[n] != '=' || !(field[0] >= 'A' && field[0] <= 'Z'))
		return false;
	if (strspn(field, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != n)
		return false;
	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
		if (strncmp(field, ours[i], strlen(ours[i])) == 0)
			return false;
	}
	return true;
}

static bool msg_id_ok(const char *id)
{
	return strlen(id) == 32 && strspn(id, "0123456789abcdef") == 32;
}

static int emit_journal(const struct record *rec)
{
	char message[PAYLOAD_MAX], priority[16], identifier[64], msg_id[64], pid[32];
	struct iovec iov[FIELDS_MAX + 5];
	const char *text = next_string(rec, rec->payload);
	int n = 0;

	snprintf(message, sizeof(message), "MESSAGE=%s", text ? text : "");
	scrub(message);
	snprintf(priority, sizeof(priority), "PRIORITY=%d", rec->level);
	snprintf(identifier, sizeof(identifier), "SYSLOG_IDENTIFIER=%s", rec->identifier);
	iov[n++] = (struct iovec){ message, strlen(message) };
	iov[n++] = (struct iovec){ priority, strlen(priority) };
	iov[n++] = (struct iovec){ identifier, strlen(identifier) };
	if (msg_id_ok(rec->payload)) {
		snprintf(msg_id, sizeof(msg_id), "MESSAGE_ID=%s", rec->payload);
		iov[n++] = (struct iovec){ msg_id, strlen(msg_id) };
	}
	if (rec->pid) {
		snprintf(pid, sizeof(pid), "SVAD_CHILD_PID=%d", rec->pid);
		iov[n++] = (struct iovec){ pid, strlen(pid) };
	}
	for (const char *f = text ? next_string(rec, text) : NULL; f && n < (int)FIELDS_MAX + 5;
	     f = next_string(rec, f)) {
		if (field_ok(f))
			iov[n++] = (struct iovec){ (void *)(uintptr_t)f, strlen(f) };
	}
	return sd_journal_sendv(iov, n);
}

static int relay(const struct record *rec)
{
	char payload[PAYLOAD_MAX + 1];

	payload[0] = (char)('0' + rec->level);
	memcpy(payload + 1, rec->payload, rec->len);
	return chan_send(L.relay, CHAN_LOG, (uint64_t)rec->level, payload, (uint32_t)rec->len + 1, NULL, 0);
}

/* L.lock held. */
static int put(const struct record *rec)
{
	int r;

	if (L.relay >= 0)
		return relay(rec);
	if (L.journal) {
		r = emit_journal(rec);
		if (r >= 0)
			return 0;
		/* journald is restarting or its disk is full: stderr is its stream too, but may still be
		 * read. */
	}
	return emit_stderr(rec);
}

/* L.lock held. */
static void emit(const struct record *rec)
{
	if (L.unspoken > 0) {
		char text[96];
		int n = snprintf(text, sizeof(text),
				 "%c%" PRIu64 " log records could not be written and are lost", 0,
				 L.unspoken);
		struct record lost = {
			.identifier = L.identifier,
			.level = LOG_WARNING,
			.payload = text,
			.len = (size_t)n + 1,
		};

		if (put(&lost) == 0)
			L.unspoken = 0;
	}
	if (put(rec) < 0) {
		L.lost++;
		L.unspoken++;
	}
}

static size_t append(char *payload, size_t at, const char *s)
{
	size_t n = strlen(s);

	if (at >= PAYLOAD_MAX)
		return at;
	if (n > PAYLOAD_MAX - at - 1)
		n = PAYLOAD_MAX - at - 1;
	memcpy(payload + at, s, n);
	payload[at + n] = '\0';
	return at + n + 1;
}

static void log_v(int level, const char *msg_id, const char *const fields[], const char *fmt, va_list ap)
	__attribute__((format(printf, 4, 0)));
static void log_v(int level, const char *msg_id, const char *const fields[], const char *fmt, va_list ap)
{
	char payload[PAYLOAD_MAX], message[LINE_MAX_BYTES];
	int saved = errno; /* a log line between a failure and its errno is harmless */
	struct record rec;
	size_t len;

	pthread_mutex_lock(&L.lock);
	if (level > L.level) {
		pthread_mutex_unlock(&L.lock);
		return;
	}
	if (vsnprintf(message, sizeof(message), fmt, ap) < 0)
		message[0] = '\0';
	len = append(payload, 0, msg_id ? msg_id : "");
	len = append(payload, len, message);
	for (size_t i = 0; fields && fields[i] && i < FIELDS_MAX; i++)
		len = append(payload, len, fields[i]);
	rec = (struct record){ .identifier = L.identifier, .level = level, .payload = payload, .len = len };
	emit(&rec);
	pthread_mutex_unlock(&L.lock);
	errno = saved;
}

void log_write(int level, const char *msg_id, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_v(level, msg_id, NULL, fmt, ap);
	va_end(ap);
}

void log_fields(int level, const char *msg_id, const char *const fields[], const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_v(level, msg_id, fields, fmt, ap);
	va_end(ap);
}

void log_relayed(const char *identifier, int pid, const void *payload, uint32_t len)
{
	const char *p = payload;
	struct record rec = { .identifier = identifier, .pid = pid, .level = LOG_NOTICE };

	/* Made by a less privileged process: nothing in it is believed beyond its own bounds. */
	if (len < 2 || p[len - 1] != '\0')
		return;
	if (p[0] >= '0' && p[0] <= '7')
		rec.level = p[0] - '0';
	rec.payload = p + 1;
	rec.len = len - 1;
	pthread_mutex_lock(&L.lock);
	if (rec.level <= L.level)
		emit(&rec);
	pthread_mutex_unlock(&L.lock);
}
