// SPDX-License-Identifier: GPL-2.0-or-later
/* svadctl doctor: probes of this machine. Each is tried, not guessed from a version, where it can be. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "doctor.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

/* <linux/fs.h> of kernels since 6.11; Debian 12's headers are older. */
struct procmap_query_abi {
	uint64_t size, query_flags, query_addr, vma_start, vma_end, vma_flags, vma_page_size, vma_offset,
		inode;
	uint32_t dev_major, dev_minor, vma_name_size, build_id_size;
	uint64_t vma_name_addr, build_id_addr;
};
#define PROCMAP_QUERY_ABI _IOWR('f', 17, struct procmap_query_abi)

static void probe_mem(struct doctor *d)
{
	volatile uint64_t word = 0x5356414453564144u;
	uint64_t back = 0;
	int fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);

	if (fd >= 0 && pread(fd, &back, sizeof(back), (off_t)(uintptr_t)&word) == (ssize_t)sizeof(back) &&
	    back == word)
		doctor_say(d, SECTION_SIM, LEVEL_OK, "proc-mem", NULL,
			   "/proc/self/mem reaches a process's own memory");
	else
		doctor_say(d, SECTION_SIM, LEVEL_FAIL, "proc-mem",
			   "mount /proc, and let the process be dumpable (no PR_SET_DUMPABLE 0); kernel "
			   "parameter"
			   " proc_mem.force_override must not be \"never\"",
			   "/proc/self/mem cannot be used: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
}

static void probe_procmap(struct doctor *d)
{
	struct procmap_query_abi q = { .size = sizeof(q), .query_addr = (uint64_t)(uintptr_t)d };
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		doctor_say(d, SECTION_SIM, LEVEL_FAIL, "procmap-query", "mount /proc", "/proc/self/maps: %s",
			   strerror(errno));
	else if (!ioctl(fd, PROCMAP_QUERY_ABI, &q) && q.vma_start <= q.query_addr && q.query_addr < q.vma_end)
		doctor_say(d, SECTION_SIM, LEVEL_OK, "procmap-query", NULL,
			   "PROCMAP_QUERY answers (kernel 6.11 and later)");
	else
		doctor_say(d, SECTION_SIM, LEVEL_WARN, "procmap-query",
			   "a kernel of 6.11 or later makes it fast",
			   "no PROCMAP_QUERY (%s): the simulated device reads /proc/PID/maps as text, which "
			   "is slower",
			   strerror(errno));
	if (fd >= 0)
		close(fd);
}

static void probe_pidfd(struct doctor *d)
{
	int sv[2] = { -1, -1 }, peer = -1;
	socklen_t len = sizeof(peer);
	int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);

	if (fd >= 0)
		doctor_say(d, SECTION_SIM, LEVEL_OK, "pidfd-open", NULL,
			   "pidfd_open works: ends of processes are seen as they happen");
	else
		doctor_say(d, SECTION_SIM, LEVEL_FAIL, "pidfd-open",
			   "a kernel of 5.3 or later, and no filter that forbids it", "pidfd_open: %s",
			   strerror(errno));
	if (fd >= 0)
		close(fd);

	if (!socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) &&
	    !getsockopt(sv[0], SOL_SOCKET, SO_PEERPIDFD, &peer, &len) && peer >= 0)
		doctor_say(d, SECTION_SIM, LEVEL_OK, "peer-pidfd", NULL,
			   "SO_PEERPIDFD works: a client's pid cannot be mistaken");
	else
		doctor_say(d, SECTION_SIM, LEVEL_WARN, "peer-pidfd", "a kernel of 6.5 or later",
			   "no SO_PEERPIDFD (%s): svad uses pidfd_open and checks the peer twice",
			   strerror(errno));
	if (peer >= 0)
		close(peer);
	if (sv[0] >= 0) {
		close(sv[0]);
		close(sv[1]);
	}
}

static void probe_memfd(struct doctor *d)
{
	int fd = memfd_create("svadctl-doctor", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd >= 0 && !ftruncate(fd, 4096) && !fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SEAL))
		doctor_say(d, SECTION_SIM, LEVEL_OK, "memfd", NULL,
			   "sealed memfds work: portals can be taken away");
	else
		doctor_say(d, SECTION_SIM, LEVEL_FAIL, "memfd", "a kernel with CONFIG_MEMFD_CREATE",
			   "memfd_create with seals: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
}

static void probe_limits(struct doctor *d)
{
	struct rlimit rl;

	if (!getrlimit(RLIMIT_NOFILE, &rl) && rl.rlim_max < 65536)
		doctor_say(d, SECTION_SIM, LEVEL_WARN, "nofile",
			   "LimitNOFILE=524288 in the unit, or ulimit -Hn as root",
			   "at most %llu open files here: a daemon started from here serves fewer clients",
			   (unsigned long long)rl.rlim_max);
	else
		doctor_say(d, SECTION_SIM, LEVEL_OK, "nofile", NULL, "enough open files are allowed");
}

static void probe_user(struct doctor *d)
{
	if (getpwnam("svad"))
		doctor_say(d, SECTION_SIM, LEVEL_OK, "user", NULL, "user svad exists");
	else
		doctor_say(d, SECTION_SIM, LEVEL_WARN, "user",
			   "systemd-sysusers, or: useradd --system --no-create-home --shell "
			   "/usr/sbin/nologin svad",
			   "there is no user svad: a daemon started by root needs it (one started by an "
			   "ordinary user does not)");
}

void doctor_probe_sim(struct doctor *d)
{
	probe_mem(d);
	probe_procmap(d);
	probe_pidfd(d);
	probe_memfd(d);
	probe_limits(d);
	probe_user(d);
}

/* ---- hardware ---- */

/* The kernel's configuration: malloc()ed text, or NULL. /proc/config.gz is unpacked by gzip itself; linking a
 * library for this one file is not worth it. */
static char *kernel_config(const char *release, char *where, size_t size)
{
	char path[256], *text = NULL;
	size_t used = 0, room = 0;
	pid_t pid = -1;
	int fd, p[2];

	snprintf(path, sizeof(path), "/boot/config-%s", release);
	if (!access("/proc/config.gz", R_OK) && !pipe2(p, O_CLOEXEC)) {
		snprintf(where, size, "/proc/config.gz");
		pid = fork();
		if (pid == 0) {
			int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

			dup2(p[1], STDOUT_FILENO);
			if (null >= 0)
				dup2(null, STDERR_FILENO);
			execlp("gzip", "gzip", "-dc", "/proc/config.gz", (char *)NULL);
			_exit(127);
		}
		close(p[1]);
		fd = p[0];
	} else {
		snprintf(where, size, "%s", path);
		fd = open(path, O_RDONLY | O_CLOEXEC);
	}
	for (ssize_t n = 1; fd >= 0 && n > 0;) {
		if (room - used < 65536) {
			char *more = realloc(text, room + (1u << 18));

			if (!more || room > (8u << 20)) {
				free(more ? more : text);
				text = NULL;
				break;
			}
			text = more;
			room += 1u << 18;
		}
		n = read(fd, text + used, room - used - 1);
		if (n < 0 && errno == EINTR)
			n = 1;
		else if (n > 0)
			used += (size_t)n;
	}
	if (fd >= 0)
		close(fd);
	if (pid > 0)
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
	if (!text || !used) {
		free(text);
		return NULL;
	}
	text[used] = 0;
	return text;
}

static char config_value(const char *text, const char *option)
{
	size_t len = strlen(option);

	for (const char *p = text; (p = strstr(p, option)); p += len)
		if ((p == text || p[-1] == '\n') && p[len] == '=')
			return p[len + 1];
	return 'n';
}

static void probe_config(struct doctor *d, const char *release)
{
	static const struct {
		const char *option, *what;
	} options[] = {
		{ "CONFIG_ARM_SMMU_V3", "the SMMUv3 driver" },
		{ "CONFIG_ARM_SMMU_V3_SVA", "shared virtual addressing in it" },
		{ "CONFIG_IOMMU_SVA", "the kernel's SVA core" },
		{ "CONFIG_IOMMUFD", "iommufd" },
	};
	char where[256];
	char *text = kernel_config(release, where, sizeof(where));

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		char value, remedy[256];

		if (!text) {
			doctor_say(
				d, SECTION_HARDWARE, LEVEL_UNKNOWN, options[i].option,
				"a kernel with CONFIG_IKCONFIG_PROC, or its config file in /boot, would tell",
				"%s (%s): neither /proc/config.gz nor %s can be read", options[i].option,
				options[i].what, where);
			continue;
		}
		value = config_value(text, options[i].option);
		snprintf(remedy, sizeof(remedy), "a kernel built with %s=y", options[i].option);
		if (value == 'y' || value == 'm')
			doctor_say(d, SECTION_HARDWARE, LEVEL_OK, options[i].option, NULL,
				   "%s=%c (%s), says %s", options[i].option, value, options[i].what, where);
		else
			doctor_say(d, SECTION_HARDWARE, LEVEL_MISSING, options[i].option, remedy,
				   "%s is not set (%s), says %s", options[i].option, options[i].what, where);
	}
	free(text);
}

static void probe_node(struct doctor *d, const char *path, const char *what, const char *remedy)
{
	if (!access(path, F_OK))
		doctor_say(d, SECTION_HARDWARE, LEVEL_OK, path, NULL, "%s is there: %s", path, what);
	else
		doctor_say(d, SECTION_HARDWARE, LEVEL_MISSING, path, remedy, "no %s: %s", path, what);
}

static void probe_iommus(struct doctor *d)
{
	char names[256] = "";
	size_t used = 0;
	unsigned n = 0;
	struct dirent *e;
	DIR *dir = opendir("/sys/class/iommu");

	while (dir && (e = readdir(dir))) {
		int w;

		if (e->d_name[0] == '.')
			continue;
		n++;
		w = snprintf(names + used, sizeof(names) - used, "%s%s", used ? " " : "", e->d_name);
		if (w > 0 && (size_t)w < sizeof(names) - used)
			used += (size_t)w;
		else
			names[used] = 0;
	}
	if (dir)
		closedir(dir);
	if (!n)
		doctor_say(d, SECTION_HARDWARE, LEVEL_MISSING, "iommu",
			   "a machine with an SMMUv3 (firmware: enable it; a virtual machine: give it one)",
			   "/sys/class/iommu is %s: no IOMMU is active", dir ? "empty" : "absent");
	else if (strstr(names, "smmu3"))
		doctor_say(d, SECTION_HARDWARE, LEVEL_OK, "iommu", NULL, "an SMMUv3 is active: %s", names);
	else
		doctor_say(d, SECTION_HARDWARE, LEVEL_MISSING, "iommu", "a machine with an SMMUv3",
			   "%u IOMMU%s active, none an SMMUv3: %s", n, n == 1 ? "" : "s", names);
}

void doctor_probe_hardware(struct doctor *d)
{
	struct utsname u;
	unsigned major = 0, minor = 0;

	if (uname(&u)) {
		doctor_say(d, SECTION_HARDWARE, LEVEL_UNKNOWN, "machine", NULL, "uname: %s", strerror(errno));
		return;
	}
	if (!strcmp(u.machine, "aarch64"))
		doctor_say(d, SECTION_HARDWARE, LEVEL_OK, "architecture", NULL, "the CPU is arm64");
	else
		doctor_say(d, SECTION_HARDWARE, LEVEL_MISSING, "architecture", "an arm64 machine",
			   "the CPU is %s, not arm64", u.machine);
	if (sscanf(u.release, "%u.%u", &major, &minor) != 2)
		doctor_say(d, SECTION_HARDWARE, LEVEL_UNKNOWN, "kernel", NULL,
			   "kernel %s has no version that could be read", u.release);
	else if (major > 6 || (major == 6 && minor >= 12))
		doctor_say(d, SECTION_HARDWARE, LEVEL_OK, "kernel", NULL, "kernel %s (6.12 or later)",
			   u.release);
	else
		doctor_say(d, SECTION_HARDWARE, LEVEL_MISSING, "kernel",
			   "kernel 6.12 or later; Debian 12: bookworm-backports",
			   "kernel %s is older than 6.12", u.release);
	probe_config(d, u.release);
	probe_iommus(d);
	probe_node(d, "/dev/iommu", "iommufd's device node",
		   "modprobe iommufd, on a kernel with CONFIG_IOMMUFD");
	probe_node(d, "/dev/svabroker", "svad's kernel module",
		   "load svabroker.ko (with backend = kmod); without it only the simulated backend works");
}
