/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <systemd/sd-daemon.h>

#include "listen.h"
#include "log.h"

#define BACKLOG 4096
#define LOCK_NAME "svad.lock"
#define NEW_SUFFIX ".new"
#define SHARED_NAME "svad.sock"

static int fail(char **ret_why, int r, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static int fail(char **ret_why, int r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(ret_why, fmt, ap) < 0)
		*ret_why = NULL;
	va_end(ap);
	return r;
}

static const char *remedy(int error)
{
	switch (error) {
	case EACCES:
	case EPERM:
		return "make the directory writable for this user, or set another runtime_dir in [daemon]";
	case ENOENT:
		return "create the directory, or set another runtime_dir in [daemon]";
	case EROFS:
		return "the file system is read-only; set another runtime_dir in [daemon]";
	case ENOSPC:
	case EDQUOT:
		return "the file system is full; make room";
	case ENOTDIR:
		return "a part of the path is not a directory; set another runtime_dir in [daemon]";
	case EMFILE:
	case ENFILE:
		return "raise the limit of open files";
	default:
		return "see the error";
	}
}

static int address(struct sockaddr_un *sa, const char *path, socklen_t *ret_len, char **ret_why)
{
	size_t n = strlen(path);

	if (n >= sizeof(sa->sun_path))
		return fail(ret_why, -ENAMETOOLONG,
			    "%s: the path has %zu bytes, and a socket's may have %zu; choose a shorter one",
			    path, n, sizeof(sa->sun_path) - 1);
	*sa = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(sa->sun_path, path, n + 1);
	*ret_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + 1);
	return 0;
}

/* May path be replaced? 0: yes (nothing is there, or a socket that nobody answers). */
static int check_in_the_way(const char *path, char **ret_why)
{
	struct sockaddr_un sa;
	socklen_t len = 0;
	struct stat st;
	int fd, r;

	if (lstat(path, &st) < 0) {
		if (errno == ENOENT)
			return 0;
		r = -errno;
		return fail(ret_why, r, "%s: %s; %s", path, strerror(-r), remedy(-r));
	}
	if (!S_ISSOCK(st.st_mode))
		return fail(ret_why, -EADDRINUSE,
			    "%s: something that is not a socket is in the way (%s); move it away, or set "
			    "another path",
			    path,
			    S_ISDIR(st.st_mode)	  ? "a directory"
			    : S_ISLNK(st.st_mode) ? "a symbolic link"
						  : "a file");
	r = address(&sa, path, &len, ret_why);
	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) {
		r = -errno;
		return fail(ret_why, r, "cannot make a socket: %s; %s", strerror(-r), remedy(-r));
	}
	r = connect(fd, (struct sockaddr *)&sa, len) < 0 ? -errno : 0;
	close(fd);
	if (r == -ECONNREFUSED || r == -ENOENT)
		return 0;
	if (r == -EACCES)
		return fail(ret_why, r,
			    "%s: a socket of another user is in the way; remove it, or set another path",
			    path);
	/* connected, or its queue is full (EAGAIN), or it is of another type (EPROTOTYPE): somebody is alive
	 * there */
	return fail(ret_why, -EADDRINUSE,
		    "%s: another process serves this socket; is a svad running already (svadctl status)? "
		    "Stop it, or set another path",
		    path);
}

static int resolve_group(const char *group, gid_t *ret, char **ret_why)
{
	struct group *gr;
	char *end;

	if (isdigit((unsigned char)group[0])) {
		unsigned long v = strtoul(group, &end, 10);

		if (!*end && v < UINT32_MAX) {
			*ret = (gid_t)v;
			return 0;
		}
	}
	gr = getgrnam(group);
	if (!gr)
		return fail(ret_why, -EINVAL, "there is no group '%s'; create it with 'groupadd --system %s'",
			    group, group);
	*ret = gr->gr_gid;
	return 0;
}

void listener_close(struct listener *l)
{
	struct stat st;

	if (l->path) {
		if (lstat(l->path, &st) == 0 && S_ISSOCK(st.st_mode) && st.st_dev == l->dev &&
		    st.st_ino == l->ino)
			unlink(l->path);
		free(l->path);
	}
	if (l->fd >= 0)
		close(l->fd);
	*l = (struct listener){ .fd = -1 };
}

int listener_make(struct listener *l, const char *path, mode_t mode, const char *group, char **ret_why)
{
	char new_path[sizeof(((struct sockaddr_un *)NULL)->sun_path) + sizeof(NEW_SUFFIX)];
	struct sockaddr_un sa;
	socklen_t len = 0;
	struct stat st;
	gid_t gid = (gid_t)-1;
	char *copy = NULL;
	mode_t mask;
	int fd, r;

	r = check_in_the_way(path, ret_why);
	if (r == 0 && group && *group)
		r = resolve_group(group, &gid, ret_why);
	if (r < 0)
		return r;
	if (snprintf(new_path, sizeof(new_path), "%s" NEW_SUFFIX, path) >= (int)sizeof(new_path))
		new_path[sizeof(new_path) - 1] = '\0';
	r = address(&sa, new_path, &len, ret_why);
	if (r < 0)
		return r;
	copy = strdup(path);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || !copy) {
		r = fd < 0 ? -errno : -ENOMEM;
		free(copy);
		if (fd >= 0)
			close(fd);
		return fail(ret_why, r, "cannot make a socket: %s; %s", strerror(-r), remedy(-r));
	}

	/* left over from a daemon that died between bind and rename; the lock is ours, so nobody is using it
	 */
	if (lstat(new_path, &st) == 0 && S_ISSOCK(st.st_mode))
		unlink(new_path);
	mask = umask(0177);
	r = bind(fd, (struct sockaddr *)&sa, len) < 0 ? -errno : 0;
	umask(mask);
	if (r < 0) {
		fail(ret_why, r, "%s: cannot create the socket: %s; %s", path, strerror(-r), remedy(-r));
		goto fail;
	}
	if (gid != (gid_t)-1 && chown(new_path, (uid_t)-1, gid) < 0) {
		r = -errno;
		fail(ret_why, r,
		     "%s: cannot give the socket to group '%s': %s; run as root or as a member of the group",
		     path, group, strerror(-r));
		goto unlink;
	}
	if (chmod(new_path, mode) < 0 || listen(fd, BACKLOG) < 0 || lstat(new_path, &st) < 0 ||
	    rename(new_path, path) < 0) {
		r = -errno;
		fail(ret_why, r, "%s: cannot set the socket up: %s; %s", path, strerror(-r), remedy(-r));
		goto unlink;
	}
	*l = (struct listener){ .fd = fd, .path = copy, .dev = st.st_dev, .ino = st.st_ino };
	return 0;

unlink:
	unlink(new_path);
fail:
	free(copy);
	close(fd);
	return r;
}

static int make_runtime_dir(const char *path, char **ret_why)
{
	struct stat st;
	int r;

	if (mkdir(path, 0755) == 0) {
		if (chmod(path, 0755) < 0) /* whatever the umask was */
			return fail(ret_why, -errno, "%s: cannot set its mode: %s", path, strerror(errno));
		return 0;
	}
	r = -errno;
	if (r != -EEXIST)
		return fail(ret_why, r, "%s: cannot create the runtime directory: %s; %s", path, strerror(-r),
			    remedy(-r));
	if (stat(path, &st) < 0)
		return fail(ret_why, -errno, "%s: %s", path, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return fail(
			ret_why, -ENOTDIR,
			"%s: the runtime directory's place is taken by something that is not a directory; "
			"move it away, or set another runtime_dir in [daemon]",
			path);
	if (st.st_uid != geteuid() && st.st_uid != 0)
		return fail(
			ret_why, -EPERM,
			"%s: the runtime directory belongs to uid %u, who could replace the sockets in it; "
			"chown it to uid %u, or set another runtime_dir in [daemon]",
			path, st.st_uid, geteuid());
	if ((st.st_mode & (S_IWGRP | S_IWOTH)) && !(st.st_mode & S_ISVTX))
		log_warning("%s: others may write to the runtime directory and so replace the sockets; chmod "
			    "go-w it",
			    path);
	return 0;
}

int listener_share(struct listener *l, const char *path, const char *dir, char **ret_why)
{
	char *new_path = NULL, *shared = NULL;
	struct stat st, old;
	int r = 0;

	if (asprintf(&shared, "%s/" SHARED_NAME, dir) < 0)
		return -ENOMEM;
	if (asprintf(&new_path, "%s/." SHARED_NAME NEW_SUFFIX, dir) < 0) {
		free(shared);
		return -ENOMEM;
	}
	if (mkdir(dir, 0755) < 0 && errno != EEXIST) {
		r = fail(ret_why, -errno, "%s: cannot create socket_dir: %s; %s", dir, strerror(errno),
			 remedy(errno));
	} else if (lstat(dir, &st) < 0 || !S_ISDIR(st.st_mode) ||
		   (st.st_uid != geteuid() && st.st_uid != 0)) {
		r = fail(ret_why, -ENOTDIR,
			 "%s: socket_dir is not a directory of this user's; move it away, or set another "
			 "socket_dir in "
			 "[containers]",
			 dir);
	} else if (st.st_uid == geteuid() && chmod(dir, 0755) < 0) { /* whatever the umask was */
		r = fail(ret_why, -errno, "%s: cannot set its mode: %s", dir, strerror(errno));
	} else if (lstat(path, &st) < 0 || !S_ISSOCK(st.st_mode)) {
		r = fail(ret_why, -ENOENT,
			 "%s: the clients' socket is not there any more; restart its socket unit", path);
	} else if (lstat(shared, &old) == 0 && old.st_dev == st.st_dev && old.st_ino == st.st_ino) {
		; /* linked already: the socket is the service manager's, and has outlived us */
	} else {
		/* By rename: who mounts the directory sees the old one or the new one, never none. */
		unlink(new_path);
		if (link(path, new_path) < 0 || rename(new_path, shared) < 0) {
			r = fail(
				ret_why, -errno, "%s: cannot link %s there: %s; %s", shared, path,
				strerror(errno),
				errno == EXDEV
					? "the two must be on one file system: set socket_dir in [containers]"
					: remedy(errno));
			unlink(new_path);
		}
	}
	free(new_path);
	if (r < 0) {
		free(shared);
		return r;
	}
	*l = (struct listener){ .fd = -1, .path = shared, .dev = st.st_dev, .ino = st.st_ino };
	return 0;
}

static int take_lock(const char *dir, int *ret_fd, char **ret_why)
{
	char path[4096], pid[32] = "";
	ssize_t n;
	int fd, r;

	snprintf(path, sizeof(path), "%s/" LOCK_NAME, dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
	if (fd < 0) {
		r = -errno;
		return fail(ret_why, r, "%s: cannot create the lock file: %s; %s", path, strerror(-r),
			    remedy(-r));
	}
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		r = -errno;
		n = pread(fd, pid, sizeof(pid) - 1, 0);
		pid[n > 0 ? n : 0] = '\0';
		pid[strcspn(pid, "\n")] = '\0';
		close(fd);
		if (r != -EWOULDBLOCK)
			return fail(ret_why, r, "%s: cannot lock: %s", path, strerror(-r));
		return fail(ret_why, -EADDRINUSE,
			    "%s: another svad%s%s%s holds it; stop that one, or set another runtime_dir in "
			    "[daemon]",
			    path, *pid ? " (pid " : "", pid, *pid ? ")" : "");
	}
	n = snprintf(pid, sizeof(pid), "%d\n", getpid());
	/* for people only: the lock is what counts */
	if (ftruncate(fd, 0) < 0 || pwrite(fd, pid, (size_t)n, 0) != n)
		log_debug("%s: cannot note the pid: %m", path);
	*ret_fd = fd;
	return 0;
}

static int adopt(struct listener *l, int fd, const char *what, char **ret_why)
{
	if (l->fd >= 0)
		return fail(ret_why, -EINVAL,
			    "the service manager passed two sockets for %s; keep one in the socket units",
			    what);
	if (sd_is_socket_unix(fd, SOCK_SEQPACKET, 1, NULL, 0) <= 0)
		return fail(ret_why, -EINVAL,
			    "the service manager's fd %d for %s is not a listening AF_UNIX socket of type "
			    "SOCK_SEQPACKET; "
			    "use ListenSequentialPacket= in the socket unit",
			    fd, what);
	if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return fail(ret_why, -errno, "fd %d: %s", fd, strerror(errno));
	l->fd = fd;
	return 0;
}

static int adopt_all(struct listeners *l, const struct config *c, char **ret_why)
{
	char **names = NULL;
	int n = sd_listen_fds_with_names(1, &names), r = 0;

	if (n < 0)
		return fail(ret_why, n, "cannot read what the service manager passed ($LISTEN_FDS): %s",
			    strerror(-n));
	for (int i = 0; i < n; i++) {
		int fd = SD_LISTEN_FDS_START + i;
		const char *name = names && names[i] ? names[i] : "";

		if (r < 0)
			close(fd);
		else if (strcmp(name, "client") == 0 || sd_is_socket_unix(fd, 0, -1, c->socket, 0) > 0)
			r = adopt(&l->client, fd, "clients (FileDescriptorName=client)", ret_why);
		else if (strcmp(name, "admin") == 0 || sd_is_socket_unix(fd, 0, -1, c->admin_socket, 0) > 0)
			r = adopt(&l->admin, fd, "administrators (FileDescriptorName=admin)", ret_why);
		else
			r = fail(ret_why, -EINVAL,
				 "the service manager passed fd %d named '%s', which is neither 'client' nor "
				 "'admin' nor bound to %s "
				 "or %s; set FileDescriptorName= in the socket unit",
				 fd, name, c->socket, c->admin_socket);
		free(names ? names[i] : NULL);
	}
	free(names);
	return r;
}

/* Where clients outside of containers are all there is, a svad without it serves as well. */
static void share(struct listeners *l, const struct config *c)
{
	struct sockaddr_un sa = { 0 };
	socklen_t len = sizeof(sa);
	const char *path = c->socket;
	char *why = NULL;
	int r;

	/* Of a socket that was handed over, wherever it is. */
	if (!l->client.path && getsockname(l->client.fd, (struct sockaddr *)&sa, &len) == 0 &&
	    sa.sun_path[0] == '/')
		path = sa.sun_path;
	r = listener_share(&l->shared, path, c->containers_socket_dir, &why);
	if (r < 0)
		log_warning("containers have no socket: %s", why ? why : strerror(-r));
	free(why);
	/* It stays with a socket that stays. */
	if (r == 0 && !l->client.path) {
		free(l->shared.path);
		l->shared.path = NULL;
	}
}

int listeners_open(struct listeners *l, const struct config *c, char **ret_why)
{
	int r;

	*l = (struct listeners)LISTENERS_NONE;
	r = adopt_all(l, c, ret_why);
	if (r == 0 && c->runtime_dir)
		r = make_runtime_dir(c->runtime_dir, ret_why);
	if (r == 0 && c->runtime_dir)
		r = take_lock(c->runtime_dir, &l->lock_fd, ret_why);
	if (r == 0 && l->client.fd < 0)
		r = listener_make(&l->client, c->socket, c->socket_mode, c->socket_group, ret_why);
	if (r == 0 && l->admin.fd < 0)
		r = listener_make(&l->admin, c->admin_socket, c->admin_socket_mode, c->admin_socket_group,
				  ret_why);
	if (r < 0)
		listeners_close(l);
	else
		share(l, c);
	return r;
}

void listeners_close(struct listeners *l)
{
	listener_close(&l->shared);
	listener_close(&l->client);
	listener_close(&l->admin);
	if (l->lock_fd >= 0)
		close(l->lock_fd); /* the file stays: removing it would let two daemons hold "the" lock */
	l->lock_fd = -1;
}
