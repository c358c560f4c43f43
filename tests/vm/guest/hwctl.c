/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The model's control channel: a virtio-serial port named svad.hw. Lines: a request, and one answer, "ok ..."
 * or "error WORDS". The kernel lets one process open the port, so the runner does, and all inherit it.
 */
#include "vm.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PORT "svad.hw"
#define ANSWER_MS 60000 /* the model's own waits are shorter */

/* In memory that all processes share: whoever is killed in the middle, the next one knows what is
 * outstanding. */
static struct {
	char input[16384];
	size_t have;
	unsigned asked, answered;
} * chan;
static int port = -1;

static int open_by_name(const char *wanted)
{
	DIR *dir = opendir("/sys/class/virtio-ports");
	struct dirent *e;
	int fd = -1;

	while (dir && fd < 0 && (e = readdir(dir)) != NULL) {
		char path[300], name[64] = "";
		size_t len = strlen(wanted);
		FILE *f;

		snprintf(path, sizeof(path), "/sys/class/virtio-ports/%.200s/name", e->d_name);
		f = fopen(path, "re");
		if (!f)
			continue;
		if (fgets(name, sizeof(name), f) && strncmp(name, wanted, len) == 0 && name[len] == '\n') {
			snprintf(path, sizeof(path), "/dev/%.200s", e->d_name);
			fd = open(path, O_RDWR | O_CLOEXEC);
		}
		fclose(f);
	}
	if (dir)
		closedir(dir);
	return fd;
}

int hw_port(const char *name)
{
	char path[100];
	int fd;

	snprintf(path, sizeof(path), "/dev/virtio-ports/%s", name);
	fd = open(path, O_RDWR | O_CLOEXEC);
	return fd < 0 ? open_by_name(name) : fd;
}

void hw_open(void)
{
	chan = mmap(NULL, sizeof(*chan), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	MUST_SYS(chan != MAP_FAILED);
	port = hw_port(PORT);
	if (port < 0)
		FAIL("the model's control channel, a virtio port named %s, cannot be opened: %s", PORT,
		     strerror(errno));
}

/* The next line; false when none came in time. */
static bool line(char *ret, size_t size, int timeout_ms)
{
	uint64_t deadline = deadline_in(timeout_ms);

	for (;;) {
		char *end = memchr(chan->input, '\n', chan->have);
		struct pollfd p = { .fd = port, .events = POLLIN };
		ssize_t n;

		if (end) {
			size_t len = (size_t)(end - chan->input);

			snprintf(ret, size, "%.*s", (int)len, chan->input);
			chan->have -= len + 1;
			memmove(chan->input, end + 1, chan->have);
			chan->answered++;
			return true;
		}
		if (past(deadline) || (poll(&p, 1, ms_left(deadline)) < 0 && errno != EINTR))
			return false;
		if (!(p.revents & POLLIN)) {
			if (p.revents & POLLHUP)
				FAIL("the model of the hardware has ended");
			continue;
		}
		n = read(port, chan->input + chan->have, sizeof(chan->input) - chan->have);
		if (n <= 0)
			FAIL("the model's control channel: %s", n == 0 ? "closed" : strerror(errno));
		chan->have += (size_t)n;
		if (chan->have == sizeof(chan->input))
			FAIL("the model's answer has no end");
	}
}

static bool ask(const char *request, char *answer, size_t size)
{
	char text[600];
	size_t len, done = 0;

	len = (size_t)snprintf(text, sizeof(text), "%s\n", request);
	if (len >= sizeof(text))
		FAIL("a request to the model is too long");
	chan->asked++;
	while (done < len) {
		ssize_t n = write(port, text + done, len - done);

		if (n <= 0)
			FAIL("the model's control channel: %s", strerror(errno));
		done += (size_t)n;
	}
	if (!line(answer, size, ANSWER_MS))
		FAIL("the model gives no answer to \"%s\"", request);
	return strncmp(answer, "ok", 2) == 0 && (answer[2] == ' ' || !answer[2]);
}

static char last[16384];

bool hw_try(const char **ret_answer, const char *fmt, ...)
{
	char request[512];
	va_list ap;
	bool ok;

	va_start(ap, fmt);
	vsnprintf(request, sizeof(request), fmt, ap);
	va_end(ap);
	ok = ask(request, last, sizeof(last));
	if (ret_answer)
		*ret_answer = ok && last[2] ? last + 3 : ok ? "" : last;
	return ok;
}

const char *hw(const char *fmt, ...)
{
	char request[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(request, sizeof(request), fmt, ap);
	va_end(ap);
	if (!ask(request, last, sizeof(last)))
		FAIL("the model, asked \"%s\": %s", request, last);
	return last[2] ? last + 3 : "";
}

uint64_t hw_figure(const char *text, const char *key)
{
	size_t len = strlen(key);

	for (const char *at = text; (at = strstr(at, key)) != NULL; at += len)
		if ((at == text || at[-1] == ' ') && at[len] == '=')
			return strtoull(at + len + 1, NULL, 0);
	FAIL("the model's answer has no %s: %s", key, text);
}

unsigned hw_violations(const char **ret_first)
{
	const char *answer = hw("violations"), *text = strchr(answer, ' ');

	if (ret_first)
		*ret_first = text ? text + 1 : "";
	return (unsigned)strtoul(answer, NULL, 10);
}

/* The answer to the last request of a scenario that was killed: waits have a limit, so it comes. */
void hw_resync(void)
{
	char answer[16384];

	while (chan->answered != chan->asked)
		if (!line(answer, sizeof(answer), ANSWER_MS))
			FAIL("the model's control channel cannot be brought back in step");
}
