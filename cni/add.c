// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <string.h>

#include "plugin.h"
#include "removal_note.h"

static int netns_failed(struct plugin *p, int r)
{
	switch (r) {
	case -ENOENT:
	case -ENOTTY:
	case -ENOTDIR:
	case -ESRCH:
		return plugin_fail(p, CNI_INVALID_ENVIRONMENT, strerror(-r),
				   "CNI_NETNS: %.255s is no network namespace", p->netns);
	case -ENOPROTOOPT:
		return plugin_fail(p, CNI_NO_NETNS, NULL,
				   "the kernel tells no netns cookie, which identifies a container: Linux "
				   "5.14 or later is needed");
	case -EPERM:
	case -EACCES:
		return plugin_fail(
			p, CNI_NO_NETNS, strerror(-r),
			"CNI_NETNS: no permission to enter %.255s; the runtime must run this plugin as root",
			p->netns);
	default:
		return plugin_fail(p, CNI_NO_NETNS, strerror(-r), "CNI_NETNS: %.255s cannot be identified",
				   p->netns);
	}
}

static int identify(struct plugin *p, struct sva_netns *netns)
{
	int r;

	*netns = (struct sva_netns){ .size = sizeof(*netns) };
	r = sva_netns_identify(p->netns, netns);
	return r < 0 ? netns_failed(p, r) : 0;
}

static int do_register(struct plugin *p, struct sva_admin *admin, const struct sva_netns *netns,
		       uint64_t until)
{
	const struct sva_registration registration = {
		.size = sizeof(registration),
		.attachment = { p->network, p->container_id, p->ifname },
		.netns_cookie = netns->cookie,
		.netns_dev = netns->dev,
		.netns_inode = netns->inode,
		.netns_path = p->netns,
		.pod_namespace = p->pod_namespace,
		.pod_name = p->pod_name,
		.pod_uid = p->pod_uid,
		.devices = p->devices,
		.n_devices = p->n_devices,
		.limits = p->limits,
		.by = "cni",
	};
	struct sva_registered registered = { .size = sizeof(registered) };
	uint64_t now = plugin_now_ms();
	int r;

	(void)sva_admin_set_timeout(admin, now < until ? (int)(until - now) : 1);
	r = sva_admin_register(admin, &registration, &registered);
	if (r < 0)
		return plugin_fail_svad(p, admin, r, "the container is not registered");
	plugin_log(p, "%s as %llu, netns cookie %llu, devices: %s%s",
		   registered.existed ? "registered again" : "registered",
		   (unsigned long long)registered.container, (unsigned long long)netns->cookie,
		   registered.n_devices ? registered.devices
					: "none that policy and this configuration allow",
		   p->prev_result ? "" : "; first in its chain");
	return 0;
}

int command_add(struct plugin *p)
{
	uint64_t until = plugin_now_ms() + (uint64_t)p->timeout_ms;
	struct sva_admin *admin = NULL;
	struct sva_netns netns;
	int r = identify(p, &netns);

	if (r)
		return r;
	if (netns.own)
		return plugin_fail(p, CNI_INVALID_ENVIRONMENT, NULL,
				   "CNI_NETNS: %.255s is this plugin's own network namespace, the host's: "
				   "its processes follow the "
				   "host's policy",
				   p->netns);
	/* One with these names was removed while svad was down, and this is another: the note is not about
	 * it. */
	r = removal_note_drop(p->state_dir, p->network, p->container_id, p->ifname);
	if (r < 0)
		plugin_log(p, "a note of an earlier removal cannot be taken back from %s/removed: %s",
			   p->state_dir, strerror(-r));
	r = sva_admin_connect(p->admin_socket, p->timeout_ms, &admin);
	if (r < 0)
		return plugin_fail_svad(p, NULL, r, "the container is not registered");
	r = do_register(p, admin, &netns, until);
	sva_admin_disconnect(admin);
	return r ?: result_print(p);
}

/* ---- CHECK ---- */

struct seen {
	bool found;
	uint32_t state, quarantined;
	uint64_t cookie;
};

static int see(void *userdata, const struct sva_container *c)
{
	struct seen *seen = userdata;

	*seen = (struct seen){ true, c->state, c->quarantined, c->netns_cookie };
	return 0;
}

static int judge(struct plugin *p, const struct seen *seen, const struct sva_netns *netns)
{
	if (!seen->found)
		return plugin_fail(p, CNI_NOT_ATTACHED, NULL,
				   "svad does not know this attachment: its ADD did not happen, or it was "
				   "removed since");
	if (seen->state != SVA_CONTAINER_ACTIVE)
		return plugin_fail(p, CNI_NOT_ATTACHED, NULL, "svad %s this container",
				   seen->state == SVA_CONTAINER_REMOVING ? "is removing" : "has removed");
	if (seen->cookie != netns->cookie)
		return plugin_fail(
			p, CNI_NOT_ATTACHED, NULL,
			"CNI_NETNS: %.255s is another network namespace than at ADD (cookie %llu, then %llu)",
			p->netns, (unsigned long long)netns->cookie, (unsigned long long)seen->cookie);
	if (seen->quarantined)
		return plugin_fail(p, CNI_QUARANTINED, "see `svadctl quarantine list`",
				   "%u of this container's bonds are quarantined: a device did not stop",
				   seen->quarantined);
	plugin_log(p, "attached, nothing quarantined");
	return 0;
}

int command_check(struct plugin *p)
{
	const struct sva_attachment attachment = { p->network, p->container_id, p->ifname };
	/* With those that svad remembers: that it was removed is more to say than that it is unknown. */
	const struct sva_container_filter filter = { .size = sizeof(filter),
						     .removed = 1,
						     .attachment = &attachment };
	uint64_t until = plugin_now_ms() + (uint64_t)p->timeout_ms, now;
	struct seen seen = { .found = false };
	struct sva_admin *admin = NULL;
	struct sva_netns netns;
	int r = identify(p, &netns);

	if (r)
		return r;
	r = sva_admin_connect(p->admin_socket, p->timeout_ms, &admin);
	if (r < 0)
		return plugin_fail_svad(p, NULL, r, "the container cannot be checked");
	now = plugin_now_ms();
	(void)sva_admin_set_timeout(admin, now < until ? (int)(until - now) : 1);
	r = sva_admin_list(admin, &filter, see, &seen);
	if (r < 0 && r != -ENOENT) /* not found, and nothing was seen */
		r = plugin_fail_svad(p, admin, r, "the container cannot be checked");
	else
		r = judge(p, &seen, &netns);
	sva_admin_disconnect(admin);
	return r;
}
