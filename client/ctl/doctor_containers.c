// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * svadctl doctor: containers. What the kernel tells svad of them, whether a runtime tells svad of them, and
 * whether what is mounted into them is svad's socket of now. A machine without containers has nothing to mend
 * here, so nothing in this section keeps a backend from serving.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cdi.h"
#include "cgroup.h"
#include "container.h"
#include "doctor.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif
/* <linux/pidfd.h> of kernels since 6.11 */
#ifndef PIDFD_GET_NET_NAMESPACE
#define PIDFD_GET_NET_NAMESPACE _IO(0xFF, 4)
#endif

#define SAY(level, id, remedy, ...) doctor_say(d, SECTION_CONTAINERS, level, id, remedy, __VA_ARGS__)

/* ---- the kernel ---- */

static void probe_cookie(struct doctor *d)
{
	uint64_t cookie = 0;
	socklen_t size = sizeof(cookie);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (fd >= 0 && !getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size))
		SAY(LEVEL_OK, "netns-cookie", NULL,
		    "SO_NETNS_COOKIE works: a client's socket tells its container");
	else
		SAY(LEVEL_WARN, "netns-cookie", "a kernel of 5.14 or later",
		    "no SO_NETNS_COOKIE (%s): containers cannot be told apart; their processes are clients "
		    "like "
		    "the host's",
		    strerror(errno));
	if (fd >= 0)
		close(fd);
}

static void probe_pidfd_netns(struct doctor *d)
{
	int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	int netns = fd >= 0 ? ioctl(fd, PIDFD_GET_NET_NAMESPACE, 0) : -1;

	if (netns >= 0)
		SAY(LEVEL_OK, "pidfd-netns", NULL,
		    "PIDFD_GET_NET_NAMESPACE works: a client's process is checked against its socket");
	else
		SAY(LEVEL_INFO, "pidfd-netns", "a kernel of 6.11 or later checks by pidfd",
		    "no PIDFD_GET_NET_NAMESPACE (%s): svad looks at /proc/PID/ns/net while the pidfd lives",
		    strerror(errno));
	if (netns >= 0)
		close(netns);
	if (fd >= 0)
		close(fd);
}

static void probe_cgroups(struct doctor *d, const struct machine *m)
{
	const char *root;

	switch (cgroup_layout(m, &root)) {
	case CGROUP_UNIFIED:
		SAY(LEVEL_OK, "cgroups", NULL, "cgroups are unified (version 2)");
		break;
	case CGROUP_HYBRID:
		SAY(LEVEL_INFO, "cgroups",
		    "runc and podman need nothing; crun: run it with /sys/fs/cgroup/unified unmounted, or "
		    "boot "
		    "with "
		    "systemd.unified_cgroup_hierarchy=1",
		    "cgroups are hybrid (version 1, with 2 beside it)");
		break;
	case CGROUP_V1:
		SAY(LEVEL_INFO, "cgroups", NULL,
		    "cgroups are of version 1: svadctl container show cannot name a container's cgroups");
		break;
	default:
		SAY(LEVEL_INFO, "cgroups", NULL, "no cgroups are mounted at /sys/fs/cgroup");
	}
}

/* ---- the daemon ---- */

struct count {
	unsigned all, stuck;
	char stuck_name[80];
};

static int count(void *userdata, const Svad__V1__Container *c)
{
	struct count *n = userdata;

	if (c->state == SVAD__V1__CONTAINER_STATE__CONTAINER_ACTIVE)
		n->all++;
	if (c->quarantined && !n->stuck++)
		snprintf(n->stuck_name, sizeof(n->stuck_name), "%s", c->name);
	return CTL_OK;
}

static unsigned probe_registry(struct doctor *d, struct rpc *rpc)
{
	Svad__V1__ListContainers filter = SVAD__V1__LIST_CONTAINERS__INIT;
	struct count n = { 0 };
	char remedy[160];

	filter.removed = true;
	if (rpc_containers(rpc, &filter, count, &n)) {
		SAY(LEVEL_WARN, "registry", "svad's log says more: journalctl -u svad",
		    "svad does not tell its containers: %s", rpc_error(rpc));
		return 0;
	}
	SAY(LEVEL_OK, "registry", NULL, "%u container%s registered", n.all, n.all == 1 ? " is" : "s are");
	if (n.stuck) {
		snprintf(remedy, sizeof(remedy), "svadctl quarantine list --container %s", n.stuck_name);
		SAY(LEVEL_WARN, "stuck", remedy, "%u container%s quarantined bonds, %s the first", n.stuck,
		    n.stuck == 1 ? " has" : "s have", n.stuck_name);
	}
	return n.all;
}

/* ret: the counter's value. False: this svad has no such counter. */
static bool counter(const Svad__V1__StatsReply *stats, const char *name, uint64_t *ret)
{
	for (size_t i = 0; i < stats->n_counters; i++)
		if (!strcmp(stats->counters[i]->name, name)) {
			*ret = stats->counters[i]->value;
			return true;
		}
	return false;
}

static void probe_care(struct doctor *d, struct rpc *rpc)
{
	Svad__V1__GetStats body = SVAD__V1__GET_STATS__INIT;
	rpc_request req = SVAD__V1__REQUEST__INIT;
	const Svad__V1__StatsReply *stats;
	const rpc_reply *reply;
	uint64_t n, every = 0;

	req.body_case = SVAD__V1__REQUEST__BODY_GET_STATS;
	req.get_stats = &body;
	if (rpc_call(rpc, &req, &reply))
		return;
	stats = reply->get_stats;
	if (counter(stats, "svad_store_failures_total", &n) && n)
		SAY(LEVEL_WARN, "store",
		    "[containers] state_dir must be writable for root, and have room; svad's log says why: "
		    "journalctl -u svad",
		    "the registry of containers could not be stored %llu times: registrations were refused",
		    (unsigned long long)n);
	if (counter(stats, "svad_store_damaged_total", &n) && n)
		SAY(LEVEL_WARN, "store-damaged",
		    "start again those containers that cannot bind; the damaged file is kept beside it",
		    "%llu stored containers were lost to damage of the file", (unsigned long long)n);
	if (counter(stats, "svad_containers_removed", &n) && n)
		SAY(LEVEL_INFO, "tombstones", "svadctl container list --removed",
		    "%llu removed container%s not gone yet: what still runs in the network namespace is "
		    "refused, or a bond is "
		    "quarantined",
		    (unsigned long long)n, n == 1 ? " is" : "s are");
	if (!counter(stats, "svad_reconcile_failing", &n))
		return;
	if (n)
		SAY(LEVEL_WARN, "reconciler",
		    "svadctl container reconcile says why; the service needs CAP_SYS_PTRACE and the host's "
		    "/proc",
		    "svad cannot see which network namespaces are dead: containers whose runtime forgets DEL "
		    "stay "
		    "registered");
	else if (counter(stats, "svad_reconcile_interval_seconds", &every) && !every)
		SAY(LEVEL_INFO, "reconciler", "[containers] reconcile = 10s in svad.conf",
		    "svad does not look for dead network namespaces by itself (reconcile = 0)");
	else
		SAY(LEVEL_OK, "reconciler", NULL, "svad finds dead network namespaces by itself");
}

/* What is mounted into containers must be the socket that svad listens on now: one from before a restart is
 * nobody's. */
static void probe_link(struct doctor *d, const struct ctl *ctl, struct rpc *rpc)
{
	Svad__V1__GetStatus body = SVAD__V1__GET_STATUS__INIT;
	rpc_request req = SVAD__V1__REQUEST__INIT;
	const rpc_reply *reply;
	char dir[4096], path[4200];
	struct stat link, socket;

	req.body_case = SVAD__V1__REQUEST__BODY_GET_STATUS;
	req.get_status = &body;
	if (rpc_call(rpc, &req, &reply))
		return;
	container_runtime_path(ctl, "containers", dir, sizeof(dir));
	snprintf(path, sizeof(path), "%s/svad.sock", dir);
	if (stat(path, &link))
		SAY(LEVEL_WARN, "socket-dir",
		    "[containers] socket_dir in svad.conf must be on the file system of the socket; svad's "
		    "log "
		    "says why",
		    "%s, which containers mount, has no socket of svad's: %s", dir, strerror(errno));
	else if (stat(reply->get_status->socket, &socket))
		SAY(LEVEL_UNKNOWN, "socket-dir", NULL, "%s: %s", reply->get_status->socket, strerror(errno));
	else if (link.st_dev != socket.st_dev || link.st_ino != socket.st_ino)
		SAY(LEVEL_WARN, "socket-dir", "restart svad, which makes the link anew",
		    "%s is not the socket that svad listens on (%s)", path, reply->get_status->socket);
	else
		SAY(LEVEL_OK, "socket-dir", NULL, "%s is svad's socket, for containers to mount %s", path,
		    dir);
}

/* ---- CDI ---- */

struct cdi {
	struct doctor *d;
	const char *dir;
	bool any;
};

static int cdi_item(void *userdata, const struct cdi_found *f)
{
	struct cdi *c = userdata;
	struct doctor *d = c->d;
	char remedy[PATH_MAX + 64];
	const char *slash = strrchr(f->file, '/');

	c->any = true;
	snprintf(remedy, sizeof(remedy), "svadctl cdi generate --output %.*s",
		 slash ? (int)(slash - f->file) : 1, slash ? f->file : ".");
	if (*f->trouble)
		SAY(LEVEL_WARN, "cdi", remedy, "%s: %s", f->file, f->trouble);
	else if (strcmp(f->host_dir, c->dir))
		SAY(LEVEL_WARN, "cdi", remedy, "%s gives containers %s, but svad's socket for them is in %s",
		    f->file, f->host_dir, c->dir);
	else
		SAY(LEVEL_OK, "cdi", NULL, "%s gives containers svad's socket: --device %s", f->file,
		    f->device);
	return 0;
}

static void probe_cdi(struct doctor *d, const struct ctl *ctl)
{
	char dir[4096];
	struct cdi c = { .d = d, .dir = container_runtime_path(ctl, "containers", dir, sizeof(dir)) };

	cdi_each(NULL, cdi_item, &c);
	if (!c.any)
		SAY(LEVEL_INFO, "cdi", "svadctl cdi generate --output /etc/cdi",
		    "no CDI file of svad's: containers mount its socket by hand (-v), or not at all");
}

void doctor_containers(struct doctor *d, const struct ctl *ctl, const struct machine *m, struct rpc *rpc)
{
	unsigned registered = 0;

	probe_cookie(d);
	probe_pidfd_netns(d);
	probe_cgroups(d, m);
	if (rpc) {
		registered = probe_registry(d, rpc);
		probe_care(d, rpc);
		probe_link(d, ctl, rpc);
	}
	doctor_runtimes(d, m, registered > 0);
	probe_cdi(d, ctl);
}
