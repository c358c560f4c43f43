/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A container as a line of text: "CRC32C key=value key=value ...", values with all that is not plain as %XX.
 * Keys that begin with "a." are of the attachment that the last "a.network" began. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "container_private.h"
#include "container_store.h"
#include "container_timeline.h"
#include "mutation.h"
#include "sim_crc32c.h"

#define CRC_LEN 8u

/* ---- composing ---- */

static void put_text(FILE *f, const char *key, const char *text)
{
	fprintf(f, " %s=", key);
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c <= 0x20 || c >= 0x7f || c == '%')
			fprintf(f, "%%%02X", c);
		else
			putc(c, f);
	}
}

static void put_number(FILE *f, const char *key, uint64_t number)
{
	if (number)
		fprintf(f, " %s=%" PRIu64, key, number);
}

static void put_attachment(FILE *f, const struct attachment *a)
{
	put_text(f, "a.network", a->key.network);
	put_text(f, "a.id", a->key.container_id);
	put_text(f, "a.ifname", a->key.ifname);
	put_text(f, "a.by", a->by);
	put_number(f, "a.since", (uint64_t)a->since_realtime_ns);
	put_number(f, "a.bonds", a->limits.bonds);
	put_number(f, "a.connections", a->limits.connections);
	put_number(f, "a.requests", a->limits.requests_per_second);
	put_number(f, "a.drain", a->limits.drain_deadline_ms);
	for (size_t i = 0; i < a->n_devices; i++)
		put_text(f, "a.device", a->devices[i]);
}

char *record_compose(const struct container *c, size_t *ret_len)
{
	const struct list *pos;
	char *text = NULL, crc[CRC_LEN + 1];
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return NULL;
	fprintf(f, "%0*d", (int)CRC_LEN, 0);
	put_number(f, "number", c->id);
	put_number(f, "cookie", c->cookie);
	put_number(f, "dev", c->netns_dev);
	put_number(f, "inode", c->netns_inode);
	put_number(f, "removed", c->state != SVAD__V1__CONTAINER_STATE__CONTAINER_ACTIVE);
	put_number(f, "dead", c->netns_dead);
	put_number(f, "since", (uint64_t)c->since_realtime_ns);
	put_number(f, "pid", (uint64_t)c->pid);
	put_text(f, "name", c->name);
	put_text(f, "path", c->netns_path);
	put_text(f, "namespace", c->pod_namespace);
	put_text(f, "pod", c->pod_name);
	put_text(f, "uid", c->pod_uid);
	list_for_each(pos, &c->attachments)
		put_attachment(f, container_of(pos, struct attachment, link));
	putc('\n', f);
	if (fclose(f) != 0 || !text) {
		free(text);
		return NULL;
	}
	snprintf(crc, sizeof(crc), "%08" PRIx32, crc32c(0, text + CRC_LEN, len - CRC_LEN - 1));
	memcpy(text, crc, CRC_LEN);
	*ret_len = len;
	return text;
}

/* ---- reading ---- */

struct record {
	uint64_t id, cookie, dev, inode, removed, dead, since, pid;
	char *name, *path, *pod_namespace, *pod, *uid;
};

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool unescape(char *text)
{
	char *out = text;

	for (; *text; text++) {
		if (*text == '%') {
			int hi = hex_digit(text[1]), lo = hi < 0 ? -1 : hex_digit(text[2]);

			if (lo < 0 || (hi == 0 && lo == 0))
				return false;
			*out++ = (char)(hi << 4 | lo);
			text += 2;
		} else {
			*out++ = *text;
		}
	}
	*out = '\0';
	return true;
}

static bool number(const char *text, uint64_t *ret)
{
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	*ret = strtoull(text, &end, 10);
	return !errno && !*end;
}

/* "key=value" cut in two; NULL at the end of the line. What is none is a key that nobody knows. */
static char *next_field(char **line, char **ret_value)
{
	char *key = strsep(line, " "), *value;

	if (!key)
		return NULL;
	value = strchr(key, '=');
	if (!value) {
		*ret_value = key;
		return (char *)(uintptr_t) "";
	}
	*value++ = '\0';
	*ret_value = value;
	return key;
}

static bool take_own(struct record *r, const char *key, char *value)
{
	const struct {
		const char *key;
		uint64_t *to;
	} numbers[] = {
		{ "number", &r->id },	{ "cookie", &r->cookie },   { "dev", &r->dev },
		{ "inode", &r->inode }, { "removed", &r->removed }, { "dead", &r->dead },
		{ "since", &r->since }, { "pid", &r->pid },
	};
	const struct {
		const char *key;
		char **to;
	} texts[] = {
		{ "name", &r->name }, { "path", &r->path }, { "namespace", &r->pod_namespace },
		{ "pod", &r->pod },   { "uid", &r->uid },
	};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (strcmp(key, numbers[i].key) == 0)
			return number(value, numbers[i].to);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (strcmp(key, texts[i].key) == 0) {
			*texts[i].to = value;
			return unescape(value);
		}
	return false;
}

struct record_attachment {
	struct registration r;
	char *devices[CONTAINER_DEVICES_MAX];
	uint64_t since;
};

static bool take_attachment(struct record_attachment *a, const char *key, char *value)
{
	uint32_t *const limits[] = { &a->r.limits.bonds, &a->r.limits.connections,
				     &a->r.limits.requests_per_second, &a->r.limits.drain_deadline_ms };
	const char *const limit_keys[] = { "bonds", "connections", "requests", "drain" };
	uint64_t n;

	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
		if (strcmp(key, limit_keys[i]) == 0) {
			if (!number(value, &n) || n > UINT32_MAX)
				return false;
			*limits[i] = (uint32_t)n;
			return true;
		}
	if (strcmp(key, "since") == 0)
		return number(value, &a->since);
	if (!unescape(value))
		return false;
	if (strcmp(key, "network") == 0)
		a->r.key.network = value;
	else if (strcmp(key, "id") == 0)
		a->r.key.container_id = value;
	else if (strcmp(key, "ifname") == 0)
		a->r.key.ifname = value;
	else if (strcmp(key, "by") == 0)
		a->r.by = value;
	else if (strcmp(key, "device") == 0 && a->r.n_devices < CONTAINER_DEVICES_MAX)
		a->devices[a->r.n_devices++] = value;
	else
		return false;
	return true;
}

static int attach(struct container *c, struct record_attachment *a)
{
	struct attachment *made;
	int r;

	if (!a->r.key.network || !a->r.key.container_id || !a->r.key.ifname || !a->r.by)
		return -EBADMSG;
	a->r.devices = a->devices;
	r = attachment_new(c, &a->r, &made);
	if (r == 0)
		made->since_realtime_ns = (int64_t)a->since;
	return r;
}

static int attach_all(struct container *c, char *key, char *value, char **line)
{
	struct record_attachment *a = calloc(1, sizeof(*a));
	bool begun = false;
	int r = a ? 0 : -ENOMEM;

	for (; r == 0 && key; key = next_field(line, &value)) {
		if (strncmp(key, "a.", 2) != 0) {
			r = -EBADMSG;
			break;
		}
		if (strcmp(key, "a.network") == 0 && begun) {
			r = attach(c, a);
			memset(a, 0, sizeof(*a));
		}
		begun = true;
		if (r == 0 && !take_attachment(a, key + 2, value))
			r = -EBADMSG;
	}
	if (r == 0)
		r = begun ? attach(c, a) : -EBADMSG;
	free(a);
	return r;
}

static void replace(char **text, const char *by)
{
	char *copy = strdup(by);

	if (!copy)
		return; /* what it was is "" */
	free(*text);
	*text = copy;
}

static void restore(struct container *c, const struct record *r)
{
	struct registry *registry = &c->broker->registry;
	struct list *at;

	/* Its number stays, and so its place among the others. */
	if (r->id) {
		if (registry->last_id == c->id)
			registry->last_id--;
		c->id = r->id;
		if (r->id > registry->last_id)
			registry->last_id = r->id;
		list_remove(&c->link);
		for (at = registry->all.prev; at != &registry->all; at = at->prev)
			if (container_of(at, struct container, link)->id < c->id)
				break;
		c->link.prev = at;
		c->link.next = at->next;
		at->next->prev = &c->link;
		at->next = &c->link;
	}
	c->since_realtime_ns = (int64_t)r->since;
	c->pid = (pid_t)r->pid;
	replace(&c->name, r->name);
	replace(&c->netns_path, r->path);
	replace(&c->pod_namespace, r->pod_namespace);
	replace(&c->pod_name, r->pod);
	replace(&c->pod_uid, r->uid);
	c->netns_dead = r->dead;
	timeline_note(c, SVAD__V1__TIMELINE_KIND__TIMELINE_RESTORED, r->removed ? "as removed" : "");
	if (!r->removed || MUTATED("store-revives"))
		return;
	/* The clients that are left of it, if any, are ended as they are found. */
	c->state = SVAD__V1__CONTAINER_STATE__CONTAINER_REMOVED;
	registry->n_active--;
	registry->n_tombstones++;
}

int record_restore(struct broker *broker, char *line)
{
	struct record r = { .id = 0 };
	struct container *c;
	char crc[CRC_LEN + 1], *key, *value = NULL, *rest;
	int err;

	if (strlen(line) <= CRC_LEN + 1 || line[CRC_LEN] != ' ')
		return -EBADMSG;
	snprintf(crc, sizeof(crc), "%08" PRIx32, crc32c(0, line + CRC_LEN, strlen(line + CRC_LEN)));
	if (memcmp(crc, line, CRC_LEN) != 0 && !MUTATED("store-skip-checksum"))
		return -EBADMSG;
	rest = line + CRC_LEN + 1;
	while ((key = next_field(&rest, &value)) && strncmp(key, "a.", 2) != 0)
		if (!take_own(&r, key, value))
			return -EBADMSG;
	if (!key || !r.cookie || !r.name || !r.path || !r.pod_namespace || !r.pod || !r.uid)
		return -EBADMSG;
	if (container_by_cookie(broker, r.cookie))
		return -EEXIST;
	if (broker->registry.n_active + broker->registry.n_tombstones >= CONTAINERS_MAX)
		return -ENOMEM;
	err = container_new(broker, r.cookie, r.dev, r.inode, &c);
	if (err < 0)
		return err;
	err = attach_all(c, key, value, &rest);
	restore(c, &r);
	if (err < 0) {
		/* Half of it would be a container that nobody has registered so. */
		container_discard(c);
		return err;
	}
	container_changed(c);
	container_maybe_forget(c); /* one that was removed, and is dead */
	return 0;
}
