// SPDX-License-Identifier: GPL-2.0-or-later
/* svadctl doctor: what the simulated backend needs of this machine. Each is tried, not guessed from a
 * version, where it can be. */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
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
