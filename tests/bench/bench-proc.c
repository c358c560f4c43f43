/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

bool pin(pid_t pid, int cpu)
{
	cpu_set_t set;
	char path[64];
	struct dirent *e;
	bool ok = true;
	DIR *dir;

	CPU_ZERO(&set);
	if (cpu >= 0)
		CPU_SET((size_t)cpu, &set);
	else
		for (size_t i = 0; i < CPU_SETSIZE; i++)
			CPU_SET(i, &set);
	if (!pid)
		return sched_setaffinity(0, sizeof(set), &set) == 0;
	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	if (!dir)
		return false;
	while ((e = readdir(dir)))
		if (*e->d_name != '.')
			ok = sched_setaffinity(atoi(e->d_name), sizeof(set), &set) == 0 && ok;
	closedir(dir);
	return ok;
}

pid_t spawn_pinned(int cpu, void (*fn)(void *arg), void *arg)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (cpu >= 0)
			(void)pin(0, cpu);
		fn(arg);
		_exit(0);
	}
	return pid;
}

void end_process(pid_t pid)
{
	if (pid <= 0)
		return;
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

pid_t live_broker(int admin)
{
	Svad__V1__GetStatus body = SVAD__V1__GET_STATUS__INIT;
	Svad__V1__Request request = SVAD__V1__REQUEST__INIT;
	Svad__V1__Reply *reply;

	request.body_case = SVAD__V1__REQUEST__BODY_GET_STATUS;
	request.get_status = &body;
	if (live_call(admin, &request, 10000, &reply) || reply->body_case != SVAD__V1__REPLY__BODY_GET_STATUS)
		return -1;
	return reply->get_status->broker_pid;
}

void settle(int admin)
{
	static const char *const names[] = { "svad_clients", "svad_bonds" };
	uint64_t values[2], deadline = live_now_ns() + 60000000000u;

	/* each look is a round trip through the loop that has to come to rest */
	while (live_stats(admin, names, values, 2) == 0 && (values[0] || values[1]))
		if (live_now_ns() > deadline) {
			fprintf(stderr, "svad-bench: svad still has %llu clients of the last round\n",
				(unsigned long long)values[0]);
			return;
		}
}

uint64_t pss_kib(pid_t pid)
{
	unsigned long long kib = 0;
	char path[64], line[256];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "Pss: %llu kB", &kib) == 1)
			break;
	fclose(f);
	return kib;
}

bool raise_fd_limit(unsigned want)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) < 0)
		return false;
	if (l.rlim_cur >= want)
		return true;
	l.rlim_cur = want;
	if (l.rlim_max < want)
		l.rlim_max = want;
	return setrlimit(RLIMIT_NOFILE, &l) == 0;
}
