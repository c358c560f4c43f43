/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the broker asks about network namespaces, and is not privileged to look at itself. In which one a
 * process is: answered at once, it takes microseconds. Which ones are dead: all of /proc is read for that,
 * and paths that others have named, so a process of its own looks, as for vfio devices; one at a time.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lacks.h"
#include "log.h"
#include "netns.h"
#include "supervisor_private.h"

#define SCAN_DEADLINE_NS (20 * NS_PER_S)
#define PIPE_BYTES 65536 /* a result fits in at once, where that is permitted */

void netns_identify(struct supervisor *s, uint64_t number, int pidfd, const void *payload, size_t len)
{
	struct chan_netns answer = { .error = EINVAL };
	struct netns_id id = { 0 };
	int32_t pid;

	if (kernel_lacks("supervisor"))
		return;
	if (pidfd >= 0 && len == sizeof(pid)) {
		memcpy(&pid, payload, sizeof(pid));
		answer.error = -netns_of(pidfd, pid, &id);
		answer.dev = id.dev;
		answer.inode = id.inode;
		answer.cookie = id.cookie;
	}
	child_send(&s->child[CHILD_BROKER], CHAN_IDENTIFIED, number, &answer, sizeof(answer), NULL, 0);
}

/* ---- in the process that looks ---- */

/* From bytes that the broker has written, and that nobody can change any more. */
static int read_list(int fd, struct netns_entry **ret, uint64_t **ret_ids, size_t *ret_n)
{
	struct netns_entry *entries = NULL;
	uint64_t *ids = NULL;
	size_t n = 0, size, at;
	struct stat st;
	char *bytes;

	if (fcntl(fd, F_GET_SEALS) < 0 || !(fcntl(fd, F_GET_SEALS) & F_SEAL_WRITE) || fstat(fd, &st) < 0 ||
	    st.st_size <= 0 || st.st_size > (off_t)CHAN_SCAN_MAX)
		return -EBADMSG;
	size = (size_t)st.st_size;
	bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (bytes == MAP_FAILED)
		return -errno;
	for (at = 0; size - at >= sizeof(struct chan_scan); n++) {
		struct chan_scan e;
		char *path = NULL;

		if (!(n & (n - 1))) {
			size_t room = n ? n * 2 : 1;

			entries = reallocarray(entries, room, sizeof(*entries));
			ids = reallocarray(ids, room, sizeof(*ids));
			if (!entries || !ids)
				return -ENOMEM;
		}
		memcpy(&e, bytes + at, sizeof(e));
		at += sizeof(e);
		if (e.path_len > CHAN_SCAN_PATH_MAX || e.path_len > size - at)
			return -EBADMSG;
		if (e.path_len && !(path = strndup(bytes + at, e.path_len)))
			return -ENOMEM;
		at += (e.path_len + 7u) & ~7u;
		if (at > size)
			return -EBADMSG;
		ids[n] = e.id;
		entries[n] = (struct netns_entry){
			.id = { e.dev, e.inode, e.cookie },
			.path = path,
			.pid = e.pid,
		};
	}
	*ret = entries;
	*ret_ids = ids;
	*ret_n = n;
	return 0; /* nothing is given back: the process ends when it has looked */
}

/* All of our fds are CLOEXEC, but there is no exec here: the listening sockets and channels are shut by hand,
 * or a svad that ends while we look would leave them open. */
static _Noreturn void look(int list, int out)
{
	struct chan_scanned *result = calloc(1, CHAN_MAX);
	struct netns_entry *entries = NULL;
	uint64_t *ids = NULL;
	size_t n = 0, size, at;
	sigset_t none;
	ssize_t w;
	int r;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, "svad-netns");
	signal(SIGINT, SIG_DFL);
	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	list = fcntl(list, F_DUPFD_CLOEXEC, CHAN_FD + 2);
	out = fcntl(out, F_DUPFD_CLOEXEC, CHAN_FD + 2);
	if (!result || list < 0 || out < 0 || dup2(list, CHAN_FD) < 0 || dup2(out, CHAN_FD + 1) < 0)
		_exit(1);
	closefrom(CHAN_FD + 2);
	r = read_list(CHAN_FD, &entries, &ids, &n);
	if (r == 0)
		r = netns_scan(entries, n);
	result->error = -r;
	for (size_t i = 0; r == 0 && i < n && result->n < CHAN_SCANNED_MAX; i++) {
		if (!entries[i].alive)
			result->dead[result->n++] = ids[i];
	}
	size = offsetof(struct chan_scanned, dead) + result->n * sizeof(result->dead[0]);
	for (at = 0; at < size; at += (size_t)w) {
		w = write(CHAN_FD + 1, (char *)result + at, size - at);
		if (w <= 0)
			_exit(1);
	}
	_exit(0);
}

/* ---- in the supervisor ---- */

static void answer_error(struct supervisor *s, uint64_t number, int error)
{
	struct chan_scanned answer = { .error = error };

	child_send(&s->child[CHILD_BROKER], CHAN_NETNS_SCANNED, number, &answer, sizeof(answer), NULL, 0);
}

void scan_init(struct supervisor *s)
{
	s->scan.fd = s->scan.next_list = -1;
}

void scan_ask(struct supervisor *s, uint64_t number, int fd)
{
	struct scan *scan = &s->scan;
	int pipe_fds[2];

	if (s->phase != PHASE_RUN || fd < 0) {
		answer_error(s, number, s->phase == PHASE_RUN ? EBADMSG : ESHUTDOWN);
		return;
	}
	if (scan->pid > 0 && scan->fd < 0 && !scan->stuck && scan->next_list < 0) {
		/* Its answer is out; it will be gone in a moment. */
		scan->next_list = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		scan->next_number = number;
		if (scan->next_list < 0)
			answer_error(s, number, errno);
		return;
	}
	if (scan->pid > 0) {
		answer_error(s, number, EBUSY); /* an earlier broker's, or one that hangs */
		return;
	}
	if (!scan->result)
		scan->result = malloc(CHAN_MAX);
	if (!scan->result || pipe2(pipe_fds, O_CLOEXEC) < 0) {
		answer_error(s, number, scan->result ? errno : ENOMEM);
		return;
	}
	fcntl(pipe_fds[1], F_SETPIPE_SZ, PIPE_BYTES);
	scan->pid = fork();
	if (scan->pid == 0)
		look(fd, pipe_fds[1]);
	close(pipe_fds[1]);
	if (scan->pid < 0) {
		scan->pid = 0;
		close(pipe_fds[0]);
		answer_error(s, number, EAGAIN);
		return;
	}
	fcntl(pipe_fds[0], F_SETFL, O_NONBLOCK);
	scan->fd = pipe_fds[0];
	scan->number = number;
	scan->have = 0;
	scan->deadline_ns = now_ns() + SCAN_DEADLINE_NS;
}

static void finish(struct supervisor *s)
{
	close(s->scan.fd);
	s->scan.fd = -1;
	scan_reap(s);
}

void scan_read(struct supervisor *s)
{
	struct scan *scan = &s->scan;
	size_t head = offsetof(struct chan_scanned, dead);
	ssize_t n;

	while ((n = read(scan->fd, (char *)scan->result + scan->have, CHAN_MAX - scan->have)) > 0)
		scan->have += (size_t)n;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (scan->have >= head && scan->result->n <= CHAN_SCANNED_MAX &&
	    scan->have == head + scan->result->n * sizeof(scan->result->dead[0]))
		child_send(&s->child[CHILD_BROKER], CHAN_NETNS_SCANNED, scan->number, scan->result,
			   (uint32_t)scan->have, NULL, 0);
	else
		answer_error(s, scan->number, EIO);
	finish(s);
}

void scan_reap(struct supervisor *s)
{
	struct scan *scan = &s->scan;

	if (scan->pid <= 0 || scan->fd >= 0 || waitpid(scan->pid, NULL, WNOHANG) != scan->pid)
		return;
	scan->pid = 0;
	scan->stuck = false;
	if (scan->next_list >= 0) {
		int list = scan->next_list;

		scan->next_list = -1;
		scan_ask(s, scan->next_number, list);
		close(list);
	}
}

uint64_t scan_deadline(const struct supervisor *s)
{
	return s->scan.fd >= 0 ? s->scan.deadline_ns : UINT64_MAX;
}

void scan_tick(struct supervisor *s, uint64_t now)
{
	if (now < scan_deadline(s))
		return;
	log_warning("the look for dead network namespaces (pid %d) has taken %u s: ending it; a path that a "
		    "container was registered with may hang",
		    s->scan.pid, (unsigned)(SCAN_DEADLINE_NS / NS_PER_S));
	kill(s->scan.pid, SIGKILL); /* not reaped yet, so the pid is still its own */
	s->scan.stuck = true;
	answer_error(s, s->scan.number, ETIMEDOUT);
	finish(s);
}

void scan_deinit(struct supervisor *s)
{
	struct scan *scan = &s->scan;

	if (scan->pid > 0)
		kill(scan->pid, SIGKILL);
	if (scan->next_list >= 0)
		close(scan->next_list);
	scan->next_list = -1;
	if (scan->fd >= 0)
		finish(s);
	scan_reap(s);
	free(scan->result);
	scan->result = NULL;
}
