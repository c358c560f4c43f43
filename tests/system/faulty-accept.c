/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For LD_PRELOAD: accept4() fails with ENOMEM as long as the file $SVAD_TEST_ENOMEM exists, as it does where the kernel has no memory for a
 * socket. Nothing else can bring that about on demand.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

int accept4(int fd, struct sockaddr *restrict addr, socklen_t *restrict len, int flags)
{
	const char *path = getenv("SVAD_TEST_ENOMEM");
	int trigger = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;

	if (trigger >= 0) {
		close(trigger);
		errno = ENOMEM;
		return -1;
	}
	return (int)syscall(SYS_accept4, fd, addr, len, flags);
}
