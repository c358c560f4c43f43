/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Containers: the CNI plugin beside others of its kind, removals, and what a thousand registered containers
 * cost the one that binds. A container of this benchmark is a process in a network namespace of its own,
 * registered as the plugin would; only what is said to be podman's is a real one's. All of it needs root.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sva/admin.h>
#include <sva/sva.h>

#include "bench-containers.h"
#include "bench.h"

#define CNI_DIR "/usr/lib/cni"
#define GROUP_DEVICES 100u
#define MANY 1000u

/* ---- a container ---------------------------------------------------------------------------- */

struct container {
	pid_t pid; /* of its first process */
	int tell, stay;
	char path[64];
};

static void init_of(struct container *c, void (*fn)(void *arg), void *arg)
{
	char ready = 0;

	if (unshare(CLONE_NEWNET) == 0)
		ready = 1;
	if (write(c->tell, &ready, 1) != 1 || !ready || read(c->stay, &ready, 1) != 1)
		return;
	if (fn)
		fn(arg);
	(void)!read(c->stay, &ready, 1); /* until the other end is closed */
}

/* Starts a process in a new network namespace; fn runs in it once container_go() was called. */
static bool container_start(struct container *c, void (*fn)(void *arg), void *arg)
{
	int tell[2], stay[2];
	char ready = 0;

	memset(c, 0, sizeof(*c));
	if (pipe2(tell, O_CLOEXEC) < 0)
		return false;
	if (pipe2(stay, O_CLOEXEC) < 0) {
		close(tell[0]);
		close(tell[1]);
		return false;
	}
	fflush(NULL);
	c->pid = fork();
	if (c->pid == 0) {
		close(tell[0]);
		close(stay[1]);
		c->tell = tell[1];
		c->stay = stay[0];
		init_of(c, fn, arg);
		_exit(0);
	}
	close(tell[1]);
	close(stay[0]);
	c->tell = tell[0];
	c->stay = stay[1];
	snprintf(c->path, sizeof(c->path), "/proc/%d/ns/net", (int)c->pid);
	return c->pid > 0 && read(c->tell, &ready, 1) == 1 && ready;
}

static bool container_go(struct container *c)
{
	return write(c->stay, "g", 1) == 1;
}

static void container_end(struct container *c)
{
	if (c->pid <= 0)
		return;
	close(c->stay);
	close(c->tell);
	end_process(c->pid);
	c->pid = 0;
}

static int container_register(struct sva_admin *admin, const struct container *c, const char *id)
{
	struct sva_registration reg = {
		.size = sizeof(reg),
		.attachment = { .network = "bench", .container_id = id, .ifname = "eth0" },
		.by = "svad-bench"
	};
	struct sva_netns ns = { .size = sizeof(ns) };
	int r;

	r = sva_netns_identify(c->path, &ns);
	if (r < 0)
		return r;
	reg.pid = c->pid;
	reg.netns_cookie = ns.cookie;
	reg.netns_dev = ns.dev;
	reg.netns_inode = ns.inode;
	reg.netns_path = c->path;
	return sva_admin_register(admin, &reg, NULL);
}

/* Containers that nobody is in. svad looks for dead ones by itself only when it is told to, and here it is
 * not. */
static int register_many(struct sva_admin *admin, unsigned n)
{
	struct sva_netns own = { .size = sizeof(own) };
	int r = sva_netns_identify(NULL, &own);

	for (unsigned i = 0; r >= 0 && i < n; i++) {
		struct sva_registration reg = { .size = sizeof(reg), .by = "svad-bench" };
		char id[32];

		snprintf(id, sizeof(id), "stale-%u", i);
		reg.attachment = (struct sva_attachment){ "bench", id, "eth0" };
		reg.netns_cookie = (1ull << 48) + i;
		reg.netns_dev = own.dev;
		reg.netns_inode = 1u + i; /* below those of the kernel's */
		r = sva_admin_register(admin, &reg, NULL);
	}
	return r;
}

/* The registry of an installed svad is in /run, a tmpfs; here it is in another. */
static void state_dir(const struct live *live, char *path, size_t size)
{
	snprintf(path, size, "/dev/shm/svad-bench.%d.%zx", (int)getpid(), (size_t)live);
}

static bool daemon_start(struct bench *b, struct live *live, const char *devices)
{
	char ini[32768], state[96];

	state_dir(live, state, sizeof(state));
	snprintf(ini, sizeof(ini),
		 "log_level = err\n[containers]\nreconcile = 0\nstate_dir = %s\n[limits]\nbonds_per_client = "
		 "1000\nbonds_per_container = 10000\n[drain]\ndeadline = 30000\n%s",
		 state, devices);
	if (!live_start(live, b->builddir, b->libexecdir, ini, 1)) {
		b->failed++;
		return false;
	}
	setenv("SVAD_SOCKET", live->socket, 1);
	setenv("SVAD_ADMIN_SOCKET", live->admin, 1);
	return true;
}

static void daemon_stop(struct live *live)
{
	char command[160], state[96];

	live_stop(live, 1);
	state_dir(live, state, sizeof(state));
	snprintf(command, sizeof(command), "rm -rf %s", state);
	(void)!system(command);
}

static struct sva_admin *admin_connect(const struct live *live)
{
	struct sva_admin *admin = NULL;
	int r = sva_admin_connect(live->admin, 60000, &admin);

	if (r < 0)
		fprintf(stderr, "svad-bench: %s: %s\n", live->admin, sva_admin_strerror(NULL, r));
	return r < 0 ? NULL : admin;
}

/* ---- the plugin ----------------------------------------------------------------------------- */

/* Runs a CNI plugin as a runtime does, and returns the microseconds that it took; 0: it failed. */
static double plugin_run(const char *path, const char *command, const char *id, const char *netns,
			 const char *conf)
{
	int in[2], out, status = -1;
	size_t n = strlen(conf);
	uint64_t t;
	pid_t pid;

	if (pipe2(in, O_CLOEXEC) < 0)
		return 0;
	out = open("/dev/null", O_WRONLY | O_CLOEXEC);
	t = live_now_ns();
	pid = vfork();
	if (pid == 0) {
		dup2(in[0], 0);
		dup2(out, 1);
		dup2(out, 2);
		setenv("CNI_COMMAND", command, 1);
		setenv("CNI_CONTAINERID", id, 1);
		setenv("CNI_NETNS", netns, 1);
		setenv("CNI_IFNAME", "eth0", 1);
		setenv("CNI_PATH", CNI_DIR, 1);
		execl(path, path, (char *)NULL);
		_exit(127);
	}
	close(in[0]);
	if (write(in[1], conf, n) != (ssize_t)n)
		status = -1;
	close(in[1]);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	t = live_now_ns() - t;
	close(out);
	unsetenv("CNI_COMMAND");
	unsetenv("CNI_CONTAINERID");
	unsetenv("CNI_NETNS");
	unsetenv("CNI_IFNAME");
	unsetenv("CNI_PATH");
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? (double)t / 1e3 : 0;
}

#define PREVIOUS                                                                                             \
	"\"prevResult\":{\"cniVersion\":\"1.0.0\",\"interfaces\":[{\"name\":\"lo\",\"mac\":\"00:00:00:00:"   \
	"00:00\",\"sandbox\":\"/x\"}],"                                                                      \
	"\"ips\":[{\"address\":\"127.0.0.1/8\",\"interface\":0}],\"dns\":{}}"

static void bench_plugin(struct bench *b)
{
	static const char *const peers[] = { "loopback", "tuning" };
	struct samples add[3] = { { 0 } }, del[3] = { { 0 } };
	unsigned rounds = b->quick ? 30 : 200;
	double cheaper[2] = { NOTHING, NOTHING };
	char path[4200], conf[3][1024];
	const char *name[2] = { "", "" };
	struct container c;
	struct live live;
	bool ok = true;

	if (!daemon_start(b, &live, "[device \"one\"]\nengines = 1\n"))
		return;
	if (!container_start(&c, NULL, NULL)) {
		fprintf(stderr, "svad-bench: no network namespace: %s\n", strerror(errno));
		b->failed++;
		daemon_stop(&live);
		return;
	}
	snprintf(path, sizeof(path), "%s/sva", b->builddir);
	snprintf(conf[0], sizeof(conf[0]),
		 "{\"cniVersion\":\"1.0.0\",\"name\":\"bench\",\"type\":\"sva\",\"adminSocket\":\"%"
		 "s\"," PREVIOUS "}",
		 live.admin);
	for (unsigned p = 0; p < 2; p++)
		snprintf(conf[p + 1], sizeof(conf[0]),
			 "{\"cniVersion\":\"1.0.0\",\"name\":\"bench\",\"type\":\"%s\"," PREVIOUS "}",
			 peers[p]);
	for (unsigned i = 0; ok && i < rounds; i++)
		for (unsigned p = 0; ok && p < 3; p++) {
			char peer[64];
			const char *program = p ? peer : path;
			double a, d;

			if (p) {
				snprintf(peer, sizeof(peer), CNI_DIR "/%s", peers[p - 1]);
				if (access(peer, X_OK) < 0)
					continue;
			}
			a = plugin_run(program, "ADD", "bench-1", c.path, conf[p]);
			d = a > 0 ? plugin_run(program, "DEL", "bench-1", c.path, conf[p]) : 0;
			if (a <= 0 || d <= 0) {
				fprintf(stderr, "svad-bench: %s failed at %s\n", program,
					a > 0 ? "DEL" : "ADD");
				ok = p > 0; /* a peer that does not run here is left out */
			} else if (i) {
				sample(&add[p], a);
				sample(&del[p], d);
			}
		}
	if (!ok)
		b->failed++;
	for (unsigned k = 0; k < 2; k++)
		for (unsigned p = 1; p < 3; p++) {
			double m = median(k ? &del[p] : &add[p]);

			if (isfinite(m) && (cheaper[k] < 0 || m < cheaper[k])) {
				cheaper[k] = m;
				name[k] = peers[p - 1];
			}
		}
	row("plugin ADD, beside the cheaper of loopback and tuning", "us", ok ? median(&add[0]) : NOTHING,
	    cheaper[0], 2.0, true, "%s%s; svad has stored the container when ADD is over",
	    cheaper[0] < 0 ? "no peer: apt-get install containernetworking-plugins" : "", name[0]);
	row("plugin DEL, the same", "us", ok ? median(&del[0]) : NOTHING, cheaper[1], 2.0, true,
	    "%s; no bonds", name[1]);
	for (unsigned p = 0; p < 3; p++) {
		samples_free(&add[p]);
		samples_free(&del[p]);
	}
	container_end(&c);
	daemon_stop(&live);
}

/* ---- removal -------------------------------------------------------------------------------- */

struct crowd {
	unsigned processes, devices;
	int tell; /* a byte for each process whose bonds are there */
};

static void crowd_member(void *arg)
{
	const struct crowd *w = arg;
	struct sva_bond *bond;
	char name[16], ok = 1;
	struct sva *sva;
	int r;

	r = sva_connect(NULL, -1, &sva);
	for (unsigned i = 0; r >= 0 && i < w->devices; i++) {
		snprintf(name, sizeof(name), "d%u", i);
		r = sva_bind(sva, name, &bond);
	}
	if (r < 0) {
		fprintf(stderr, "svad-bench: bind: %s\n", sva_strerror(NULL, r));
		ok = 0;
	}
	(void)!write(w->tell, &ok, 1);
	for (;;)
		pause();
}

/* The container's first process, with as many others; they die with it. */
static void crowd(void *arg)
{
	struct crowd *w = arg;

	for (unsigned i = 0; i < w->processes; i++)
		(void)spawn_pinned(-1, crowd_member, w);
}

/* Milliseconds of a RemoveContainer with that many bonds; 0: failed. */
static double remove_with(struct sva_admin *admin, unsigned bonds, const char *id)
{
	struct crowd w = { .devices = bonds < 100 ? 1 : bonds < 1000 ? 10 : GROUP_DEVICES };
	const struct sva_attachment attachment = { "bench", id, "eth0" };
	struct sva_removed removed = { .size = sizeof(removed) };
	struct container c;
	uint64_t t = 0;
	int bound[2];
	bool ok;

	w.processes = bonds / w.devices;
	if (pipe2(bound, O_CLOEXEC) < 0)
		return 0;
	w.tell = bound[1];
	ok = container_start(&c, crowd, &w);
	close(bound[1]);
	ok = ok && container_register(admin, &c, id) == 0 && container_go(&c);
	for (unsigned i = 0; ok && i < w.processes; i++) {
		char one = 0;

		ok = read(bound[0], &one, 1) == 1 && one;
	}
	if (ok) {
		t = live_now_ns();
		ok = sva_admin_remove(admin, &attachment, 50000, "svad-bench", NULL, NULL, &removed) == 0;
		t = live_now_ns() - t;
		if (ok && (removed.ended != bonds || removed.clean != bonds)) {
			fprintf(stderr, "svad-bench: of %u bonds %u ended, %u are CLEAN\n", bonds,
				removed.ended, removed.clean);
			ok = false;
		}
	}
	close(bound[0]);
	container_end(&c);
	return ok ? (double)t / 1e6 : 0;
}

static void bench_remove(struct bench *b)
{
	static const unsigned sizes[] = { 1, 100, 1000 };
	struct samples took[3] = { { 0 } };
	unsigned rounds = b->quick ? 2 : 5, serial = 0;
	char devices[16384], name[64], id[32];
	struct sva_admin *admin;
	struct live live;
	double each[3];
	bool ok = true;
	size_t n = 0;
	int plain;

	(void)raise_fd_limit(65536);
	for (unsigned i = 0; i < GROUP_DEVICES; i++)
		n += (size_t)snprintf(devices + n, sizeof(devices) - n,
				      "[device \"d%u\"]\nengines = 1\nportal = no\n", i);
	if (!daemon_start(b, &live, devices))
		return;
	admin = admin_connect(&live);
	plain = live_connect(live.admin, "svad-bench");
	for (unsigned i = 0; ok && i < rounds; i++)
		for (unsigned s = 0; ok && s < 3; s++)
			for (unsigned k = 0; ok && k < (sizes[s] <= 100 ? 10u : 1u); k++) {
				double t;

				snprintf(id, sizeof(id), "crowd-%u", serial++);
				t = admin ? remove_with(admin, sizes[s], id) : 0;
				ok = t > 0;
				if (ok)
					sample(&took[s], t);
				settle(plain);
			}
	if (!ok)
		b->failed++;
	for (unsigned s = 0; s < 3; s++) {
		each[s] = took[s].n ? median(&took[s]) * 1e3 / sizes[s] : NOTHING;
		snprintf(name, sizeof(name), "RemoveContainer with %u bond%s", sizes[s], s ? "s" : "");
		row(name, "ms", took[s].n ? median(&took[s]) : NOTHING, NOTHING, NO_REACH, true,
		    "to its answer, all CLEAN; %.2f us a bond", each[s]);
	}
	row("cost of a bond's end, of 1,000 beside of 100", "us", each[2], each[1], 1.5, true,
	    "bonds without portals");
	for (unsigned s = 0; s < 3; s++)
		samples_free(&took[s]);
	sva_admin_disconnect(admin);
	close(plain);
	daemon_stop(&live);
}

/* ---- a thousand others ---------------------------------------------------------------------- */

struct binder {
	int ask, answer; /* a byte for a bind; the microseconds that it took */
};

static void binder(void *arg)
{
	const struct binder *w = arg;
	struct sva *sva = NULL;
	int r = sva_connect(NULL, -1, &sva);
	char c;

	while (read(w->ask, &c, 1) == 1) {
		struct sva_bond *bond = NULL;
		uint64_t t = live_now_ns();
		double us;

		if (r >= 0)
			r = sva_bind(sva, "one", &bond);
		us = r < 0 ? 0 : (double)(live_now_ns() - t) / 1e3;
		if (r < 0)
			fprintf(stderr, "svad-bench: bind: %s\n", sva_strerror(sva, r));
		else
			sva_unbind(bond, SVA_STATE_NONE);
		if (write(w->answer, &us, sizeof(us)) != (ssize_t)sizeof(us))
			break;
	}
}

/* An svad with a container in which somebody binds when asked to. */
struct side {
	struct live live;
	struct sva_admin *admin;
	struct container container;
	struct binder binder;
	int ask[2], answer[2];
	bool running;
	struct samples took;
};

static bool side_start(struct bench *b, struct side *s)
{
	memset(s, 0, sizeof(*s));
	if (pipe2(s->ask, O_CLOEXEC) < 0 || pipe2(s->answer, O_CLOEXEC) < 0)
		return false;
	s->binder = (struct binder){ .ask = s->ask[0], .answer = s->answer[1] };
	s->running = daemon_start(b, &s->live, "[device \"one\"]\nengines = 1\nportal = no\n");
	s->admin = s->running ? admin_connect(&s->live) : NULL;
	return s->admin && container_start(&s->container, binder, &s->binder) &&
	       container_register(s->admin, &s->container, "binder") == 0 && container_go(&s->container);
}

static void side_stop(struct side *s)
{
	container_end(&s->container);
	sva_admin_disconnect(s->admin);
	for (unsigned i = 0; i < 2; i++) {
		close(s->ask[i]);
		close(s->answer[i]);
	}
	if (s->running)
		daemon_stop(&s->live);
	samples_free(&s->took);
}

/* Some binds and their ends. False: failed. */
static bool side_binds(struct side *s, unsigned n, bool keep)
{
	double us;

	for (unsigned i = 0; i < n; i++) {
		if (write(s->ask[1], "b", 1) != 1 ||
		    read(s->answer[0], &us, sizeof(us)) != (ssize_t)sizeof(us) || us <= 0)
			return false;
		if (keep)
			sample(&s->took, us);
	}
	return true;
}

/* Two svads, one of which has a thousand other containers; binds take turns. */
static void bench_many(struct bench *b)
{
	unsigned turns = b->quick ? 100 : 500, rounds = b->quick ? 2 : 5;
	struct samples gc = { 0 }, add = { 0 };
	struct side alone, among;
	char conf[1024], path[4200];
	bool ok;

	ok = side_start(b, &alone);
	ok = side_start(b, &among) && ok; /* both, so that both can be stopped */
	if (ok && register_many(among.admin, MANY) < 0) {
		fprintf(stderr, "svad-bench: %s\n", sva_admin_strerror(among.admin, 0));
		ok = false;
	}
	for (unsigned i = 0; ok && i < turns; i++)
		ok = side_binds(&alone, 5, i) && side_binds(&among, 5, i);
	snprintf(path, sizeof(path), "%s/sva", b->builddir);
	snprintf(conf, sizeof(conf),
		 "{\"cniVersion\":\"1.1.0\",\"name\":\"bench\",\"type\":\"sva\",\"adminSocket\":\"%s\","
		 "\"timeout\":"
		 "\"60s\",\"delTimeout\":\"60s\","
		 "\"cni.dev/valid-attachments\":[{\"containerID\":\"binder\",\"ifname\":\"eth0\"}]}",
		 among.live.admin);
	for (unsigned i = 0; ok && i < rounds; i++) {
		double us = plugin_run(path, "GC", "", "", conf);
		uint64_t t = live_now_ns();

		sample(&gc, us / 1e3);
		ok = us > 0 && register_many(among.admin, MANY) >= 0;
		sample(&add, (double)(live_now_ns() - t) / 1e6);
	}
	if (!ok) {
		fprintf(stderr, "svad-bench: a thousand containers: failed\n");
		b->failed++;
	}
	row("bind in a container, with 1,000 others beside alone, p50", "us", median(&among.took),
	    median(&alone.took), 1.1, true, "sva_bind() to its return");
	row("the same, p99", "us", percentile(&among.took, 99), percentile(&alone.took, 99), NO_REACH, true,
	    " ");
	row("GC of 1,000 that are not valid, beside registering them", "ms", median(&gc), median(&add),
	    NO_REACH, true, "the plugin's GC, one process; registered one after another");
	samples_free(&gc);
	samples_free(&add);
	side_stop(&alone);
	side_stop(&among);
}

void bench_containers(struct bench *b)
{
	if (geteuid() != 0) {
		row("containers", "", NOTHING, NOTHING, NO_REACH, true,
		    "needs root: network namespaces are made");
		return;
	}
	bench_plugin(b);
	bench_remove(b);
	bench_many(b);
	bench_podman(b);
}
