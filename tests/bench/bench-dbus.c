/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The peers: dbus-broker and dbus-daemon, each with a bus of its own, and a client of theirs that costs as
 * little as ours: messages are built beforehand and sent as they are. sd-bus is used only as dbus-broker's
 * controller, to give it a socket.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "bench.h"

#define ANSWER_MS 10000

/* ---- messages: little-endian, method calls without a body but one string -------------------------- */

struct out {
	unsigned char *p;
	size_t n, size;
};

static void put(struct out *o, const void *data, size_t len)
{
	if (o->n + len > o->size)
		abort();
	memcpy(o->p + o->n, data, len);
	o->n += len;
}

static void align(struct out *o, size_t to)
{
	static const unsigned char zero[8];

	put(o, zero, (to - o->n % to) % to);
}

static void put_u32(struct out *o, uint32_t v)
{
	unsigned char b[4] = { (unsigned char)v, (unsigned char)(v >> 8), (unsigned char)(v >> 16),
			       (unsigned char)(v >> 24) };

	align(o, 4);
	put(o, b, 4);
}

static void put_string(struct out *o, const char *s)
{
	put_u32(o, (uint32_t)strlen(s));
	put(o, s, strlen(s) + 1);
}

static void put_field(struct out *o, unsigned char code, char type, const char *value)
{
	unsigned char head[4] = { code, 1, (unsigned char)type, 0 };

	align(o, 8);
	put(o, head, 4);
	if (type == 'g') {
		unsigned char len = (unsigned char)strlen(value);

		put(o, &len, 1);
		put(o, value, (size_t)len + 1);
	} else {
		put_string(o, value);
	}
}

static size_t call(unsigned char *buf, size_t size, const char *member, const char *arg)
{
	struct out o = { .p = buf, .size = size };
	const unsigned char head[4] = { 'l', 1, 0, 1 };
	uint32_t body = arg ? (uint32_t)(4 + strlen(arg) + 1) : 0, fields;

	put(&o, head, 4);
	put_u32(&o, body);
	put_u32(&o, 1); /* serial */
	put_u32(&o, 0); /* fields, below */
	put_field(&o, 1, 'o', "/org/freedesktop/DBus");
	put_field(&o, 6, 's', "org.freedesktop.DBus");
	put_field(&o, 2, 's', "org.freedesktop.DBus");
	put_field(&o, 3, 's', member);
	if (arg)
		put_field(&o, 8, 'g', "s");
	fields = (uint32_t)o.n - 16;
	for (int i = 0; i < 4; i++)
		buf[12 + i] = (unsigned char)(fields >> (8 * i));
	align(&o, 8);
	if (arg)
		put_string(&o, arg);
	return o.n;
}

size_t bus_request(unsigned char *buf, size_t size)
{
	return call(buf, size, "GetNameOwner", "org.freedesktop.DBus");
}

static uint32_t get_u32(const unsigned char *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

size_t bus_message_length(const unsigned char *buf, size_t n)
{
	if (n < 16)
		return 0;
	return ((16 + (size_t)get_u32(buf + 12) + 7) & ~(size_t)7) + get_u32(buf + 4);
}

/* ---- a client ------------------------------------------------------------------------------------- */

static bool readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, ANSWER_MS) == 1;
}

/* Reads whole messages until one is an answer (2) or an error (3). */
static int await_answer(int fd)
{
	unsigned char buf[4096];
	size_t n = 0;

	for (;;) {
		size_t len = bus_message_length(buf, n);
		ssize_t r;

		if (len && n >= len) {
			unsigned char type = buf[1];

			n -= len;
			memmove(buf, buf + len, n);
			if (type == 2 || type == 3)
				return type == 2 ? (n ? -EAGAIN : 0) : -EPROTO;
			continue;
		}
		if (!readable(fd))
			return -ETIMEDOUT;
		r = recv(fd, buf + n, sizeof(buf) - n, 0);
		if (r <= 0)
			return r ? -errno : -EPIPE;
		n += (size_t)r;
	}
}

int bus_connect(const struct bus *bus)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	char auth[96], uid[16], line[256];
	unsigned char hello[256];
	size_t n;
	ssize_t got;
	int fd, r, len;

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", bus->path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		r = -errno;
		goto fail;
	}
	len = snprintf(auth, sizeof(auth), "%cAUTH EXTERNAL ", '\0');
	snprintf(uid, sizeof(uid), "%u", (unsigned)getuid());
	for (const char *c = uid; *c; c++)
		len += snprintf(auth + len, sizeof(auth) - (size_t)len, "%02x", (unsigned)*c);
	len += snprintf(auth + len, sizeof(auth) - (size_t)len, "\r\n");
	r = -EPIPE;
	if (send(fd, auth, (size_t)len, MSG_NOSIGNAL) != len || !readable(fd))
		goto fail;
	got = recv(fd, line, sizeof(line) - 1, 0);
	r = -EACCES;
	if (got <= 0 || strncmp(line, "OK ", 3) != 0)
		goto fail;
	n = 7;
	memcpy(hello, "BEGIN\r\n", 7);
	n += call(hello + 7, sizeof(hello) - 7, "Hello", NULL);
	r = -EPIPE;
	if (send(fd, hello, n, MSG_NOSIGNAL) != (ssize_t)n)
		goto fail;
	r = await_answer(fd);
	if (r == -EAGAIN)
		return fd; /* NameAcquired came with it */
	if (r < 0)
		goto fail;
	/* NameAcquired follows the answer */
	r = -EPIPE;
	if (!readable(fd) || recv(fd, line, sizeof(line), 0) <= 0)
		goto fail;
	return fd;
fail:
	if (fd >= 0)
		close(fd);
	return r;
}

/* ---- the buses ------------------------------------------------------------------------------------ */

static bool bus_dir(struct bus *bus, char *why, size_t size)
{
	memset(bus, 0, sizeof(*bus));
	snprintf(bus->dir, sizeof(bus->dir), "/tmp/svad-bench.XXXXXX");
	if (!mkdtemp(bus->dir)) {
		snprintf(why, size, "mkdtemp: %s", strerror(errno));
		*bus->dir = '\0';
		return false;
	}
	snprintf(bus->path, sizeof(bus->path), "%s/bus", bus->dir);
	return true;
}

/* Allow everything: connecting, owning, sending, receiving. As dbus-broker's controller interface defines a
 * policy. */
#define BATCH "bta(btbs)a(btssssuutt)a(btssssuutt)"

static int add_listener(sd_bus *bus, int fd)
{
	sd_bus_message *m = NULL;
	sd_bus_error error = SD_BUS_ERROR_NULL;
	int r = sd_bus_message_new_method_call(bus, &m, NULL, "/org/bus1/DBus/Broker", "org.bus1.DBus.Broker",
					       "AddListener");

	if (r >= 0)
		r = sd_bus_message_append(m, "oh", "/org/bus1/DBus/Listener/0", fd);
	if (r >= 0)
		r = sd_bus_message_append(m, "v", "(a(u(" BATCH "))a(buu(" BATCH "))a(ss)bs)", 1, UINT32_MAX,
					  true, (uint64_t)1, 1, true, (uint64_t)1, true, "", 1, true,
					  (uint64_t)1, "", "", "", "", 0u, 0u, (uint64_t)0, UINT64_MAX, 1,
					  true, (uint64_t)1, "", "", "", "", 0u, 0u, (uint64_t)0, UINT64_MAX,
					  0, 0, false, "session");
	if (r >= 0)
		r = sd_bus_call(bus, m, (uint64_t)ANSWER_MS * 1000, &error, NULL);
	if (r < 0 && error.message)
		fprintf(stderr, "dbus-broker: %s\n", error.message);
	sd_bus_error_free(&error);
	sd_bus_message_unref(m);
	return r;
}

bool bus_start_broker(struct bus *bus, char *why, size_t size)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int listener, pair[2], r;
	sd_bus *controller = NULL;

	if (!bus_dir(bus, why, size))
		return false;
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", bus->path);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (listener < 0 || bind(listener, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    listen(listener, SOMAXCONN) < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0) {
		snprintf(why, size, "%s: %s", bus->path, strerror(errno));
		return false;
	}
	fflush(NULL);
	bus->pid = fork();
	if (bus->pid == 0) {
		char fd[16];

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		snprintf(fd, sizeof(fd), "%d", dup(pair[1]));
		execlp("dbus-broker", "dbus-broker", "--controller", fd, "--machine-id",
		       "0123456789abcdef0123456789abcdef", "--max-matches", "1000000", "--max-objects",
		       "1000000", "--max-bytes", "1000000000", "--max-fds", "1000000", (char *)NULL);
		_exit(127);
	}
	close(pair[1]);
	r = sd_bus_new(&controller);
	if (r >= 0)
		r = sd_bus_set_fd(controller, pair[0], pair[0]);
	if (r >= 0)
		r = sd_bus_start(controller);
	if (r >= 0)
		r = add_listener(controller, listener);
	close(listener);
	bus->controller = controller;
	if (r < 0)
		snprintf(why, size, "dbus-broker did not take its socket: %s", strerror(-r));
	return r >= 0;
}

bool bus_start_daemon(struct bus *bus, char *why, size_t size)
{
	char config[128], arg[160], address[16];
	int ready[2];
	FILE *f;

	if (!bus_dir(bus, why, size))
		return false;
	snprintf(config, sizeof(config), "%s/bus.conf", bus->dir);
	f = fopen(config, "we");
	if (!f || pipe2(ready, O_CLOEXEC) < 0) {
		snprintf(why, size, "%s: %s", config, strerror(errno));
		return false;
	}
	fprintf(f,
		"<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\" "
		"\"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n"
		"<busconfig><auth>EXTERNAL</auth><listen>unix:path=%s</listen>\n"
		"<policy context=\"default\"><allow user=\"*\"/><allow own=\"*\"/><allow "
		"send_destination=\"*\"/>"
		"<allow receive_sender=\"*\"/></policy>\n"
		"<limit name=\"max_completed_connections\">100000</limit><limit "
		"name=\"max_incomplete_connections\">100000</limit>"
		"<limit name=\"max_connections_per_user\">100000</limit></busconfig>\n",
		bus->path);
	fclose(f);
	fflush(NULL);
	bus->pid = fork();
	if (bus->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

		dup2(null, STDERR_FILENO); /* it complains of fd limits that it does not need */
		snprintf(address, sizeof(address), "%d", dup(ready[1]));
		snprintf(arg, sizeof(arg), "--config-file=%s", config);
		execlp("dbus-daemon", "dbus-daemon", arg, "--nofork", "--nopidfile", "--print-address",
		       address, (char *)NULL);
		_exit(127);
	}
	close(ready[1]);
	if (!readable(ready[0]) || read(ready[0], arg, sizeof(arg)) <= 0) {
		snprintf(why, size, "dbus-daemon did not start");
		close(ready[0]);
		return false;
	}
	close(ready[0]);
	return true;
}

void bus_stop(struct bus *bus)
{
	char config[128];

	if (bus->controller)
		sd_bus_flush_close_unref(bus->controller);
	end_process(bus->pid);
	if (*bus->dir) {
		snprintf(config, sizeof(config), "%s/bus.conf", bus->dir);
		unlink(config);
		unlink(bus->path);
		rmdir(bus->dir);
	}
	memset(bus, 0, sizeof(*bus));
}
