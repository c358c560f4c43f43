/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * n: containers on the real driver. crun starts them, the CNI plugin tells svad of them and ends them, as a
 * runtime's chain does; the process inside has no capability, no device node and nobody's uid but its own.
 */
#include "vm.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sva/queue.h>
#include <sva/sva.h>

#define CLIENT_UID 1000
#define BYTES (4u << 20)
#define TOOL_MS 60000
#define TEXT 8192

/* ---- inside ---- */

/* Binds, submits a job on memory that was never touched, says so, and stays. */
int contained(const char *device)
{
	static _Alignas(64) struct sva_demo_completion done;
	struct sva_demo_desc desc;
	struct sva_bond *bond;
	struct sva_queue *q;
	struct sva *sva = NULL;
	int r;

	r = sva_connect(NULL, ms(20000), &sva);
	if (r == 0)
		r = sva_bind(sva, device, &bond);
	if (r == 0)
		r = sva_queue_new(bond, 16, &q);
	if (r < 0) {
		printf("error: %s\n", sva_strerror(sva, r));
		return 1;
	}
	memset(&done, 0, sizeof(done));
	desc = d_fill(pages_at(TARGET, BYTES), 7, BYTES);
	r = sva_queue_submit(q, &desc, &done);
	printf("bond %llu pasid %u uid %d submit %d\n", (unsigned long long)sva_bond_id(bond),
	       sva_bond_pasid(bond), (int)getuid(), r);
	fflush(stdout);
	r = sva_queue_wait(q, &done, -1);
	/* A device that is stopped says of the job that it was aborted, if it can still reach the record. */
	printf("end %s\n", r < 0 ? strerror(-r) : done.status == SVA_DEMO_OK ? "completed" : "aborted");
	fflush(stdout);
	/* The container was removed under it: nothing takes it in again. */
	r = sva_bind(sva, device, &bond);
	printf("again %s\n", r == 0 ? "bound" : "refused");
	fflush(stdout);
	for (;;)
		pause();
}

/* ---- programs ---- */

struct box {
	char dir[64], id[32], netns[128], out[128], admin[100];
	uint64_t bond;
	uint32_t pasid;
};

static void text_of(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	MUST_SYS(fd >= 0);
	n = read(fd, text, size - 1);
	MUST_SYS(n >= 0);
	text[n] = 0;
	close(fd);
}

static void to_file(const char *path, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void to_file(const char *path, const char *fmt, ...)
{
	FILE *f = fopen(path, "we");
	va_list ap;

	MUST_SYS(f != NULL);
	va_start(ap, fmt);
	vfprintf(f, fmt, ap);
	va_end(ap);
	MUST_EQ(fclose(f), 0);
}

/* Runs a program to its end: its exit status. Its input is a file, or NULL; its output goes to one. */
static int tool(const char *const *argv, const char *const *env, const char *in, const char *out)
{
	int status = 0, pidfd;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	MUST_SYS(pid >= 0);
	if (pid == 0) {
		int i = open(in ? in : "/dev/null", O_RDONLY | O_CLOEXEC);
		int o = open(out, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);

		if (i < 0 || o < 0 || dup2(i, 0) < 0 || dup2(o, 1) < 0)
			_exit(126);
		for (; env && *env; env++)
			putenv((char *)(uintptr_t)*env);
		execvp(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	pidfd = open_pidfd(pid);
	await_exit(pidfd);
	MUST_SYS(waitpid(pid, &status, 0) == pid);
	close(pidfd);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* ---- the container ---- */

static void new_netns(void *arg)
{
	MUST_SYS(unshare(CLONE_NEWNET) == 0);
	MUST_SYS(mount("/proc/self/ns/net", arg, NULL, MS_BIND, NULL) == 0);
}

static const char config[] = //
	"{\"ociVersion\": \"1.0.0\", \"hostname\": \"box\",\n"
	"\"process\": {\"terminal\": false, \"user\": {\"uid\": %d, \"gid\": %d}, \"cwd\": \"/\", "
	"\"noNewPrivileges\": true,\n"
	" \"args\": [\"%s/vm-scenario\", \"--contained\", \"%s\"], \"env\": "
	"[\"SVAD_SOCKET=/run/svad/svad.sock\"]},\n"
	"\"root\": {\"path\": \"%s/rootfs\", \"readonly\": true},\n"
	"\"mounts\": [\n"
	" {\"destination\": \"/proc\", \"type\": \"proc\", \"source\": \"proc\"},\n"
	" {\"destination\": \"/dev\", \"type\": \"tmpfs\", \"source\": \"tmpfs\", \"options\": [\"nosuid\", "
	"\"mode=755\"]},\n"
	" {\"destination\": \"/lib\", \"type\": \"bind\", \"source\": \"/lib\", \"options\": [\"bind\", "
	"\"ro\"]},\n"
	" {\"destination\": \"%s\", \"type\": \"bind\", \"source\": \"%s\", \"options\": [\"bind\", "
	"\"ro\"]},\n"
	" {\"destination\": \"/run/svad\", \"type\": \"bind\", \"source\": \"%s\", \"options\": [\"bind\", "
	"\"ro\"]}],\n"
	"\"linux\": {\"cgroupsPath\": \"/%s\", \"resources\": {\"devices\": [{\"allow\": false, \"access\": "
	"\"rwm\"}]},\n"
	" \"namespaces\": [{\"type\": \"pid\"}, {\"type\": \"ipc\"}, {\"type\": \"uts\"}, {\"type\": "
	"\"mount\"},\n"
	"  {\"type\": \"network\", \"path\": \"%s\"}]}}\n";

static void box_path(const struct box *x, char *path, size_t size, const char *name)
{
	snprintf(path, size, "%s/%s", x->dir, name);
}

static int crun(const struct box *x, const char *const *words, const char *out)
{
	const char *argv[12] = { "crun", "--cgroup-manager=cgroupfs", "--root" };
	char state[100];
	int n = 3;

	box_path(x, state, sizeof(state), "state");
	argv[n++] = state;
	while (*words)
		argv[n++] = *words++;
	return tool(argv, NULL, NULL, out);
}

/* What the process inside said, once it has said a line with this beginning. */
static void box_said(const struct box *x, const char *beginning, char *line, size_t size)
{
	uint64_t deadline = deadline_in(TOOL_MS);
	char text[TEXT];

	for (;;) {
		char *at, *end;

		text_of(x->out, text, sizeof(text));
		at = strncmp(text, beginning, strlen(beginning)) == 0 ? text : NULL;
		if (!at && (at = strstr(text, "\n")) != NULL)
			for (; at; at = strstr(at, "\n"))
				if (strncmp(++at, beginning, strlen(beginning)) == 0)
					break;
		end = at ? strchr(at, '\n') : NULL;
		if (end) {
			*end = 0;
			snprintf(line, size, "%.*s", (int)size - 1, at);
			return;
		}
		if (past(deadline) || strstr(text, "error: "))
			FAIL("the container did not say \"%s\": %.200s", beginning, text);
		nap();
	}
}

#define PATIENT (ms(TOOL_MS) / 2000) /* seconds */

/* The plugin, as a runtime calls it; it must succeed. */
static void plugin(const struct box *x, const char *command, int del_seconds)
{
	char program[256], in[128], out[128], text[TEXT], env[4][200];
	const char *const argv[] = { program, NULL };
	const char *const envp[] = { env[0], env[1], env[2], env[3], "CNI_IFNAME=eth0", NULL };
	int r;

	snprintf(program, sizeof(program), "%s/sva", vm.bindir);
	box_path(x, in, sizeof(in), "plugin.in");
	box_path(x, out, sizeof(out), "plugin.out");
	to_file(in,
		"{\"cniVersion\": \"1.0.0\", \"name\": \"vm\", \"type\": \"sva\", \"adminSocket\": \"%s\",\n"
		"\"timeout\": \"%ds\", \"delTimeout\": \"%ds\",\n"
		"\"prevResult\": {\"cniVersion\": \"1.0.0\", \"interfaces\": [], \"ips\": []}}\n",
		x->admin, PATIENT, del_seconds);
	snprintf(env[0], sizeof(env[0]), "CNI_COMMAND=%s", command);
	snprintf(env[1], sizeof(env[1]), "CNI_CONTAINERID=%s", x->id);
	snprintf(env[2], sizeof(env[2]), "CNI_NETNS=%s", x->netns);
	snprintf(env[3], sizeof(env[3]), "CNI_PATH=%.180s", vm.bindir);
	r = tool(argv, envp, in, out);
	text_of(out, text, sizeof(text));
	if (r != 0)
		FAIL("sva %s: status %d: %.600s", command, r, text);
	if (strcmp(command, "ADD") == 0 && !strstr(text, "\"cniVersion\""))
		FAIL("sva ADD answered no result: %.600s", text);
}

static void box_start(struct box *x, const char *device)
{
	static const char *const dirs[] = { "rootfs",	  "rootfs/proc",     "rootfs/dev",
					    "rootfs/lib", "rootfs/usr",	     "rootfs/usr/bin",
					    "rootfs/run", "rootfs/run/svad", "state" };
	static unsigned number;
	const char *const run[] = { "run", "--no-pivot", "--no-new-keyring", "--detach", "--bundle", x->dir,
				    x->id, NULL };
	char path[160], sockets[100], line[200];
	unsigned long long bond;
	int fd, uid, submitted, r;
	struct kid k;

	snprintf(x->id, sizeof(x->id), "box%u", ++number);
	snprintf(x->dir, sizeof(x->dir), "/tmp/vm-box-XXXXXX");
	MUST_SYS(mkdtemp(x->dir) != NULL);
	MUST_SYS(chmod(x->dir, 0755) == 0);
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		box_path(x, path, sizeof(path), dirs[i]);
		MUST_SYS(mkdir(path, 0755) == 0);
	}
	box_path(x, x->netns, sizeof(x->netns), "netns");
	fd = open(x->netns, O_CREAT | O_RDONLY | O_CLOEXEC, 0600);
	MUST_SYS(fd >= 0);
	close(fd);
	kid_start(&k, new_netns, x->netns);
	MUST_EQ(kid_reap(&k), 0);
	plugin(x, "ADD", PATIENT);

	snprintf(sockets, sizeof(sockets), "%.*s/containers", (int)(strrchr(x->admin, '/') - x->admin),
		 x->admin);
	box_path(x, path, sizeof(path), "config.json");
	to_file(path, config, CLIENT_UID, CLIENT_UID, vm.bindir, device, x->dir, vm.bindir, vm.bindir,
		sockets, x->id, x->netns);
	box_path(x, x->out, sizeof(x->out), "out");
	r = crun(x, run, x->out);
	if (r != 0)
		FAIL("crun run: status %d", r);
	box_said(x, "bond ", line, sizeof(line));
	MUST_EQ(sscanf(line, "bond %llu pasid %u uid %d submit %d", &bond, &x->pasid, &uid, &submitted), 4);
	MUST_EQ(uid, CLIENT_UID);
	MUST_EQ(submitted, 0);
	x->bond = bond;
}

static void box_kill(struct box *x)
{
	const char *const words[] = { "kill", x->id, "KILL", NULL };
	char out[128];

	box_path(x, out, sizeof(out), "kill.out");
	MUST_EQ(crun(x, words, out), 0);
}

static void box_free(struct box *x)
{
	const char *const words[] = { "delete", "--force", x->id, NULL };
	const char *const rm[] = { "rm", "-rf", x->dir, NULL };
	char out[128];

	box_path(x, out, sizeof(out), "delete.out");
	MUST_EQ(crun(x, words, out), 0);
	MUST_SYS(umount2(x->netns, MNT_DETACH) == 0);
	MUST_EQ(tool(rm, NULL, NULL, "/dev/null"), 0);
}

/* A client of the host's that binds, says its PASID, and ends. */
static void client_once(void *arg)
{
	struct sva_bond *bond;
	struct sva *sva = NULL;
	int r = sva_connect(arg, ms(20000), &sva);

	if (r == 0)
		r = sva_bind(sva, "accel1", &bond);
	if (r < 0)
		FAIL("a client of the host: %s", sva_strerror(sva, r));
	say("pasid %u", sva_bond_pasid(bond));
}

static uint32_t pasid_of_another(const struct box *x)
{
	char socket[100];
	uint32_t pasid;
	struct kid k;

	snprintf(socket, sizeof(socket), "%.*s/svad.sock", (int)(strrchr(x->admin, '/') - x->admin),
		 x->admin);
	kid_start(&k, client_once, socket);
	MUST_EQ(sscanf(expect(&k, "pasid "), "pasid %u", &pasid), 1);
	MUST_EQ(kid_reap(&k), 0);
	return pasid;
}

static void reusable(const struct box *x)
{
	uint64_t deadline = deadline_in(60000);
	unsigned tries = 0;

	while (tries++, pasid_of_another(x) != x->pasid)
		if (past(deadline))
			FAIL("PASID %u was CLEAN and came not back in %u binds", x->pasid, tries);
	note("PASID %u came back at bind %u", x->pasid, tries);
}

/* ---- the scenarios ---- */

void scenario_n_killed(void)
{
	/* In the middle of DMA; then the runtime says so, and CLEAN is before its DEL returns. */
	struct svab_event e;
	struct box x = { 0 };
	uint64_t deleted;
	int events;

	snprintf(x.admin, sizeof(x.admin), "%s", svad_start());
	hw("hold accel0 50");
	box_start(&x, "accel0");
	hw("wait-held accel0 1 %d", ms(20000));
	events = ctl_open();
	box_kill(&x);
	plugin(&x, "DEL", PATIENT);
	deleted = now_ns();
	e = event_await(events, SVAB_EV_DRAINED, x.bond);
	MUST_EQ(e.state, SVAB_PASID_CLEAN);
	if (e.time_ns > deleted)
		FAIL("DEL returned before the bond was CLEAN");
	hw("release accel0");
	plugin(&x, "DEL", PATIENT); /* as often as one likes */
	box_free(&x);
	close(events);
	reusable(&x);
	svad_stop();
}

void scenario_n_removed(void)
{
	/* Its network is taken away while it works: the bond ends, the process does not, and is not let in
	 * again. */
	struct svab_event e;
	struct box x = { 0 };
	char line[200];
	int events;

	snprintf(x.admin, sizeof(x.admin), "%s", svad_start());
	hw("hold accel0 50");
	box_start(&x, "accel0");
	hw("wait-held accel0 1 %d", ms(20000));
	events = ctl_open();
	plugin(&x, "DEL", PATIENT);
	e = event_await(events, SVAB_EV_DRAINED, x.bond);
	MUST_EQ(e.state, SVAB_PASID_CLEAN);
	hw("release accel0");
	box_said(&x, "end ", line, sizeof(line));
	MUST(strcmp(line, "end completed") != 0);
	box_said(&x, "again ", line, sizeof(line));
	if (strcmp(line, "again refused") != 0)
		FAIL("a removed container's process: \"%s\"", line);
	box_kill(&x);
	box_free(&x);
	close(events);
	reusable(&x);
	svad_stop();
}

void scenario_n_stuck(void)
{
	/* The device ignores its stop: DEL returns in its time and succeeds; the PASID stays withheld until a
	 * reset. */
	struct svab_dev_reset reset;
	struct svab_event e;
	struct box x = { 0 };
	int events;

	snprintf(x.admin, sizeof(x.admin), "%s", svad_start());
	hw("stop accel2 ignore");
	hw("hold accel2 50");
	box_start(&x, "accel2");
	hw("wait-held accel2 1 %d", ms(20000));
	events = ctl_open();
	box_kill(&x);
	plugin(&x, "DEL", 1);
	(void)event_await(events, SVAB_EV_QUARANTINED, x.bond);
	box_free(&x);
	for (int i = 0; i < 50; i++)
		if (pasid_of_another(&x) == x.pasid)
			FAIL("PASID %u, quarantined, was given out when its container was gone", x.pasid);
	hw("stop accel2 normal");
	MUST_EQ(dev_reset("accel2", &reset), 0);
	e = event_await(events, SVAB_EV_DRAINED, x.bond);
	MUST_EQ(e.state, SVAB_PASID_CLEAN);
	close(events);
	reusable(&x);
	svad_stop();
}
