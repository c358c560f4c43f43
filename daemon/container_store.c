/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "container_store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "container_private.h"
#include "container_timeline.h"
#include "log.h"
#include "mutation.h"

#define RETRY_MS 1000 /* after a write that failed, when nobody waits */
#define BUSY_MS 20    /* the supervisor's end of the channel is full */
#define TEXT_MAX (64u << 20)

struct store {
	struct broker *broker;
	char *boot_id;	  /* NULL: nothing has been handed over yet, and nothing is written */
	uint64_t changed; /* counts changes */
	uint64_t writing; /* the changes that the write under way contains */
	uint64_t written;
	uint32_t seq; /* of the last write */
	bool busy, failed;
	bool closing;
	uv_timer_t timer;
	struct list waiters;
	uint64_t said_ns;
	uint64_t notes_need; /* the changes that removal notes made */
	char (*note_names)[65];
	size_t n_notes, room_notes;
};

static void write_soon(struct store *s, uint64_t ms);
static void notes_done(struct store *s);

/* ---- waiting ---- */

void store_wait(struct broker *broker, struct store_waiter *w)
{
	struct store *s = broker->registry.store;

	w->need = s->changed;
	list_init(&w->link);
	if (s->written >= w->need || MUTATED("store-early-answer")) {
		w->done(w, 0);
		return;
	}
	list_append(&s->waiters, &w->link);
	if (!s->busy)
		write_soon(s, 0);
}

void store_unwait(struct store_waiter *w)
{
	list_remove(&w->link);
}

static void wake(struct store *s, int error)
{
	struct list ready, *pos, *tmp;

	list_init(&ready);
	list_for_each_safe(pos, tmp, &s->waiters) {
		struct store_waiter *w = container_of(pos, struct store_waiter, link);

		if (w->need <= s->writing) {
			list_remove(pos);
			list_append(&ready, pos);
		}
	}
	while (!list_empty(&ready)) {
		struct list *one = error ? ready.prev : ready.next;

		list_remove(one);
		container_of(one, struct store_waiter, link)
			->done(container_of(one, struct store_waiter, link), error);
	}
}

/* ---- writing ---- */

static int compose(struct store *s, char **ret, size_t *ret_len)
{
	struct registry *registry = &s->broker->registry;
	char header[128];
	struct list *pos;
	size_t len = (size_t)snprintf(header, sizeof(header), "svad-containers %u %s\n", STORE_VERSION,
				      s->boot_id);
	char *text, *at;

	list_for_each(pos, &registry->all) {
		struct container *c = container_of(pos, struct container, link);

		if (c->forgotten)
			continue;
		if (!c->line)
			c->line = record_compose(c, &c->line_len);
		if (!c->line)
			return -ENOMEM;
		len += c->line_len;
	}
	text = malloc(len);
	if (!text)
		return -ENOMEM;
	at = text + strlen(header);
	memcpy(text, header, strlen(header));
	list_for_each(pos, &registry->all) {
		struct container *c = container_of(pos, struct container, link);

		if (c->forgotten)
			continue;
		memcpy(at, c->line, c->line_len);
		at += c->line_len;
	}
	*ret = text;
	*ret_len = len;
	return 0;
}

static int hand_over(struct store *s)
{
	int fd, r;
	char *text;
	size_t len;

	r = compose(s, &text, &len);
	if (r < 0)
		return r;
	fd = chan_memfd("svad-containers", text, len);
	free(text);
	if (fd < 0)
		return fd;
	r = chan_send(s->broker->chan, CHAN_STORE, s->seq + 1, NULL, 0, &fd, 1);
	close(fd);
	return r;
}

static void failed(struct store *s, int error)
{
	uint64_t now = now_ns();

	s->broker->counters.store_failures++;
	s->failed = true;
	if (!s->said_ns || now - s->said_ns > 10000000000u) {
		s->said_ns = now;
		log_write(LOG_ERR, SVAD_MSG_STORE,
			  "The registry of containers cannot be stored: %s; registrations are refused until "
			  "it can. Look "
			  "at [containers] state_dir",
			  strerror(-error));
	}
	wake(s, error);
	if (s->changed != s->written)
		write_soon(s, list_empty(&s->waiters) ? RETRY_MS : 0); /* they came while it was written */
}

static void on_timer(uv_timer_t *timer)
{
	struct store *s = container_of(timer, struct store, timer);
	int r;

	if (s->busy || !s->boot_id || s->changed == s->written)
		return;
	r = hand_over(s);
	if (r == -EAGAIN) {
		write_soon(s, BUSY_MS);
		return;
	}
	s->writing = s->changed;
	if (r < 0) {
		failed(s, r);
		return;
	}
	s->seq++;
	s->busy = true;
}

static void write_soon(struct store *s, uint64_t ms)
{
	if (!s->closing && s->boot_id)
		uv_timer_start(&s->timer, on_timer, ms, 0);
}

void store_changed(struct container *c)
{
	struct store *s = c->broker->registry.store;

	free(c->line);
	c->line = NULL;
	s->changed++;
	/* At the end of this turn of the loop: what changes together is written together. */
	if (!s->busy && !(s->failed && uv_is_active((uv_handle_t *)&s->timer)))
		write_soon(s, 0);
}

void store_acked(struct broker *broker, uint32_t seq, int error)
{
	struct store *s = broker->registry.store;

	if (!s->busy || seq != s->seq)
		return;
	s->busy = false;
	if (error) {
		failed(s, -error);
		return;
	}
	if (s->failed)
		log_write(LOG_NOTICE, SVAD_MSG_STORE, "The registry of containers is stored again");
	s->failed = false;
	s->said_ns = 0;
	broker->counters.store_writes++;
	s->written = s->writing;
	notes_done(s);
	wake(s, 0);
	if (s->changed != s->written)
		write_soon(s, 0);
}

/* ---- reading ---- */

static char *read_all(int fd, size_t *ret_len)
{
	struct stat st;
	char *text;
	size_t len = 0;

	if (fstat(fd, &st) < 0 || st.st_size < 0 || (uint64_t)st.st_size > TEXT_MAX)
		return NULL;
	text = malloc((size_t)st.st_size + 1);
	while (text && len < (size_t)st.st_size) {
		ssize_t n = pread(fd, text + len, (size_t)st.st_size - len, (off_t)len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	if (text)
		text[len] = '\0';
	*ret_len = len;
	return text;
}

struct load {
	unsigned kept, lost;
	const char *why; /* of the first loss */
};

static void lose(struct load *l, const char *why)
{
	if (!l->lost++)
		l->why = why;
}

static void load_lines(struct broker *broker, char *text, size_t len, const char *boot_id, struct load *l)
{
	char *end = text + len, *line, *next;
	char version[24], boot[64];
	bool first = true;

	snprintf(version, sizeof(version), "svad-containers %u ", STORE_VERSION);
	if (!len) {
		lose(l, "it is empty");
		return;
	}
	for (line = text; line < end; line = next) {
		char *newline = memchr(line, '\n', (size_t)(end - line));
		bool whole = newline != NULL;
		int r;

		if (!newline)
			newline = end;
		next = newline + 1;
		*newline = '\0';
		if (memchr(line, '\0', (size_t)(newline - line)))
			line[0] = '\0'; /* no text: no checksum will fit */
		if (first) {
			first = false;
			if (strncmp(line, "svad-containers ", 16) != 0) {
				lose(l, "its first line is damaged"); /* the others have checksums of their
									 own */
				continue;
			}
			if (strncmp(line, version, strlen(version)) != 0) {
				lose(l, "it is of another version of svad");
				return;
			}
			snprintf(boot, sizeof(boot), "%s", line + strlen(version));
			if (strcmp(boot, boot_id) == 0)
				continue;
			/* Cookies of another boot mean nothing; that is how it is after every boot. */
			if (whole && strlen(boot) == strlen(boot_id))
				return;
			lose(l, "its first line is damaged");
			continue;
		}
		r = whole ? record_restore(broker, line) : -EBADMSG;
		if (r == 0)
			l->kept++;
		else if (r == -ENOMEM)
			lose(l, "there is no memory for it");
		else if (r == -EEXIST)
			lose(l, "a container is in it twice");
		else
			lose(l, whole ? "a line is damaged" : "its end is missing");
	}
}

void store_load(struct broker *broker, int fd, const char *boot_id)
{
	struct store *s = broker->registry.store;
	struct load l = { .kept = 0 };
	size_t len = 0;
	char *text = NULL;

	if (s->boot_id)
		return;
	s->boot_id = strdup(boot_id);
	if (!s->boot_id) {
		log_err("No memory to read the stored containers");
		return;
	}
	if (fd >= 0) {
		text = read_all(fd, &len);
		if (text)
			load_lines(broker, text, len, boot_id, &l);
		else
			lose(&l, "it cannot be read");
		free(text);
	}
	if (l.lost) {
		broker->counters.store_damaged += l.lost;
		log_write(LOG_WARNING, SVAD_MSG_STORE,
			  "The stored registry of containers is damaged (%s): %u containers are kept, %u "
			  "lines are "
			  "lost; the file is set aside. Containers that were lost follow the host's policies: "
			  "start "
			  "them again, or register them with svadctl",
			  l.why, l.kept, l.lost);
		if (chan_send(broker->chan, CHAN_STORE_DAMAGED, l.lost, NULL, 0, NULL, 0) < 0)
			log_err("Cannot ask the supervisor to set the damaged file aside");
	} else if (l.kept) {
		log_info("%u containers restored", l.kept);
	}
	if (l.lost || s->changed)
		s->changed++; /* what is there now is written anew */
	if (s->changed)
		write_soon(s, 0);
}

/* ---- notes of what ended meanwhile ---- */

static void notes_done(struct store *s)
{
	if (!s->n_notes || s->written < s->notes_need)
		return;
	for (size_t i = 0; i < s->n_notes; i++)
		chan_send(s->broker->chan, CHAN_NOTE_DONE, 0, s->note_names[i],
			  (uint32_t)strlen(s->note_names[i]), NULL, 0);
	s->n_notes = 0;
}

void store_note(struct broker *broker, int64_t realtime, char *text)
{
	struct store *s = broker->registry.store;
	struct attachment_key key;
	struct attachment *a;
	char *parts[4] = { NULL }, *at = text;
	struct container *c;
	bool whole = true;

	for (int i = 0; i < 4 && whole; i++) {
		parts[i] = at;
		at = strchr(at, '\n');
		whole = at != NULL;
		if (at)
			*at++ = '\0';
	}
	if (strlen(parts[0]) >= sizeof(s->note_names[0]))
		return;
	if (!whole) {
		log_warning("The note %s of a removal is none: a network, a container id and an ifname, a line each; "
			    "it is deleted",
			    parts[0]);
		goto done;
	}
	key = (struct attachment_key){ .network = parts[1], .container_id = parts[2], .ifname = parts[3] };
	a = attachment_find(broker, &key, false);
	/* One that was registered since is another story. */
	if (a && a->since_realtime_ns <= realtime) {
		c = container_ref(a->container);
		container_remove(c, a, SVAB_CAUSE_CONTAINER_GONE, "cni, while svad was down");
		container_put(c);
	}
done:
	if (s->n_notes == s->room_notes) {
		size_t room = s->room_notes ? s->room_notes * 2 : 8;
		char(*names)[65] = realloc(s->note_names, room * sizeof(*names));

		if (!names)
			return; /* it comes again when svad starts anew, and is as true then */
		s->note_names = names;
		s->room_notes = room;
	}
	snprintf(s->note_names[s->n_notes++], sizeof(s->note_names[0]), "%s", parts[0]);
	s->notes_need = s->changed;
	notes_done(s);
}

/* ---- its life ---- */

int store_init(struct broker *broker)
{
	struct store *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->broker = broker;
	list_init(&s->waiters);
	uv_timer_init(&broker->loop, &s->timer);
	broker->registry.store = s;
	return 0;
}

void store_stop(struct broker *broker)
{
	struct store *s = broker->registry.store;

	s->closing = true;
	uv_close((uv_handle_t *)&s->timer, NULL);
}

void store_deinit(struct broker *broker)
{
	struct store *s = broker->registry.store;

	free(s->boot_id);
	free(s->note_names);
	free(s);
	broker->registry.store = NULL;
}
