/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 *	vm-scenario [--only NAME,...] [--after NAME] [--rounds N] [--seed N] [--slow N] [--debug] [--bindir
 *DIR] [--modules DIR] [--list] [--pair]
 *
 * Runs the scenarios one after the other, each in a process of its own with a time limit, and prints
 *
 *	# start NAME (limit N s): what it shows
 *	ok NAME (N ms) | not ok NAME (N ms): reason | skip NAME: reason
 *	N passed, N failed, N skipped
 *
 * NAME may end in *; a group's letter means all of it. --after: only what comes behind NAME in the list. Exit
 *status 0 when none failed.
 */
#include "vm.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct scenario {
	const char *name;
	unsigned limit; /* seconds */
	unsigned needs;
	const char *what;
	void (*run)(void);
};

static const struct scenario scenarios[] = {
#define SCENARIO(group, name, limit, needs, what)                                                            \
	{ #group "-" #name, limit, needs, what, scenario_##group##_##name },
#include "scenarios.list"
#undef SCENARIO
};
#define N_SCENARIOS (sizeof(scenarios) / sizeof(scenarios[0]))

/* ---- the runner ---- */

static int pid_of_parent(pid_t pid, char *ret_state)
{
	char path[64], text[512], *end;
	FILE *f;
	int parent = -1;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return -1;
	if (fgets(text, sizeof(text), f) && (end = strrchr(text, ')')) != NULL)
		if (sscanf(end + 1, " %c %d", ret_state, &parent) != 2)
			parent = -1;
	fclose(f);
	return parent;
}

/* What a process that hangs is waiting for: the kernel's own words. */
static void print_stack(pid_t pid)
{
	char path[64], line[256];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stack", (int)pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		printf("#   %d %s", (int)pid, line);
	if (f)
		fclose(f);
}

/* Calls fn for each process that is our child and alive: orphans of a scenario become ours. */
static unsigned for_children(void (*fn)(pid_t pid))
{
	DIR *dir = opendir("/proc");
	struct dirent *e;
	unsigned n = 0;

	while (dir && (e = readdir(dir)) != NULL) {
		pid_t pid = (pid_t)atoi(e->d_name);
		char state = 0;

		if (pid <= 0 || pid == watch_pid() || pid_of_parent(pid, &state) != getpid() || state == 'Z')
			continue;
		n++;
		if (fn)
			fn(pid);
	}
	if (dir)
		closedir(dir);
	return n;
}

static void kill_one(pid_t pid)
{
	kill(pid, SIGKILL);
}

static bool reaped(unsigned *ret_alive)
{
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	*ret_alive = for_children(NULL);
	return *ret_alive == 0;
}

/* Kills whatever is left, generation by generation; what is about to end by itself has a little time. How
 * many there were; -1: some cannot be killed. */
static int sweep(void)
{
	uint64_t deadline = deadline_in(2000);
	unsigned alive;
	int left;

	while (!reaped(&alive) && !past(deadline))
		nap();
	left = (int)alive;
	for (deadline = deadline_in(30000); !reaped(&alive); nap()) {
		for_children(kill_one);
		if (past(deadline)) {
			for_children(print_stack);
			return -1;
		}
	}
	return left;
}

static void in_scenario(const struct scenario *s, int fd)
{
	uint64_t mix = vm.seed;

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	report_fd = fd;
	for (const char *c = s->name; *c; c++)
		mix = mix * 31 + (unsigned char)*c;
	seed_rnd(mix);
	s->run();
	fflush(stdout);
	_exit(0);
}

enum verdict { PASSED, FAILED, SKIPPED };

/* What a guest made by hand may not have. Empty: all is there. */
static void missing(const struct scenario *s, char *why, size_t size)
{
	static const struct {
		unsigned need;
		const char *file;
	} files[] = { { NEEDS_DAEMON, "svad" }, { NEEDS_BARE, "bare.ko" }, { NEEDS_LATE, "late.ko" } };

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		char path[300];

		snprintf(path, sizeof(path), "%.200s/%s",
			 files[i].need == NEEDS_DAEMON ? vm.bindir : vm.modules, files[i].file);
		if ((s->needs & files[i].need) && access(path, R_OK) < 0)
			snprintf(why, size, "%s is not there", path);
	}
}

static void also(char *why, size_t size, const char *text)
{
	size_t len = strlen(why);

	snprintf(why + len, size - len, "%s%s", len ? "; " : "", text);
}

static enum verdict run_one(const struct scenario *s)
{
	unsigned limit = s->limit * vm.slow;
	char why[4096] = "", after[1200] = "";
	int fds[2], status = 0, swept;
	enum verdict v = FAILED;
	uint64_t start;
	struct pollfd p;
	pid_t pid;
	ssize_t n;

	printf("# start %s (limit %u s): %s\n", s->name, limit, s->what);
	fflush(stdout);
	missing(s, why, sizeof(why));
	if (*why) {
		printf("skip %s: %s\n", s->name, why);
		return SKIPPED;
	}
	check_begin();
	if (pipe2(fds, O_CLOEXEC) < 0) {
		printf("not ok %s: pipe: %s\n", s->name, strerror(errno));
		return FAILED;
	}
	start = now_ns();
	pid = fork();
	if (pid == 0) {
		close(fds[0]);
		in_scenario(s, fds[1]);
	}
	close(fds[1]);
	p = (struct pollfd){ .fd = open_pidfd(pid), .events = POLLIN };
	if (poll(&p, 1, (int)limit * 1000) != 1) {
		snprintf(why, sizeof(why), "did not end within %u s", limit);
		print_stack(pid);
		kill(pid, SIGKILL);
	}
	/* A process in the kernel for ever is not waited for. */
	if (poll(&p, 1, ms(30000)) == 1)
		waitpid(pid, &status, 0);
	else
		snprintf(why, sizeof(why), "did not end within %u s, and cannot be killed", limit);
	close(p.fd);
	if (!*why && WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SKIP)
		v = SKIPPED;
	else if (!*why && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		v = PASSED;
	else if (!*why && WIFSIGNALED(status))
		snprintf(why, sizeof(why), "ended by signal %d (%s)", WTERMSIG(status),
			 strsignal(WTERMSIG(status)));
	swept = sweep();
	/* The first word is the reason: what a kid, or the scenario, said first. All writers are gone by now,
	 * or stuck. */
	fcntl(fds[0], F_SETFL, O_NONBLOCK);
	n = read(fds[0], after, sizeof(after) - 1);
	if (n > 0) {
		after[n] = 0;
		after[strcspn(after, "\n")] = 0;
		also(why, sizeof(why), after);
		if (v == PASSED)
			v = FAILED; /* a kid failed and nobody looked */
	}
	close(fds[0]);
	if (v == PASSED && swept != 0) {
		v = FAILED;
		if (swept < 0)
			snprintf(why, sizeof(why), "left processes that cannot be killed");
		else
			snprintf(why, sizeof(why), "left %d processes", swept);
	}
	hw_resync();
	driver_restore();
	*after = 0;
	check_end(after, sizeof(after), v == FAILED || (s->needs & VIOLATES));
	if (*after) {
		also(why, sizeof(why), after);
		v = FAILED;
	}
	if (v == SKIPPED)
		printf("skip %s: %s\n", s->name, why);
	else
		printf("%s %s (%llu ms)%s%s\n", v == PASSED ? "ok" : "not ok", s->name,
		       (unsigned long long)((now_ns() - start) / 1000000u), v == PASSED ? "" : ": ",
		       v == PASSED ? "" : why);
	fflush(stdout);
	return v;
}

static bool selected(const struct scenario *s, const char *only)
{
	char list[1024], *save = NULL;

	if (!only)
		return true;
	snprintf(list, sizeof(list), "%s", only);
	for (char *word = strtok_r(list, ", ", &save); word; word = strtok_r(NULL, ", ", &save))
		if (fnmatch(word, s->name, 0) == 0 || (strlen(word) == 1 && s->name[0] == *word))
			return true;
	return false;
}

static int usage(FILE *f, int status)
{
	fputs("usage: vm-scenario [--only NAME,...] [--after NAME] [--rounds N] [--seed N] [--slow N] "
	      "[--debug] [--bindir DIR] "
	      "[--modules DIR] [--mutation NAME] [--list] [--pair]\n",
	      f);
	return status;
}

static bool number(const char *text, uint64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoull(text, &end, 0);
	return errno == 0 && end != text && !*end;
}

static int all(const char *only, const char *after)
{
	unsigned n[3] = { 0 }, found = 0;
	char why[1000] = "";
	size_t first = 0;

	if (after) {
		while (first < N_SCENARIOS && strcmp(scenarios[first].name, after) != 0)
			first++;
		if (first++ == N_SCENARIOS) {
			fprintf(stderr, "vm-scenario: no scenario is named %s; see --list\n", after);
			return 2;
		}
		found = 1; /* nothing behind it is an answer too */
	}
	for (size_t i = first; i < N_SCENARIOS; i++)
		if (selected(&scenarios[i], only)) {
			found++;
			n[run_one(&scenarios[i])]++;
		}
	if (!found) {
		fprintf(stderr, "vm-scenario: no scenario is named %s; see --list\n", only);
		return 2;
	}
	if (vm.debug) {
		check_kmemleak(why, sizeof(why));
		printf("%s z-kmemleak%s%s\n", *why ? "not ok" : "ok", *why ? ": " : "", why);
		n[*why ? FAILED : PASSED]++;
	}
	printf("%u passed, %u failed, %u skipped\n", n[PASSED], n[FAILED], n[SKIPPED]);
	fflush(stdout);
	return n[FAILED] != 0;
}

int main(int argc, char **argv)
{
	enum { ONLY = 256, AFTER, ROUNDS, SEED, SLOW, DEBUG, BINDIR, MODULES, MUTATION, LIST, PAIR, CONTAINED, HELP };
	static const struct option options[] = {
		{ "only", required_argument, NULL, ONLY },
		{ "after", required_argument, NULL, AFTER },
		{ "rounds", required_argument, NULL, ROUNDS },
		{ "seed", required_argument, NULL, SEED },
		{ "slow", required_argument, NULL, SLOW },
		{ "debug", no_argument, NULL, DEBUG },
		{ "bindir", required_argument, NULL, BINDIR },
		{ "modules", required_argument, NULL, MODULES },
		{ "list", no_argument, NULL, LIST },
		{ "pair", no_argument, NULL, PAIR },
		{ "contained", required_argument, NULL, CONTAINED },
		{ "mutation", required_argument, NULL, MUTATION },
		{ "help", no_argument, NULL, HELP },
		{ 0 },
	};
	const char *only = NULL, *after = NULL, *inside = NULL;
	bool list = false, show_pair = false, slow_given = false;
	uint64_t v;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case ONLY:
			only = *optarg ? optarg : NULL;
			break;
		case AFTER:
			after = optarg;
			break;
		case ROUNDS:
		case SEED:
		case SLOW:
			if (!number(optarg, &v) || (c != SEED && v > 1000000))
				return usage(stderr, 2);
			if (c == ROUNDS)
				vm.rounds = (unsigned)v;
			else if (c == SEED)
				vm.seed = v;
			else
				vm.slow = v ? (unsigned)v : 1;
			slow_given |= c == SLOW;
			break;
		case DEBUG:
			vm.debug = true;
			break;
		case BINDIR:
			vm.bindir = optarg;
			break;
		case MODULES:
			vm.modules = optarg;
			break;
		case MUTATION:
			vm.mutation = optarg;
			break;
		case LIST:
			list = true;
			break;
		case PAIR:
			show_pair = true;
			break;
		case CONTAINED:
			inside = optarg;
			break;
		case HELP:
			return usage(stdout, 0);
		default:
			return usage(stderr, 2);
		}
	}
	if (optind != argc)
		return usage(stderr, 2);
	if (list) {
		for (size_t i = 0; i < N_SCENARIOS; i++)
			printf("%-22s %4u s  %s\n", scenarios[i].name, scenarios[i].limit, scenarios[i].what);
		return 0;
	}
	if (vm.debug && !slow_given)
		vm.slow = 4;
	if (inside)
		return contained(inside);
	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	report_fd = STDERR_FILENO;
	hw_open();
	if (vm.mutation && module_loaded("svabroker"))
		modules_reload();
	else
		modules_load();
	driver_init();
	check_init();
	if (show_pair) {
		pair();
		return 0;
	}
	watch_start();
	return all(only, after);
}
