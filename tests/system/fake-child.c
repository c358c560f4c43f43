/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Plays svad-broker or svad-simdev (by the name it is started as) towards the supervisor, and tells the test
 * what happens to it: one datagram a line to the socket $SVAD_FAKE_REPORT, such as "svad-broker 1234 config
 * 1".
 *
 * $SVAD_FAKE_BROKER and $SVAD_FAKE_SIMDEV hold words that make it behave in other ways:
 *   die         exits with status 3 at once, never ready
 *   unready     never says that it is ready
 *   refuse      refuses settings with log_level = debug
 *   deaf        does not acknowledge settings
 *   undrained   two bonds would not drain
 *   stubborn    does not react to CHAN_SHUTDOWN at all
 *   rude        talks nonsense: malformed and unknown messages, fds, a status with a newline
 * SIGUSR1: asks for a reload. SIGUSR2: stops pinging.
 */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "channel.h"
#include "config.h"
#include "log.h"

static const char *self;
static const char *behaviour = "";
static int report_fd = -1;

static void report(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void report(const char *fmt, ...)
{
	char line[4096];
	va_list ap;
	int n;

	n = snprintf(line, sizeof(line), "%s %d ", self, getpid());
	va_start(ap, fmt);
	n += vsnprintf(line + n, sizeof(line) - (size_t)n, fmt, ap);
	va_end(ap);
	if (report_fd >= 0 && send(report_fd, line, (size_t)n, 0) < 0)
		perror("fake-child: report");
}

static int connect_report(void)
{
	const char *path = getenv("SVAD_FAKE_REPORT");
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	if (!path || strlen(path) >= sizeof(sa.sun_path))
		return -EINVAL;
	memcpy(sa.sun_path, path, strlen(path) + 1);
	report_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return connect(report_fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ? -errno : 0;
}

static bool does(const char *word)
{
	return strstr(behaviour, word) != NULL;
}

/* What it was given: its fds (but for those it made itself), ids, and what is left of privilege. */
static void report_inheritance(void)
{
	char fds[256] = "", line[256], caps[256] = "";
	DIR *d = opendir("/proc/self/fd");
	FILE *f = fopen("/proc/self/status", "re");
	size_t at = 0;

	for (struct dirent *e; d && (e = readdir(d));) {
		int fd = atoi(e->d_name);

		if (e->d_name[0] != '.' && fd != dirfd(d) && fd != report_fd && (!f || fd != fileno(f)))
			at += (size_t)snprintf(fds + at, sizeof(fds) - at, " %d", fd);
	}
	if (d)
		closedir(d);
	for (at = 0; f && fgets(line, sizeof(line), f);) {
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, "NoNewPrivs:", 11) == 0 || strncmp(line, "CapEff:", 7) == 0 ||
		    strncmp(line, "CapBnd:", 7) == 0 || strncmp(line, "Groups:", 7) == 0 ||
		    strncmp(line, "SigBlk:", 7) == 0 || strncmp(line, "SigIgn:", 7) == 0) {
			for (char *s = line; *s; s++)
				*s = *s == '\t' ? ' ' : *s;
			at += (size_t)snprintf(caps + at, sizeof(caps) - at, " %s", line);
		}
	}
	if (f)
		fclose(f);
	report("start uid %d gid %d fds%s%s%s", getuid(), getgid(), fds, caps,
	       getenv("NOTIFY_SOCKET") ? " NOTIFY_SOCKET" : "");
}

static void got_config(uint64_t seq, int fd)
{
	struct config_errors errors = { 0 };
	struct config *c = NULL;
	struct stat st;
	char *text;
	int r = -EIO;

	if (fstat(fd, &st) < 0)
		return;
	text = calloc(1, (size_t)st.st_size + 1);
	if (text && pread(fd, text, (size_t)st.st_size, 0) == st.st_size)
		r = config_from_text(text, (size_t)st.st_size, &c, &errors);
	free(text);
	if (r < 0) {
		report("config-error %s", errors.n ? errors.lines[0] : strerror(-r));
		config_errors_clear(&errors);
		return;
	}
	report("config %ju level %d bonds %u writable %d", (uintmax_t)seq, c->log_level, c->bonds_per_client,
	       write(fd, "x", 1) == 1);
	if (does("deaf"))
		;
	else if (does("refuse") && c->log_level == LOG_DEBUG)
		chan_send(CHAN_FD, CHAN_CONFIG_ACK, seq << 32 | EINVAL, "no debugging here", 17, NULL, 0);
	else
		chan_send(CHAN_FD, CHAN_CONFIG_ACK, seq << 32, NULL, 0, NULL, 0);
	config_free(c);
}

static void be_rude(void)
{
	int fd = STDIN_FILENO;

	if (send(CHAN_FD, "x", 1, MSG_NOSIGNAL) < 0)
		perror("fake-child: send");
	chan_send(CHAN_FD, (enum chan_type)999, 0, "?", 1, &fd, 1);
	chan_send(CHAN_FD, CHAN_LOG, 0, "9\xff\xff", 3, NULL, 0);
	chan_send(CHAN_FD, CHAN_LOG, 0, NULL, 0, NULL, 0);
	chan_send(CHAN_FD, CHAN_STATUS, 0, "rude\nMAINPID=1", 14, NULL, 0);
	chan_send(CHAN_FD, CHAN_CONFIG_ACK, (uint64_t)77 << 32 | EINVAL, NULL, 0, NULL, 0);
	chan_send(CHAN_FD, CHAN_DONE, 5, NULL, 0, NULL, 0);
}

/* False: time to go. */
static bool got_message(void)
{
	static char buf[CHAN_MAX + 1];
	int fds[CHAN_MAX_FDS];
	struct chan_hdr hdr;
	ssize_t len = chan_recv(CHAN_FD, &hdr, buf, fds);
	unsigned n = 0;

	if (len == -EAGAIN)
		return true;
	if (len < 0) {
		report("eof");
		return false;
	}
	buf[len] = '\0';
	while (n < CHAN_MAX_FDS && fds[n] >= 0)
		n++;
	switch (hdr.type) {
	case CHAN_CONFIG:
		if (n == 1)
			got_config(hdr.arg, fds[0]);
		break;
	case CHAN_INFO:
		report("info restarts %u uid %u", ((struct chan_info *)(void *)buf)->broker_restarts,
		       ((struct chan_info *)(void *)buf)->daemon_uid);
		break;
	case CHAN_LISTEN:
		report("listen fds %u", n);
		break;
	case CHAN_BACKEND:
		report("backend %ju fds %u", (uintmax_t)hdr.arg, n);
		break;
	case CHAN_RELOAD_RESULT:
		report("reload-result %ju %s", (uintmax_t)hdr.arg, buf);
		break;
	case CHAN_SHUTDOWN:
		report("shutdown %ju", (uintmax_t)hdr.arg);
		if (does("stubborn"))
			break;
		if (strcmp(self, "svad-broker") == 0) {
			const char *text = does("undrained") ? "bond 7 on sim0\nbond 9 on sim1\n" : "";

			chan_send(CHAN_FD, CHAN_DONE, does("undrained") ? 2 : 0, text, (uint32_t)strlen(text),
				  NULL, 0);
		}
		return false;
	default:
		report("unknown %u", hdr.type);
	}
	for (unsigned i = 0; i < n; i++)
		close(fds[i]);
	return true;
}

int main(int argc, char **argv)
{
	bool pinging = true, ready = false;
	struct pollfd pfd[2];
	sigset_t mask;

	(void)argc;
	self = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
	behaviour = getenv(strcmp(self, "svad-broker") == 0 ? "SVAD_FAKE_BROKER" : "SVAD_FAKE_SIMDEV");
	if (!behaviour)
		behaviour = "";
	if (connect_report() < 0)
		return 2;
	report_inheritance();
	if (does("die"))
		return 3;
	log_init(self, LOG_DEBUG);
	log_relay_to(CHAN_FD);

	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR1);
	sigaddset(&mask, SIGUSR2);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	pfd[0] = (struct pollfd){ .fd = CHAN_FD, .events = POLLIN };
	pfd[1] = (struct pollfd){ .fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK), .events = POLLIN };
	for (;;) {
		if (!ready && !does("unready")) {
			if (does("rude"))
				be_rude();
			log_info("fake %s says hello", self);
			chan_send(CHAN_FD, CHAN_READY, 0, NULL, 0, NULL, 0);
			ready = true;
		}
		if (pinging)
			chan_send(CHAN_FD, CHAN_PING, 0, NULL, 0, NULL, 0);
		if (poll(pfd, 2, 500) < 0 && errno != EINTR)
			return 1;
		if (pfd[0].revents && !got_message())
			return 0;
		if (pfd[1].revents) {
			struct signalfd_siginfo info;

			if (read(pfd[1].fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
				continue;
			if (info.ssi_signo == SIGUSR1)
				chan_send(CHAN_FD, CHAN_RELOAD, 0, NULL, 0, NULL, 0);
			else
				pinging = false;
		}
	}
}
