// SPDX-License-Identifier: GPL-2.0-or-later
/* svadctl watch: events as they happen */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "ctl.h"
#include "json.h"
#include "names.h"
#include "rpc.h"
#include "units.h"

struct watch {
	bool json;
	const char *device, *container;
	uint64_t client, left;
	bool limited, done;
	int r;
};

static void print(const rpc_event *e)
{
	char when[UNITS_MAX], took[UNITS_MAX];

	printf("%s%s%s %s%-16s%s", style_on(STYLE_DIM), units_clock(e->monotonic_ns, when),
	       style_off(STYLE_DIM), style_on(style_event(e->kind)), name_event(e->kind),
	       style_off(style_event(e->kind)));
	if (*e->device)
		printf(" %s", e->device);
	if (e->bond)
		printf(" bond %llu PASID %u", (unsigned long long)e->bond, e->pasid);
	if (e->client)
		printf(" client %llu", (unsigned long long)e->client);
	if (e->pid)
		printf(" pid %d uid %u", e->pid, e->uid);
	if (e->kind == SVAD__V1__EVENT_KIND__EVENT_FAULT)
		printf(" at 0x%llx: %s", (unsigned long long)e->address, name_fault(e->code));
	if (*e->container)
		printf(" container %s", e->container);
	if (e->cause)
		printf(", %s", name_cause(e->cause));
	if (e->duration_ns)
		printf(", after %s", units_ns(e->duration_ns, took));
	if (e->kind == SVAD__V1__EVENT_KIND__EVENT_LOST)
		printf(" %llu events: svadctl did not read fast enough", (unsigned long long)e->count);
	if (*e->text)
		printf(": %s", e->text);
	printf("\n");
}

static void on_event(void *userdata, const rpc_event *e)
{
	struct watch *w = userdata;

	if (w->done || w->r)
		return;
	if (w->device && strcmp(e->device, w->device))
		return;
	if (w->client && e->client != w->client)
		return;
	if (w->container && strncmp(e->container, w->container, strlen(w->container)))
		return;
	if (w->json) {
		w->r = json_print(json_event(e), true);
	} else {
		print(e);
		if (fflush(stdout)) {
			ctl_error("cannot write to stdout: %s", strerror(errno));
			w->r = CTL_FAILED;
		}
	}
	if (w->limited && !--w->left)
		w->done = true;
}

int cmd_watch(struct ctl *ctl, int argc, char **argv)
{
	Svad__V1__Watch body = SVAD__V1__WATCH__INIT;
	rpc_request req = SVAD__V1__REQUEST__INIT;
	struct watch w = { 0 };
	const char *count = NULL, *client = NULL;
	bool snapshot = false;
	const struct ctl_option options[] = {
		{ "snapshot", 0, NULL, "first one BOUND for each bond there is", &snapshot, NULL },
		{ "device", 0, "NAME", "only this device's", NULL, &w.device },
		{ "client", 0, "ID", "only this client's", NULL, &client },
		{ "container", 0, "ID", "only this container's (or the beginning of its id)", NULL,
		  &w.container },
		{ "count", 'n', "N", "end after N events", NULL, &count },
		CTL_OPTIONS_END,
	};
	const rpc_reply *reply;
	struct rpc *rpc;
	int r;

	r = ctl_parse(ctl, argc, argv, options, NULL, 0, 0);
	if (r != CTL_GO)
		return r;
	if (client && (!ctl_u64(client, &w.client) || !w.client))
		return ctl_usage(ctl, "--client: \"%s\" is no client's id; see svadctl client list", client);
	if (w.container && !*w.container)
		return ctl_usage(ctl, "--container: the id is empty");
	if (count) {
		w.limited = true;
		if (!ctl_u64(count, &w.left) || !w.left)
			return ctl_usage(ctl, "-n: \"%s\" is no number of events", count);
	}
	w.json = ctl->json;
	r = rpc_open(ctl, &rpc);
	if (r)
		return r;
	rpc_on_event(rpc, on_event, &w);
	body.snapshot = snapshot;
	req.body_case = SVAD__V1__REQUEST__BODY_WATCH;
	req.watch = &body;
	r = rpc_call(rpc, &req, &reply);
	/* Ends with the daemon, with -n, or by a signal (ctrl-C), which needs no care: nothing is left
	 * behind. */
	while (!r && !w.r && !w.done) {
		struct pollfd pfd = { .fd = rpc_fd(rpc), .events = POLLIN };

		r = rpc_receive(rpc, &reply);
		if (r == CTL_GO) {
			r = CTL_OK;
			if (poll(&pfd, 1, -1) < 0 && errno != EINTR) {
				ctl_error("poll: %s", strerror(errno));
				r = CTL_FAILED;
			}
		} else if (!r && !reply->id && reply->body_case == SVAD__V1__REPLY__BODY_EVENT) {
			on_event(&w, reply->event);
		}
	}
	rpc_close(rpc);
	return r ? r : w.r;
}
