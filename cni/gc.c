// SPDX-License-Identifier: GPL-2.0-or-later
/* What the runtime does not name any more ends; where it named nothing at all, only what is provably dead. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin.h"

struct stale {
	const struct plugin *p;
	struct sva_attachment *at; /* strings of their own */
	size_t n, room;
	size_t kept;
};

static int add(struct stale *stale, const struct sva_attachment *a)
{
	struct sva_attachment copy = { strdup(a->network), strdup(a->container_id), strdup(a->ifname) };

	if (stale->n == stale->room) {
		size_t room = stale->room ? stale->room * 2 : 64;
		struct sva_attachment *more = realloc(stale->at, room * sizeof(*more));

		if (more) {
			stale->at = more;
			stale->room = room;
		}
	}
	if (stale->n == stale->room || !copy.network || !copy.container_id || !copy.ifname) {
		free((void *)copy.network);
		free((void *)copy.container_id);
		free((void *)copy.ifname);
		return -ENOMEM;
	}
	stale->at[stale->n++] = copy;
	return 0;
}

static int look(void *userdata, const struct sva_container *c)
{
	struct stale *stale = userdata;
	char key[1024];
	int r = 0;

	for (size_t i = 0; r == 0 && i < c->n_attachments; i++) {
		const struct sva_attachment *a = &c->attachments[i];

		if (strcmp(a->network, stale->p->network) != 0)
			continue;
		(void)snprintf(key, sizeof(key), "%s\n%s", a->container_id, a->ifname);
		if (json_object_get(stale->p->valid_attachments, key))
			stale->kept++;
		else
			r = add(stale, a);
	}
	return r;
}

static int remove_stale(struct plugin *p, struct sva_admin *admin, const struct stale *stale)
{
	struct sva_removed *removed = calloc(stale->n ?: 1, sizeof(*removed));
	size_t failed = 0;
	uint32_t ends = 0, clean = 0, quarantined = 0, pending = 0;
	int r;

	if (!removed)
		return plugin_fail(p, CNI_IO_FAILURE, NULL, "out of memory");
	for (size_t i = 0; i < stale->n; i++)
		removed[i].size = sizeof(*removed);
	r = sva_admin_remove_many(admin, stale->at, stale->n, p->del_timeout_ms,
				  p->del_timeout_ms + p->timeout_ms, "gc", NULL, NULL, removed);
	for (size_t i = 0; i < stale->n; i++) {
		failed += removed[i].result < 0 && removed[i].pending == 0;
		ends += removed[i].ended;
		clean += removed[i].clean;
		quarantined += removed[i].quarantined;
		pending += removed[i].pending;
	}
	free(removed);
	plugin_log(p,
		   "%zu of %zu stale attachments removed, %zu valid ones kept; %u bonds ended: %u clean, %u "
		   "quarantined, %u still "
		   "draining",
		   stale->n - failed, stale->n, stale->kept, ends, clean, quarantined, pending);
	if (r < 0)
		return plugin_fail_svad(p, admin, r, "not every stale attachment is removed");
	if (failed)
		return plugin_fail(p, CNI_TRY_AGAIN, NULL,
				   "%zu of %zu stale attachments could not be removed", failed, stale->n);
	return 0;
}

static int collect(struct plugin *p, struct sva_admin *admin)
{
	const struct sva_container_filter filter = { .size = sizeof(filter), .network = p->network };
	struct stale stale = { .p = p };
	int r = sva_admin_list(admin, &filter, look, &stale);

	if (r == -ENOMEM)
		r = plugin_fail(p, CNI_IO_FAILURE, NULL, "out of memory");
	else if (r < 0)
		r = plugin_fail_svad(p, admin, r, "the attachments cannot be listed");
	else
		r = remove_stale(p, admin, &stale);
	for (size_t i = 0; i < stale.n; i++) {
		free((void *)stale.at[i].network);
		free((void *)stale.at[i].container_id);
		free((void *)stale.at[i].ifname);
	}
	free(stale.at);
	return r;
}

static int reconcile(struct plugin *p, struct sva_admin *admin)
{
	struct sva_reconciled done = { .size = sizeof(done) };
	int r = sva_admin_reconcile(admin, &done);

	if (r < 0)
		return plugin_fail_svad(p, admin, r, "dead containers cannot be looked for");
	plugin_log(p,
		   "the runtime did not say what is valid: %u containers looked at, %u with a dead network "
		   "namespace removed",
		   done.looked_at, done.removed);
	return 0;
}

int command_gc(struct plugin *p)
{
	struct sva_admin *admin = NULL;
	int r = sva_admin_connect(p->admin_socket, p->timeout_ms, &admin);

	if (r < 0)
		return plugin_fail_svad(p, NULL, r, "nothing was collected");
	r = p->valid_attachments ? collect(p, admin) : reconcile(p, admin);
	sva_admin_disconnect(admin);
	return r;
}
