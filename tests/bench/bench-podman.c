/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A container of podman is killed: when is its last PASID CLEAN, and when does the runtime's own DEL come?
 * Both are told by the administrator's watch, with svad's time stamps.
 */
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sva/sva.h>

#include "bench-containers.h"

#define EVENT_MS 60000 /* for a runtime on a busy machine */

struct podman {
	char dir[64], name[64];
	char *builddir; /* absolute: it is mounted */
	const struct live *live;
};

static bool run(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static bool run(const char *fmt, ...)
{
	char command[8192];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(command, sizeof(command), fmt, ap);
	va_end(ap);
	return system(command) == 0;
}

static bool write_file(const char *dir, const char *name, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static bool write_file(const char *dir, const char *name, const char *fmt, ...)
{
	char path[256];
	va_list ap;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "we");
	if (!f)
		return false;
	va_start(ap, fmt);
	vfprintf(f, fmt, ap);
	va_end(ap);
	return fclose(f) == 0;
}

static bool prepare(struct podman *p)
{
	if (!p->builddir || !mkdtemp(p->dir))
		return false;
	return run("cd %s && mkdir -p net.d root run tmp rootfs/usr rootfs/proc rootfs/sys rootfs/dev "
		   "rootfs/etc rootfs/run/svad rootfs/svad "
		   "rootfs/tmp && for d in bin lib lib64 sbin; do ln -s usr/$d rootfs/$d; done",
		   p->dir) &&
	       write_file(p->dir, "net.d/sva.conflist",
			  "{\"cniVersion\":\"1.0.0\",\"name\":\"sva-bench\",\"plugins\":[{\"type\":"
			  "\"loopback\"},"
			  "{\"type\":\"sva\",\"adminSocket\":\"%s\"}]}\n",
			  p->live->admin) &&
	       write_file(
		       p->dir, "containers.conf",
		       "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", "
		       "\"nproc=1024:1024\"]\nlog_driver = \"k8s-file\"\n"
		       "[engine]\nevents_logger = \"file\"\ncgroup_manager = \"cgroupfs\"\nruntime = "
		       "\"runc\"\n"
		       "[network]\nnetwork_backend = \"cni\"\ncni_plugin_dirs = [\"%s\", \"/usr/lib/cni\"]\n"
		       "network_config_dir = \"%s/net.d\"\n",
		       p->builddir, p->dir);
}

static bool podman(const struct podman *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static bool podman(const struct podman *p, const char *fmt, ...)
{
	char words[4096];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(words, sizeof(words), fmt, ap);
	va_end(ap);
	return run("CONTAINERS_CONF=%s/containers.conf TMPDIR=%s/tmp timeout 120 podman --root %s/root "
		   "--runroot %s/run "
		   "--storage-driver vfs %s >>%s/log 2>&1 </dev/null",
		   p->dir, p->dir, p->dir, p->dir, words, p->dir);
}

int bench_podman_victim(void)
{
	struct sva_bond *bond;
	struct sva *sva;
	int r;

	r = sva_connect(NULL, -1, &sva);
	if (r >= 0)
		r = sva_bind(sva, "one", &bond);
	if (r < 0) {
		fprintf(stderr, "svad-bench: in the container: %s\n", sva_strerror(NULL, r));
		return 1;
	}
	for (;;)
		pause();
}

/* The next event of that kind; bond 0: of any. False: it did not come. */
static bool await_event(int watch, Svad__V1__EventKind kind, Svad__V1__Event *ret)
{
	uint64_t deadline = live_now_ns() + EVENT_MS * 1000000ull;
	Svad__V1__Reply *reply;

	while (live_now_ns() < deadline && live_receive(watch, EVENT_MS, &reply) == 0)
		if (reply->body_case == SVAD__V1__REPLY__BODY_EVENT && reply->event->kind == kind) {
			*ret = *reply->event; /* its strings are not kept */
			return true;
		}
	return false;
}

static int watch_start(const struct live *live)
{
	Svad__V1__Watch body = SVAD__V1__WATCH__INIT;
	Svad__V1__Request request = SVAD__V1__REQUEST__INIT;
	Svad__V1__Reply *reply;
	int fd = live_connect(live->admin, "svad-bench");

	request.body_case = SVAD__V1__REQUEST__BODY_WATCH;
	request.watch = &body;
	if (fd >= 0 && live_call(fd, &request, 10000, &reply)) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Milliseconds from the kill to CLEAN and to DEL. */
static bool kill_once(struct podman *p, unsigned i, double *ret_clean, double *ret_del)
{
	Svad__V1__Event bound, clean, removed;
	int watch = watch_start(p->live);
	bool ok = false;
	uint64_t t;

	snprintf(p->name, sizeof(p->name), "svad-bench-%d-%u", (int)getpid(), i);
	if (watch >= 0 &&
	    podman(p,
		   "run -d --name %s --network sva-bench -v /usr:/usr:ro -v %s:/svad:ro -v "
		   "%s/containers:/run/svad:ro "
		   "-e SVAD_SOCKET=/run/svad/svad.sock --rootfs %s/rootfs /svad/svad-bench --victim",
		   p->name, p->builddir, p->live->dir, p->dir) &&
	    await_event(watch, SVAD__V1__EVENT_KIND__EVENT_BOUND, &bound) && bound.pid > 1) {
		t = live_now_ns();
		kill(bound.pid, SIGKILL);
		ok = await_event(watch, SVAD__V1__EVENT_KIND__EVENT_CLEAN, &clean) &&
		     await_event(watch, SVAD__V1__EVENT_KIND__EVENT_CONTAINER_REMOVED, &removed);
		if (ok) {
			*ret_clean = (double)(clean.monotonic_ns - t) / 1e6;
			*ret_del = (double)(removed.monotonic_ns - t) / 1e6;
		}
	}
	if (watch >= 0)
		close(watch);
	podman(p, "rm -f %s", p->name);
	return ok;
}

void bench_podman(struct bench *b)
{
	struct podman p = { .dir = "/tmp/svad-bench-podman.XXXXXX" };
	unsigned rounds = b->quick ? 3 : 20;
	struct samples clean = { 0 }, del = { 0 };
	struct live live;
	bool ok;

	if (!run("command -v podman >/dev/null && command -v runc >/dev/null && test -x "
		 "/usr/lib/cni/loopback")) {
		row("podman: kill to the last PASID CLEAN", "ms", NOTHING, NOTHING, NO_REACH, true,
		    "needs podman, runc and containernetworking-plugins");
		return;
	}
	if (!live_start(&live, b->builddir, b->libexecdir,
			"log_level = err\n[containers]\nreconcile = 0\n[device \"one\"]\nengines = 1\n", 1)) {
		b->failed++;
		return;
	}
	p.live = &live;
	p.builddir = realpath(b->builddir, NULL);
	ok = prepare(&p);
	for (unsigned i = 0; ok && i < rounds + 1; i++) {
		double c = 0, d = 0;

		ok = kill_once(&p, i, &c, &d);
		if (ok && i) {
			sample(&clean, c);
			sample(&del, d);
		}
	}
	if (!ok) {
		fprintf(stderr, "svad-bench: podman: failed; what it said:\n");
		run("tail -n 20 %s/log >&2", p.dir);
		b->failed++;
	}
	row("podman: kill to last PASID CLEAN, beside kill to its DEL, p50", "ms", median(&clean),
	    median(&del), 1.0, true, "%zu kills; both as svad sees them", clean.n);
	row("the same, p90", "ms", percentile(&clean, 90), percentile(&del, 90), NO_REACH, true, " ");
	row("the same, the shortest DEL beside the longest CLEAN", "ms", percentile(&clean, 100),
	    percentile(&del, 0), NO_REACH, true, "below 1: never was svad second");
	samples_free(&clean);
	samples_free(&del);
	live_stop(&live, 1);
	run("rm -rf %s", p.dir);
	free(p.builddir);
}
