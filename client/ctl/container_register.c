// SPDX-License-Identifier: GPL-2.0-or-later
/* svadctl container register: by hand, or as an OCI runtime's createRuntime hook */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sva/admin.h>

#include "../../cni/removal_note.h"
#include "container.h"
#include "ctl.h"
#include "json.h"
#include "oci.h"
#include "rpc.h"

#define DEVICES_MAX 64
#define TEXT_MAX 1024

struct registration {
	Svad__V1__RegisterContainer body;
	Svad__V1__Attachment attachment;
	Svad__V1__ContainerLimits limits;
	char devices[4096], *device_list[DEVICES_MAX];
	char pod[TEXT_MAX];
	char where[64]; /* the netns, for complaints */
	struct oci_state oci;
};

static const char *netns_trouble(int error)
{
	switch (-error) {
	case ENOTTY:
		return "it is no network namespace: name a file such as /run/netns/NAME or /proc/PID/ns/net";
	case EPERM:
	case EACCES:
		return "run svadctl as root: a network namespace's cookie is told inside of it only";
	case ENOPROTOOPT:
		return "this kernel has no SO_NETNS_COOKIE (5.14 and later have): containers cannot be told "
		       "apart";
	case ENOENT:
		return "it does not exist: the process or the container has ended";
	default:
		return strerror(-error);
	}
}

/* The netns of path, or of a process. *ret_own: it is svadctl's own. */
static int identify(struct registration *g, const char *path, int32_t pid, bool *ret_own)
{
	struct sva_netns netns = { .size = sizeof(netns) };
	int r;

	if (!path)
		snprintf(g->where, sizeof(g->where), "/proc/%d/ns/net", pid);
	r = sva_netns_identify(path ? path : g->where, &netns);
	if (r < 0) {
		ctl_error("%s: %s", path ? path : g->where, netns_trouble(r));
		return CTL_FAILED;
	}
	g->body.netns_cookie = netns.cookie;
	g->body.netns_dev = netns.dev;
	g->body.netns_inode = netns.inode;
	*ret_own = netns.own;
	return CTL_OK;
}

static int set_pod(const struct ctl *ctl, struct registration *g, const char *pod)
{
	char *slash;

	snprintf(g->pod, sizeof(g->pod), "%s", pod);
	slash = strchr(g->pod, '/');
	if (strlen(pod) >= sizeof(g->pod) || !slash || slash == g->pod || !slash[1] || strchr(slash + 1, '/'))
		return ctl_usage(ctl, "--pod: \"%s\" is not NAMESPACE/NAME", pod);
	*slash = 0;
	g->body.pod_namespace = g->pod;
	g->body.pod_name = slash + 1;
	return CTL_GO;
}

static int set_devices(const struct ctl *ctl, struct registration *g, const char *devices)
{
	int n;

	snprintf(g->devices, sizeof(g->devices), "%s", devices);
	n = strlen(devices) < sizeof(g->devices) ? container_split(g->devices, g->device_list, DEVICES_MAX)
						 : -1;
	if (n < 0)
		return ctl_usage(ctl, "--devices: at most %d patterns of device names", DEVICES_MAX);
	if (!n)
		return ctl_usage(ctl, "--devices: name devices, as in sim*,accel0; without the option it is "
				      "what policy allows");
	g->body.devices = g->device_list;
	g->body.n_devices = (size_t)n;
	return CTL_GO;
}

static int print(const struct ctl *ctl, const struct registration *g,
		 const Svad__V1__RegisterContainerReply *reply)
{
	if (ctl->json) {
		json_t *o = json_object(), *devices = json_array();

		json_add_str(o, "name", g->attachment.container_id);
		json_add_str(o, "network", g->attachment.network);
		json_add_str(o, "ifname", g->attachment.ifname);
		json_add_u64(o, "container", reply->container);
		json_add_bool(o, "existed", reply->existed);
		json_add_u64(o, "netns_cookie", g->body.netns_cookie);
		json_add_u64(o, "netns_inode", g->body.netns_inode);
		for (size_t i = 0; i < reply->n_devices; i++)
			json_array_append_new(devices, json_string(reply->devices[i]));
		json_add(o, "devices", devices);
		return json_print(o, false);
	}
	printf("container %s %s, netns cookie %llu; devices:", g->attachment.container_id,
	       reply->existed ? "registered again" : "registered", (unsigned long long)g->body.netns_cookie);
	for (size_t i = 0; i < reply->n_devices; i++)
		printf(" %s", reply->devices[i]);
	printf(reply->n_devices ? "\n" : " none that policy and --devices allow\n");
	return CTL_OK;
}

static int ask(const struct ctl *ctl, struct registration *g)
{
	rpc_request req = SVAD__V1__REQUEST__INIT;
	const rpc_reply *reply;
	struct rpc *rpc;
	int r;

	r = rpc_open(ctl, &rpc);
	if (r)
		return r;
	g->body.attachment = &g->attachment;
	g->body.limits = &g->limits;
	req.body_case = SVAD__V1__REQUEST__BODY_REGISTER_CONTAINER;
	req.register_container = &g->body;
	r = rpc_call(rpc, &req, &reply);
	if (!r)
		r = print(ctl, g, reply->register_container);
	rpc_close(rpc);
	return r;
}

/* A container of that name that ended while svad was down may have left a note: svad must not end this one
 * for it. */
static int drop_note(const struct ctl *ctl, const struct registration *g, const char *state_dir)
{
	char dir[4096];
	int r;

	if (!state_dir)
		state_dir = container_runtime_path(ctl, "state", dir, sizeof(dir));
	r = removal_note_drop(state_dir, g->attachment.network, g->attachment.container_id,
			      g->attachment.ifname);
	if (r >= 0 || r == -ENOENT || r == -EACCES)
		return CTL_OK;
	ctl_error("%s/removed has a note of an earlier container of this name that cannot be removed: %s",
		  state_dir, strerror(-r));
	return CTL_FAILED;
}

static int oci_target(struct registration *g)
{
	char why[256];

	if (!oci_read_state(STDIN_FILENO, &g->oci, why, sizeof(why))) {
		ctl_error("the container's state on stdin cannot be used: %s", why);
		return CTL_FAILED;
	}
	if (!g->oci.pid) {
		ctl_error("container %s has no process%s%s: this is for a createRuntime hook", g->oci.id,
			  *g->oci.status ? ", it is " : "", g->oci.status);
		return CTL_FAILED;
	}
	g->attachment.container_id = g->oci.id;
	g->body.pid = g->oci.pid;
	return CTL_OK;
}

int cmd_container_register(struct ctl *ctl, int argc, char **argv)
{
	static char by_oci[] = "oci", by_hand[] = "svadctl", none[] = "";
	struct registration g = { .body = SVAD__V1__REGISTER_CONTAINER__INIT,
				  .attachment = SVAD__V1__ATTACHMENT__INIT,
				  .limits = SVAD__V1__CONTAINER_LIMITS__INIT };
	const char *id = NULL, *netns = NULL, *pid = NULL, *devices = NULL, *limits = NULL, *network = NULL,
		   *ifname = NULL, *pod = NULL, *pod_uid = NULL, *state_dir = NULL;
	bool oci = false, own = false;
	const struct ctl_option options[] = {
		{ "id", 0, "ID", "the container's id", NULL, &id },
		{ "netns", 0, "PATH", "its network namespace: /run/netns/NAME, /proc/PID/ns/net", NULL,
		  &netns },
		{ "pid", 0, "PID", "or a process in it", NULL, &pid },
		{ "oci", 0, NULL, "as a createRuntime hook: id and pid are in the state on stdin", &oci,
		  NULL },
		{ "devices", 0, "GLOBS", "devices that it may use: sim*,accel0", NULL, &devices },
		{ "limits", 0, "LIMITS", "bonds=N,connections=N,requests=N,deadline=TIME", NULL, &limits },
		{ "network", 0, "NAME", "of the attachment; default svadctl, with --oci oci", NULL,
		  &network },
		{ "ifname", 0, "NAME", "of the attachment; default none", NULL, &ifname },
		{ "pod", 0, "NS/NAME", "the pod, for policies that name pods", NULL, &pod },
		{ "pod-uid", 0, "UID", "and its uid", NULL, &pod_uid },
		{ "state-dir", 0, "DIR", "svad's, where a note of an earlier removal may lie", NULL,
		  &state_dir },
		CTL_OPTIONS_END,
	};
	uint64_t v = 0;
	char why[300];
	int r;

	r = ctl_parse(ctl, argc, argv, options, NULL, 0, 0);
	if (r != CTL_GO)
		return r;
	if (oci ? id || netns || pid : !id || !netns == !pid)
		return ctl_usage(
			ctl, "name the container by --id and one of --netns and --pid, or by --oci alone");
	if (id && !oci_valid_id(id))
		return ctl_usage(
			ctl,
			"--id: \"%s\" is not 1 to 255 letters, digits, \"_\", \".\" and \"-\" that begin "
			"with a letter or digit",
			id);
	if (pid && (!ctl_u64(pid, &v) || !v || v > INT32_MAX))
		return ctl_usage(ctl, "--pid: \"%s\" is no process id", pid);
	if (network && !oci_valid_id(network))
		return ctl_usage(ctl, "--network: \"%s\" is no name of a network", network);
	if (ifname && oci)
		return ctl_usage(ctl, "--ifname does not go with --oci: remove --oci, which ends what this "
				      "registers, names none");
	if (ifname && (strlen(ifname) > 15 || strchr(ifname, '/')))
		return ctl_usage(ctl, "--ifname: \"%s\" is no name of an interface", ifname);
	if (limits && !container_limits(limits, &g.limits, why, sizeof(why)))
		return ctl_usage(ctl, "--limits: %s", why);
	if (pod_uid && !pod)
		return ctl_usage(ctl, "--pod-uid goes with --pod");
	r = pod ? set_pod(ctl, &g, pod) : CTL_GO;
	if (r == CTL_GO && devices)
		r = set_devices(ctl, &g, devices);
	if (r != CTL_GO)
		return r;
	g.body.pid = (int32_t)v;
	g.body.by = oci ? by_oci : by_hand;
	g.body.pod_uid = pod_uid ? (char *)pod_uid : none;
	g.attachment.network = network ? (char *)network : g.body.by;
	g.attachment.container_id = (char *)id;
	g.attachment.ifname = ifname ? (char *)ifname : none;
	if (netns)
		g.body.netns_path = (char *)netns;
	r = oci ? oci_target(&g) : CTL_OK;
	if (!r)
		r = identify(&g, netns, g.body.pid, &own);
	if (r)
		return r;
	if (own && oci) {
		/* A hook is told of every container; one of the host's network is no reason not to start it.
		 */
		ctl_error(
			"container %s uses the host's network: not registered, svad takes its processes for "
			"the host's",
			g.oci.id);
		return CTL_OK;
	}
	r = drop_note(ctl, &g, state_dir);
	return r ? r : ask(ctl, &g);
}
