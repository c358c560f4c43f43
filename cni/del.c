// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The end of an attachment. A DEL that fails stops the runtime's chain and strands the network, so it
 * succeeds whatever becomes of svad, unless strictDel wants to hear of it: svad follows each drain to its end
 * with nobody waiting, and a removal that it could not be told of is left as a note for its next start.
 */
#include <errno.h>
#include <string.h>

#include "plugin.h"
#include "removal_note.h"

static int left_ms(uint64_t until)
{
	uint64_t now = plugin_now_ms();

	return now < until ? (int)(until - now) : 0;
}

/* One try within the time. What svad said is in removed and words. */
static int tell(const struct plugin *p, uint64_t until, struct sva_removed *removed, char *words, size_t size)
{
	const struct sva_attachment attachment = { p->network, p->container_id, p->ifname };
	/* svad's answer, "not yet" too, is to come before our own time is up. */
	int margin = p->del_timeout_ms / 4 < 500 ? p->del_timeout_ms / 4 : 500, left = left_ms(until);
	struct sva_admin *admin = NULL;
	int r;

	*removed = (struct sva_removed){ .size = sizeof(*removed) };
	r = sva_admin_connect(p->admin_socket, left > 0 ? left : 1, &admin);
	if (r == 0) {
		left = left_ms(until) - margin;
		(void)sva_admin_set_timeout(admin, margin);
		r = sva_admin_remove(admin, &attachment, left > 0 ? left : 1, "cni", NULL, NULL, removed);
	}
	(void)snprintf(words, size, "%s", r < 0 ? sva_admin_strerror(admin, r) : "");
	sva_admin_disconnect(admin);
	return r;
}

static int ended(struct plugin *p, const struct sva_removed *removed)
{
	if (!removed->known)
		plugin_log(p, "svad does not know this attachment: nothing to remove");
	else if (removed->attachments_left)
		plugin_log(p, "removed; the container has %u more attachments, its bonds go on",
			   removed->attachments_left);
	else
		plugin_log(p,
			   "removed; %u bonds ended: %u clean, %u quarantined, %u still draining, the "
			   "slowest after %.1f ms",
			   removed->ended, removed->clean, removed->quarantined, removed->pending,
			   (double)removed->slowest_ns / 1e6);
	if (!p->strict_del || (removed->quarantined == 0 && removed->pending == 0))
		return 0;
	return plugin_fail(p, CNI_TRY_AGAIN, "strictDel is set; see `svadctl bond list`",
			   "of this container's bonds %u are quarantined and %u still drain after %d ms",
			   removed->quarantined, removed->pending, p->del_timeout_ms);
}

static int take_note(struct plugin *p)
{
	int r = removal_note_write(p->state_dir, p->network, p->container_id, p->ifname);

	if (r == 0)
		plugin_log(p, "noted in %s/removed for svad's next start", p->state_dir);
	else if (r == -ENOENT)
		plugin_log(p, "no %s: svad has registered nothing since the machine started", p->state_dir);
	else
		plugin_log(p,
			   "no note can be left in %s/removed (%s): svad finds the network namespace dead by "
			   "itself",
			   p->state_dir, strerror(-r));
	return r;
}

int command_del(struct plugin *p)
{
	uint64_t until = plugin_now_ms() + (uint64_t)p->del_timeout_ms;
	struct sva_removed removed;
	char words[512];
	int r = tell(p, until, &removed, words, sizeof(words));

	if (r == 0 || removed.pending) {
		(void)removal_note_drop(p->state_dir, p->network, p->container_id, p->ifname);
		return ended(p, &removed);
	}
	if (r == -EINVAL) { /* it can never have registered it, then */
		plugin_log(p, "svad takes no attachment of that name: nothing to remove (%s)", words);
		return 0;
	}
	plugin_log(p, "svad could not be told: %s", words);
	/* It may have started after it refused us and before the note was there; then it did not read it. */
	if (take_note(p) == 0 && left_ms(until) > 0 &&
	    (tell(p, until, &removed, words, sizeof(words)) == 0 || removed.pending)) {
		(void)removal_note_drop(p->state_dir, p->network, p->container_id, p->ifname);
		return ended(p, &removed);
	}
	if (p->strict_del)
		return plugin_fail(p, CNI_TRY_AGAIN, words, "svad could not be told, and strictDel is set");
	return 0;
}
