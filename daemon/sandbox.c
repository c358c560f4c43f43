/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sandbox.h"

#include <errno.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define UNDER_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define UNDER_SANITIZER 1
#endif
#endif
#ifndef UNDER_SANITIZER
#define UNDER_SANITIZER 0
#endif

/* clang-format off */
/* Both: sockets and files that they were given or find in /proc, a loop, memory. */
static const int both[] = {
	SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv), SCMP_SYS(writev), SCMP_SYS(pread64),
	SCMP_SYS(recvmsg), SCMP_SYS(sendmsg), SCMP_SYS(recvfrom), SCMP_SYS(sendto), SCMP_SYS(shutdown),
	SCMP_SYS(getsockopt), SCMP_SYS(setsockopt), SCMP_SYS(socketpair), SCMP_SYS(accept4),
	SCMP_SYS(close), SCMP_SYS(ioctl), SCMP_SYS(fcntl), SCMP_SYS(dup), SCMP_SYS(dup3), SCMP_SYS(pipe2),
	SCMP_SYS(eventfd2), SCMP_SYS(lseek), SCMP_SYS(openat), SCMP_SYS(fstat), SCMP_SYS(newfstatat),
	SCMP_SYS(statx), SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_pwait), SCMP_SYS(ppoll), SCMP_SYS(futex),
	SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(mmap), SCMP_SYS(munmap), SCMP_SYS(mremap),
	SCMP_SYS(mprotect), SCMP_SYS(madvise), SCMP_SYS(brk), SCMP_SYS(getrandom), SCMP_SYS(clock_gettime),
	SCMP_SYS(gettimeofday), SCMP_SYS(time), SCMP_SYS(restart_syscall), SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(sigaltstack), SCMP_SYS(tgkill),
	SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(prlimit64),
#ifdef __NR_open /* not on newer architectures */
	SCMP_SYS(open), SCMP_SYS(stat), SCMP_SYS(poll), SCMP_SYS(epoll_wait),
#endif
	SANDBOX_END,
};

/* No thread beyond those that it has; sockets made by accept and socketpair; processes followed; the registry of containers composed. */
const int sandbox_broker[] = {
	SCMP_SYS(accept), SCMP_SYS(epoll_create1), SCMP_SYS(pidfd_open), SCMP_SYS(memfd_create),
	SANDBOX_END,
};

/* Threads; portals; a fault socket of its own; a closer look at files that clients send. */
const int sandbox_simdev[] = {
	SCMP_SYS(pwrite64), SCMP_SYS(bind), SCMP_SYS(listen), SCMP_SYS(ftruncate), SCMP_SYS(memfd_create),
	SCMP_SYS(fstatfs), SCMP_SYS(readlinkat), SCMP_SYS(faccessat), SCMP_SYS(faccessat2),
	SCMP_SYS(umask), SCMP_SYS(unlinkat), SCMP_SYS(clone), SCMP_SYS(clone3), SCMP_SYS(set_robust_list),
	SCMP_SYS(rseq), SCMP_SYS(set_tid_address), SCMP_SYS(sched_yield), SCMP_SYS(sched_getaffinity),
	SCMP_SYS(clock_nanosleep), SCMP_SYS(nanosleep), SCMP_SYS(prctl), SCMP_SYS(getgid),
	SCMP_SYS(getegid), SCMP_SYS(uname), SCMP_SYS(sysinfo), SCMP_SYS(getrlimit), SCMP_SYS(membarrier),
#ifdef __NR_open /* not on newer architectures */
	SCMP_SYS(lstat), SCMP_SYS(readlink), SCMP_SYS(access), SCMP_SYS(unlink),
#endif
	SANDBOX_END,
};
/* clang-format on */

static const int deadly[] = {
	SCMP_SYS(execve),
	SCMP_SYS(execveat),
	SCMP_SYS(ptrace),
	SCMP_SYS(process_vm_readv),
	SCMP_SYS(process_vm_writev),
	SCMP_SYS(init_module),
	SCMP_SYS(finit_module),
	SCMP_SYS(bpf),
	SCMP_SYS(mount),
	SCMP_SYS(setns),
};

static bool under_valgrind(void)
{
	const char *preload = getenv("LD_PRELOAD");

	return preload && strstr(preload, "vgpreload");
}

static int allow(scmp_filter_ctx ctx, const int *list)
{
	int r = 0;

	for (; !r && *list != SANDBOX_END; list++) {
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, *list, 0);
		if (r == -EDOM || r == -EINVAL)
			r = 0; /* not on this architecture */
	}
	return r;
}

int sandbox_enter(const int *list)
{
	scmp_filter_ctx ctx;
	int r = 0;

	if (UNDER_SANITIZER || under_valgrind())
		return 1;
	ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	if (!ctx)
		return -ENOMEM;
	/* Threads exist already, or will: all get it. */
	r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);
	if (!r)
		r = allow(ctx, both);
	if (!r)
		r = allow(ctx, list);
	for (size_t i = 0; !r && i < sizeof(deadly) / sizeof(deadly[0]); i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_KILL_PROCESS, deadly[i], 0);
	if (!r)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
				     SCMP_A0(SCMP_CMP_EQ, AF_UNIX, 0));
	if (!r)
		r = seccomp_rule_add(ctx, SCMP_ACT_KILL_PROCESS, SCMP_SYS(socket), 1,
				     SCMP_A0(SCMP_CMP_NE, AF_UNIX, 0));
	if (!r)
		r = seccomp_load(ctx);
	seccomp_release(ctx);
	return r;
}
