/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The registry of containers: who there is, how they are found, and what is charged to them. */
#include "container.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bond.h"
#include "client.h"
#include "conn.h"
#include "container_private.h"
#include "container_store.h"
#include "container_timeline.h"
#include "events.h"
#include "identify.h"
#include "log.h"
#include "mutation.h"
#include "reconcile.h"

/* ---- hashes: what they yield is compared in full ---- */

static uint64_t hash_text(uint64_t h, const char *text)
{
	for (; *text; text++)
		h = (h ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
	return (h ^ 0xff) * UINT64_C(0x100000001b3); /* where one ends and the next begins */
}

static uint64_t hash_key(const struct attachment_key *key)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	return hash_text(hash_text(hash_text(h, key->network), key->container_id), key->ifname);
}

static uint64_t hash_netns(uint64_t dev, uint64_t inode)
{
	return dev * UINT64_C(0x9e3779b97f4a7c15) ^ inode;
}

static bool same_key(const struct attachment_key *a, const struct attachment_key *b)
{
	return strcmp(a->container_id, b->container_id) == 0 && strcmp(a->network, b->network) == 0 &&
	       strcmp(a->ifname, b->ifname) == 0;
}

/* ---- looking up ---- */

struct container *container_by_cookie(struct broker *broker, uint64_t cookie)
{
	struct idmap_node *node = cookie ? idmap_find(&broker->registry.by_cookie, cookie) : NULL;

	return node ? container_of(node, struct container, node) : NULL;
}

struct container *container_by_netns(struct broker *broker, uint64_t dev, uint64_t inode)
{
	uint64_t hash = hash_netns(dev, inode);
	struct container *found = NULL;

	for (struct idmap_node *n = idmap_find(&broker->registry.by_netns, hash); n; n = n->next) {
		struct container *c = container_of(n, struct container, netns_node);

		if (n->id == hash && c->netns_dev == dev && c->netns_inode == inode && c->netns_inode &&
		    (!found || c->id > found->id))
			found = c;
	}
	return found;
}

struct attachment *attachment_find(struct broker *broker, const struct attachment_key *key, bool removed)
{
	uint64_t hash = hash_key(key);
	struct attachment *found = NULL;

	for (struct idmap_node *n = idmap_find(&broker->registry.by_key, hash); n; n = n->next) {
		struct attachment *a = container_of(n, struct attachment, node);
		bool active = a->container->state == SVAD__V1__CONTAINER_STATE__CONTAINER_ACTIVE;

		if (n->id != hash || !same_key(&a->key, key) || (!active && !removed))
			continue;
		if (active)
			return a; /* there is one at most */
		if (!found || a->container->id > found->container->id)
			found = a;
	}
	return found;
}

/* 2: the name itself, 1: its beginning, 0: neither. */
static int name_fits(const struct container *c, const char *name, size_t len)
{
	const struct list *pos;
	int best = 0;

	list_for_each(pos, &c->attachments) {
		const char *id = container_of(pos, struct attachment, link)->key.container_id;

		if (strcmp(id, name) == 0)
			return 2;
		if (strncmp(id, name, len) == 0)
			best = 1;
	}
	return best;
}

static int by_name(struct broker *broker, const char *name, Svad__V1__ContainerState state,
		   struct container **ret)
{
	bool removed = state == SVAD__V1__CONTAINER_STATE__CONTAINER_REMOVED;
	struct container *found = NULL;
	bool exact = false, several = false;
	size_t len = strlen(name);
	struct list *pos;

	if (!len)
		return -ENOENT;
	list_for_each(pos, &broker->registry.all) {
		struct container *c = container_of(pos, struct container, link);
		int fits;

		if (c->state != state)
			continue;
		fits = name_fits(c, name, len);
		if (fits == 2) {
			/* Of removed ones with the same name the latest is meant. */
			several = !removed && exact;
			exact = true;
			found = c;
		} else if (fits == 1 && !exact) {
			several |= found != NULL && (!removed || strcmp(found->name, c->name) != 0);
			found = c;
		}
	}
	if (!found)
		return -ENOENT;
	if (several)
		return -EEXIST;
	*ret = found;
	return 0;
}

int container_by_name(struct broker *broker, const char *name, bool removed, struct container **ret)
{
	int r = by_name(broker, name, SVAD__V1__CONTAINER_STATE__CONTAINER_ACTIVE, ret);

	if (r == -ENOENT)
		r = by_name(broker, name, SVAD__V1__CONTAINER_STATE__CONTAINER_REMOVING, ret);
	if (r == -ENOENT && removed)
		r = by_name(broker, name, SVAD__V1__CONTAINER_STATE__CONTAINER_REMOVED, ret);
	return r;
}

int container_each(struct broker *broker, int (*fn)(struct container *container, void *userdata),
		   void *userdata)
{
	struct list *pos, *tmp;
	int r;

	list_for_each_safe(pos, tmp, &broker->registry.all) {
		struct container *c = container_of(pos, struct container, link);

		if (c->forgotten)
			continue;
		r = fn(c, userdata);
		if (r)
			return r;
	}
	return 0;
}

bool container_has(const struct container *container, const struct attachment *a)
{
	const struct list *pos;

	list_for_each(pos, &container->attachments)
		if (pos == &a->link)
			return true;
	return false;
}

const char *container_describe(const struct container *c, char *buf, size_t size)
{
	if (c->pod_name[0])
		snprintf(buf, size, "container %.64s (%s/%s)", c->name, c->pod_namespace, c->pod_name);
	else
		snprintf(buf, size, "container %.64s", c->name);
	wire_trim_text(buf);
	return buf;
}

/* ---- their lives ---- */

struct container *container_ref(struct container *container)
{
	container->refs++;
	return container;
}

void container_put(struct container *c)
{
	struct list *pos, *tmp;

	if (!c || --c->refs)
		return;
	list_for_each_safe(pos, tmp, &c->attachments)
		attachment_free(container_of(pos, struct attachment, link));
	timeline_free(c->timeline);
	container_policy_free(&c->policy);
	free(c->removal.ends);
	free(c->line);
	free(c->name);
	free(c->netns_path);
	free(c->pod_namespace);
	free(c->pod_name);
	free(c->pod_uid);
	free(c);
}

int container_new(struct broker *broker, uint64_t cookie, uint64_t dev, uint64_t inode,
		  struct container **ret)
{
	struct container *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->broker = broker;
	c->refs = 1;
	c->cookie = cookie;
	c->netns_dev = dev;
	c->netns_inode = inode;
	c->since_ns = now_ns();
	c->since_realtime_ns = realtime_ns();
	list_init(&c->attachments);
	list_init(&c->clients);
	list_init(&c->bond_list);
	list_init(&c->removal_ops);
	c->name = strdup("");
	c->netns_path = strdup("");
	c->pod_namespace = strdup("");
	c->pod_name = strdup("");
	c->pod_uid = strdup("");
	c->timeline = timeline_new();
	if (!c->name || !c->netns_path || !c->pod_namespace || !c->pod_name || !c->pod_uid || !c->timeline) {
		list_init(&c->link);
		container_put(c);
		return -ENOMEM;
	}
	c->id = ++broker->registry.last_id;
	idmap_insert(&broker->registry.by_cookie, &c->node, cookie);
	idmap_insert(&broker->registry.by_netns, &c->netns_node, hash_netns(dev, inode));
	list_append(&broker->registry.all, &c->link);
	broker->registry.n_active++;
	*ret = c;
	return 0;
}

/* Out of both maps: for people only from now on, and for as long as no more than a few others have followed.
 */
void container_forget(struct container *c)
{
	struct registry *registry = &c->broker->registry;
	struct list *pos;

	if (c->forgotten)
		return;
	c->forgotten = true;
	idmap_remove(&registry->by_cookie, &c->node);
	idmap_remove(&registry->by_netns, &c->netns_node);
	registry->n_tombstones--;
	registry->n_forgotten++;
	store_changed(c);
	if (registry->n_forgotten <= CONTAINERS_REMEMBERED)
		return;
	list_for_each(pos, &registry->all) {
		struct container *old = container_of(pos, struct container, link);

		if (!old->forgotten)
			continue;
		list_remove(&old->link);
		registry->n_forgotten--;
		container_put(old);
		break;
	}
}

void container_discard(struct container *c)
{
	struct registry *registry = &c->broker->registry;

	if (c->state == SVAD__V1__CONTAINER_STATE__CONTAINER_ACTIVE)
		registry->n_active--;
	else
		registry->n_tombstones--;
	idmap_remove(&registry->by_cookie, &c->node);
	idmap_remove(&registry->by_netns, &c->netns_node);
	list_remove(&c->link);
	container_put(c);
}

void container_maybe_forget(struct container *c)
{
	if (c->state == SVAD__V1__CONTAINER_STATE__CONTAINER_REMOVED && !c->forgotten && c->netns_dead &&
	    list_empty(&c->bond_list) && list_empty(&c->clients))
		container_forget(c);
}

static void limits_narrow(uint32_t *limit, uint32_t by)
{
	if (by && (!*limit || by < *limit))
		*limit = by;
}

void container_changed(struct container *c)
{
	struct container_limits *l = &c->registered;
	struct list *pos;

	memset(l, 0, sizeof(*l));
	list_for_each(pos, &c->attachments) {
		const struct container_limits *a = &container_of(pos, struct attachment, link)->limits;

		limits_narrow(&l->bonds, a->bonds);
		limits_narrow(&l->connections, a->connections);
		limits_narrow(&l->requests_per_second, a->requests_per_second);
		limits_narrow(&l->drain_deadline_ms, a->drain_deadline_ms);
	}
	c->generation++;
	store_changed(c);
}

/* ---- attachments ---- */

void attachment_free(struct attachment *a)
{
	if (!a)
		return;
	if (a->container) {
		idmap_remove(&a->container->broker->registry.by_key, &a->node);
		list_remove(&a->link);
	}
	free((char *)(uintptr_t)a->key.network);
	free((char *)(uintptr_t)a->key.container_id);
	free((char *)(uintptr_t)a->key.ifname);
	for (size_t i = 0; i < a->n_devices; i++)
		free(a->devices[i]);
	free(a->devices);
	free(a->by);
	free(a);
}

int attachment_new(struct container *c, const struct registration *r, struct attachment **ret)
{
	struct attachment *a = calloc(1, sizeof(*a));

	if (!a)
		return -ENOMEM;
	a->key.network = strdup(r->key.network);
	a->key.container_id = strdup(r->key.container_id);
	a->key.ifname = strdup(r->key.ifname);
	a->by = strdup(r->by);
	a->limits = r->limits;
	a->since_realtime_ns = realtime_ns();
	a->devices = calloc(r->n_devices ? r->n_devices : 1, sizeof(*a->devices));
	if (!a->key.network || !a->key.container_id || !a->key.ifname || !a->by || !a->devices)
		goto nomem;
	for (; a->n_devices < r->n_devices; a->n_devices++) {
		a->devices[a->n_devices] = strdup(r->devices[a->n_devices]);
		if (!a->devices[a->n_devices])
			goto nomem;
	}
	a->container = c;
	list_append(&c->attachments, &a->link);
	idmap_insert(&c->broker->registry.by_key, &a->node, hash_key(&a->key));
	*ret = a;
	return 0;
nomem:
	attachment_free(a);
	return -ENOMEM;
}

/* ---- registration ---- */

static bool replace_text(char **text, const char *by)
{
	char *copy;

	if (!by[0] || strcmp(*text, by) == 0)
		return true;
	copy = strdup(by);
	if (!copy)
		return false;
	free(*text);
	*text = copy;
	return true;
}

/* What the attachment's or the netns's last owner has left. */
static void supersede(struct broker *broker, const struct registration *r)
{
	struct attachment *a = attachment_find(broker, &r->key, false);
	struct container *c;

	if (a && a->container->cookie != r->cookie)
		container_remove(a->container, NULL, SVAB_CAUSE_CONTAINER_GONE,
				 "its attachment was registered again, with another netns");
	/* An inode has one netns at a time: whoever had it before is dead. There may be several such
	 * tombstones. */
	while ((c = container_by_netns(broker, r->netns_dev, r->netns_inode)) && c->cookie != r->cookie) {
		if (c->netns_dead && c->state != SVAD__V1__CONTAINER_STATE__CONTAINER_ACTIVE) {
			/* Known to be; its bonds still drain. Out of the way of the new one. */
			idmap_remove(&broker->registry.by_netns, &c->netns_node);
			c->netns_inode = 0;
			idmap_insert(&broker->registry.by_netns, &c->netns_node, hash_netns(c->netns_dev, 0));
			continue;
		}
		container_netns_dead(c, "its netns's inode was given to another netns");
	}
}

static void revive(struct container *c)
{
	struct registry *registry = &c->broker->registry;

	if (c->state == SVAD__V1__CONTAINER_STATE__CONTAINER_ACTIVE)
		return;
	c->state = SVAD__V1__CONTAINER_STATE__CONTAINER_ACTIVE;
	c->netns_dead = false;
	registry->n_active++;
	registry->n_tombstones--;
	/* What the removed one had been attached to is history. */
	while (!list_empty(&c->attachments))
		attachment_free(container_of(c->attachments.next, struct attachment, link));
	removal_check(c);
}

int container_register(struct broker *broker, const struct registration *r, struct registration_undo *ret)
{
	struct registration_undo undo = { .container = NULL };
	struct registry *registry = &broker->registry;
	struct container *c = container_by_cookie(broker, r->cookie);
	struct attachment *old = NULL;
	struct list *pos;
	bool fresh;
	size_t n = 0;
	int err;

	supersede(broker, r);
	if (c && c->state == SVAD__V1__CONTAINER_STATE__CONTAINER_ACTIVE) {
		list_for_each(pos, &c->attachments) {
			struct attachment *a = container_of(pos, struct attachment, link);

			n++;
			if (same_key(&a->key, &r->key))
				old = a;
		}
		if (!old && n >= CONTAINER_ATTACHMENTS_MAX)
			return -EBUSY;
	}
	fresh = !c;
	if (fresh) {
		if (registry->n_active + registry->n_tombstones >= CONTAINERS_MAX)
			return -EBUSY;
		err = container_new(broker, r->cookie, r->netns_dev, r->netns_inode, &c);
		if (err < 0)
			return err;
	}
	undo.revived = c->state != SVAD__V1__CONTAINER_STATE__CONTAINER_ACTIVE;
	if (undo.revived)
		revive(c);
	if (!replace_text(&c->netns_path, r->netns_path) ||
	    !replace_text(&c->pod_namespace, r->pod_namespace) || !replace_text(&c->pod_name, r->pod_name) ||
	    !replace_text(&c->pod_uid, r->pod_uid) ||
	    (list_empty(&c->attachments) && !replace_text(&c->name, r->key.container_id)) ||
	    attachment_new(c, r, &undo.made) < 0) {
		if (fresh || undo.revived)
			container_drop(c, undo.revived);
		return -ENOMEM;
	}
	if (r->pid)
		c->pid = r->pid;
	if (old) {
		/* Takes its place, and keeps its age. */
		undo.made->since_realtime_ns = old->since_realtime_ns;
		list_remove(&undo.made->link);
		undo.made->link.prev = old->link.prev;
		undo.made->link.next = &old->link;
		old->link.prev->next = &undo.made->link;
		old->link.prev = &undo.made->link;
		idmap_remove(&registry->by_key, &old->node);
		list_remove(&old->link);
		old->container = NULL;
		undo.replaced = old;
	}
	undo.container = container_ref(c);
	broker->counters.containers_registered++;
	container_changed(c);
	if (!old) {
		timeline_attachment(c, SVAD__V1__TIMELINE_KIND__TIMELINE_REGISTERED, undo.made, r->by);
		event_container(c, SVAD__V1__EVENT_KIND__EVENT_CONTAINER_ADDED, r->by);
	}
	container_enforce(c);
	if (fresh || undo.revived)
		identify_registered(c);
	*ret = undo;
	return 0;
}

/* Puts an attachment that was taken out back in. */
static void reattach(struct container *c, struct attachment *a)
{
	a->container = c;
	list_append(&c->attachments, &a->link);
	idmap_insert(&c->broker->registry.by_key, &a->node, hash_key(&a->key));
}

void container_undo(struct registration_undo *undo)
{
	struct container *c = undo->container;

	if (c && c->state == SVAD__V1__CONTAINER_STATE__CONTAINER_ACTIVE && container_has(c, undo->made)) {
		bool last =
			undo->made->link.next == &c->attachments && undo->made->link.prev == &c->attachments;

		if (undo->replaced) {
			attachment_free(undo->made);
			reattach(c, undo->replaced);
			undo->replaced = NULL;
			container_changed(c);
		} else if (!last) {
			attachment_free(undo->made);
			container_changed(c);
			container_enforce(c);
		} else {
			container_drop(c, undo->revived);
		}
	}
	container_undo_free(undo);
}

void container_undo_free(struct registration_undo *undo)
{
	attachment_free(undo->replaced);
	container_put(undo->container);
	*undo = (struct registration_undo){ .container = NULL };
}

/* ---- clients ---- */

void charge_hold(struct client *client, int n)
{
	client->bonds += (uint32_t)n;
	if (client->container && !MUTATED("container-charge-uid"))
		client->container->bonds += (uint32_t)n;
	else
		client->user->bonds += (uint32_t)n;
}

void charge_conn(struct conn *conn, int n)
{
	if (n > 0 && conn->client && conn->client->container)
		conn->container = container_ref(conn->client->container);
	if (conn->container)
		conn->container->connections += (uint32_t)n;
	else
		conn->user->connections += (uint32_t)n;
	if (n < 0) {
		container_put(conn->container);
		conn->container = NULL;
	}
}

void container_join(struct container *c, struct client *client)
{
	uint32_t bonds = client->bonds;
	struct list *x, *h;

	if (client->container)
		return;
	client->user->bonds -= bonds;
	client->container = container_ref(c);
	c->bonds += bonds;
	c->n_clients++;
	list_append(&c->clients, &client->container_link);
	if (client->conn) {
		client->conn->user->connections--;
		client->conn->container = container_ref(c);
		c->connections++;
	}
	list_for_each(x, &client->ctxs) {
		list_for_each(h, &container_of(x, struct ctx, link)->holds) {
			struct bond *bond = container_of(h, struct hold, link)->bond;

			if (bond)
				container_bond_added(c, bond);
		}
	}
	if (c->state != SVAD__V1__CONTAINER_STATE__CONTAINER_ACTIVE) {
		container_ref(c);
		client_end(client, SVAB_CAUSE_CONTAINER_GONE);
		removal_check(c); /* what is quarantined is all that is known of it */
		container_put(c);
	}
}

void container_leave(struct client *client)
{
	struct container *c = client->container;

	if (!c)
		return;
	c->bonds -= client->bonds;
	client->user->bonds += client->bonds; /* none, but for one that fails half-made */
	c->n_clients--;
	list_remove(&client->container_link);
	client->container = NULL;
	if (list_empty(&c->clients) && !c->netns_dead)
		reconcile_suspect(c);
	removal_check(c);
	container_maybe_forget(c);
	container_put(c);
}

void container_client_gone(struct client *client)
{
	struct container *c = client->container;
	char text[64];

	if (!c || !client->bonds || c->broker->ending ||
	    c->state != SVAD__V1__CONTAINER_STATE__CONTAINER_ACTIVE)
		return;
	snprintf(text, sizeof(text), "%u bonds or grants", client->bonds);
	timeline_client(c, SVAD__V1__TIMELINE_KIND__TIMELINE_CLIENT_GONE, client->node.id, client->pid, text);
}

void container_note_cgroup(struct container *c, uint64_t id)
{
	if (!id || c->n_cgroup_ids == sizeof(c->cgroup_ids) / sizeof(c->cgroup_ids[0]))
		return;
	for (unsigned i = 0; i < c->n_cgroup_ids; i++)
		if (c->cgroup_ids[i] == id)
			return;
	c->cgroup_ids[c->n_cgroup_ids++] = id;
}

/* ---- all of it ---- */

int registry_init(struct broker *broker)
{
	struct registry *r = &broker->registry;

	list_init(&r->all);
	if (idmap_init(&r->by_cookie) < 0 || idmap_init(&r->by_netns) < 0 || idmap_init(&r->by_key) < 0)
		return -ENOMEM;
	return store_init(broker);
}

void registry_stop(struct broker *broker)
{
	store_stop(broker);
}

void registry_deinit(struct broker *broker)
{
	struct registry *r = &broker->registry;

	while (!list_empty(&r->all)) {
		struct container *c = container_of(r->all.next, struct container, link);

		list_remove(&c->link);
		if (!c->forgotten) {
			idmap_remove(&r->by_cookie, &c->node);
			idmap_remove(&r->by_netns, &c->netns_node);
		}
		container_put(c);
	}
	store_deinit(broker);
	idmap_deinit(&r->by_cookie);
	idmap_deinit(&r->by_netns);
	idmap_deinit(&r->by_key);
}
