/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kernel module's control fd: opened here, where the privilege is, and used by the broker, which has
 * none. */
#include "supervisor_kmod.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "../kmod/svabroker.h"

static int why(char **ret_why, int r, const char *path, const char *what, const char *remedy)
{
	if (asprintf(ret_why, "backend = kmod in [daemon]: %s: %s; %s", path, what, remedy) < 0)
		*ret_why = NULL;
	return r;
}

int kmod_control_open(const char *path, char **ret_why)
{
	struct svab_info info = { .size = sizeof(info) };
	char what[96];
	int fd, r;

	fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 && (errno == ENOENT || errno == ENODEV || errno == ENXIO))
		return why(
			ret_why, -errno, path, "the kernel module is not loaded",
			"'modprobe svabroker' loads it, and its name in /etc/modules-load.d/svabroker.conf "
			"does so at every boot; or set backend = sim");
	if (fd < 0 && (errno == EACCES || errno == EPERM))
		return why(ret_why, -errno, path, strerror(errno),
			   "it takes CAP_SYS_ADMIN: start svad as root, as its systemd unit does");
	if (fd < 0)
		return why(ret_why, -errno, path, strerror(errno), "see dmesg");
	if (ioctl(fd, SVAB_INFO, &info) < 0) {
		r = -errno;
		close(fd);
		return r == -ENOTTY || r == -EINVAL ? why(ret_why, r, path, "this is no svabroker",
							  "remove what is there, then 'modprobe svabroker'")
						    : why(ret_why, r, path, strerror(-r), "see dmesg");
	}
	if (info.abi != SVAB_ABI_VERSION) {
		close(fd);
		snprintf(what, sizeof(what), "the module speaks version %u of its interface, this svad %u",
			 info.abi, SVAB_ABI_VERSION);
		return why(ret_why, -EPROTO, path, what,
			   "install the two from the same release, then 'modprobe -r svabroker' and "
			   "'modprobe svabroker'");
	}
	return fd;
}
