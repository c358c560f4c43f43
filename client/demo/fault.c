// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The channel to whoever plays the device: the simulated device's fault socket, a packet a message, or in a
 * virtual machine the port of the device's model, a line a message. The words are the same.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "demo.h"

#define PORT_NAME "svad.hw"
#define PORTS "/sys/class/virtio-ports"

static bool open_socket(struct demo *d)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", d->fault);
	d->fault_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (d->fault_fd < 0 || connect(d->fault_fd, (struct sockaddr *)&sun, sizeof(sun)))
		return demo_fail(d, "the fault socket %s: %s", d->fault, strerror(errno));
	return true;
}

/* Without udev nobody has made a link by the port's name. */
static bool find_port(char path[300])
{
	DIR *dir = opendir(PORTS);
	bool found = false;
	struct dirent *e;

	while (dir && !found && (e = readdir(dir))) {
		char name[64] = "";
		FILE *f;

		snprintf(path, 300, PORTS "/%.200s/name", e->d_name);
		f = *e->d_name == '.' ? NULL : fopen(path, "re");
		if (!f)
			continue;
		found = fgets(name, sizeof(name), f) && !strcmp(name, PORT_NAME "\n");
		fclose(f);
		snprintf(path, 300, "/dev/%.200s", e->d_name);
	}
	if (dir)
		closedir(dir);
	return found;
}

static bool open_port(struct demo *d)
{
	char path[300];

	if (d->fault_port)
		snprintf(path, sizeof(path), "%s", d->fault_port);
	else if (!find_port(path))
		return demo_fail(d,
				 "there is no port " PORT_NAME " to the device's model; the demonstration on "
				 "the kernel module is for the virtual machine: ./bootstrap demo --vm");
	d->fault_fd = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY);
	if (d->fault_fd < 0)
		return demo_fail(d, "%s: %s", path, strerror(errno));
	return true;
}

bool demo_fault_open(struct demo *d)
{
	return d->kmod ? open_port(d) && demo_fault(d, NULL, 0, "reset") : open_socket(d);
}

/* One answer, without its end of line. Its length; false: noted. */
static bool hear(struct demo *d, const char *asked, char *buf, size_t size)
{
	size_t have = 0;

	do {
		ssize_t n;

		if (!demo_wait(d, d->fault_fd, DEMO_WAIT_MS, asked))
			return false;
		n = read(d->fault_fd, buf + have, size - 1 - have);
		if (n <= 0)
			return demo_fail(d, "the device, \"%s\": no answer", asked);
		have += (size_t)n;
	} while (d->kmod && buf[have - 1] != '\n' && have < size - 1);
	have -= d->kmod && buf[have - 1] == '\n';
	buf[have] = 0;
	return true;
}

bool demo_fault(struct demo *d, char *answer, size_t size, const char *fmt, ...)
{
	char text[256], buf[4096];
	va_list ap;
	size_t len;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text) - 1, fmt, ap);
	va_end(ap);
	len = strlen(text);
	if (d->kmod)
		text[len++] = '\n';
	if (write(d->fault_fd, text, len) != (ssize_t)len)
		return demo_fail(d, "the device, \"%.*s\": %s", (int)strcspn(text, "\n"), text,
				 strerror(errno));
	text[strcspn(text, "\n")] = 0;
	if (!hear(d, text, buf, sizeof(buf)))
		return false;
	if (strncmp(buf, "ok", 2))
		return demo_fail(d, "the device, \"%s\": %s", text, buf);
	if (answer)
		snprintf(answer, size, "%s", buf);
	return true;
}
