/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Settings as text again: for the children, and to tell what differs between two of them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config_private.h"

#define ORIGIN "# origin: "

static void put_keys(FILE *f, const char *section, const void *object)
{
	for (const struct config_key *k = config_keys; k->section; k++) {
		char *value = NULL;
		size_t n = 0;
		FILE *v;

		if (strcmp(k->section, section) != 0)
			continue;
		v = open_memstream(&value, &n);
		if (!v)
			continue;
		if (k->type->format(k, object, v) && fflush(v) == 0)
			fprintf(f, "%s = %s\n", k->name, value);
		fclose(v);
		free(value);
	}
}

char *config_to_text(const struct config *c)
{
	static const char *const plain[] = { "daemon", "limits", "drain", "containers", "sim" };
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	if (!f)
		return NULL;
	fprintf(f, ORIGIN "%s\n", c->origin ? c->origin : "");
	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
		fprintf(f, "[%s]\n", plain[i]);
		put_keys(f, plain[i], c);
	}
	for (size_t i = 0; i < c->n_devices; i++) {
		fprintf(f, "[device \"%s\"]\n", c->devices[i].name);
		put_keys(f, "device", &c->devices[i]);
	}
	for (size_t i = 0; i < c->n_policies; i++) {
		fprintf(f, "[policy \"%s\"]\n", c->policies[i].name);
		put_keys(f, "policy", &c->policies[i]);
	}
	if (fclose(f) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

int config_from_text(const char *text, size_t len, struct config **ret, struct config_errors *errors)
{
	struct config_parser *p = NULL;
	char *origin = NULL;
	size_t skip = strlen(ORIGIN);
	int r;

	if (len > skip && memcmp(text, ORIGIN, skip) == 0) {
		const char *end = memchr(text, '\n', len);
		size_t n = end ? (size_t)(end - text) - skip : 0;

		if (n > 0 && !(origin = strndup(text + skip, n)))
			return -ENOMEM;
	}
	r = config_parser_new(&p, errors, true);
	if (r == 0)
		r = config_parser_feed(p, "settings", text, len);
	if (r == 0)
		r = config_parser_finish(p, ret);
	if (r == 0) {
		free((*ret)->origin);
		(*ret)->origin = origin;
		origin = NULL;
	}
	config_parser_free(p);
	free(origin);
	return r;
}

static char *value_text(const struct config_key *key, const void *object)
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	if (!f)
		return NULL;
	key->type->format(key, object, f);
	if (fclose(f) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

/* Adds "section.key" for each key that differs and is fixed, or whichever it is when all are. -ENOMEM. */
static int differ(const char *section, const char *name, const void *a, const void *b, bool all, FILE *f,
		  unsigned *n)
{
	for (const struct config_key *k = config_keys; k->section; k++) {
		char *x, *y;
		bool same;

		if (strcmp(k->section, section) != 0 || !(k->fixed || all))
			continue;
		x = value_text(k, a);
		y = value_text(k, b);
		same = x && y && strcmp(x, y) == 0;
		if (x && y && !same)
			fprintf(f, "%s%s in [%s%s%s%s]", (*n)++ ? ", " : "", k->name, section,
				name ? " \"" : "", name ? name : "", name ? "\"" : "");
		if (!x || !y) {
			free(x);
			free(y);
			return -ENOMEM;
		}
		free(x);
		free(y);
	}
	return 0;
}

/* A simulated device is built from its section; only the broker's part of it can change under way. */
static int differ_devices(const struct config *now, const struct config *next, FILE *f, unsigned *n)
{
	int r;

	for (size_t i = 0; i < now->n_devices; i++) {
		struct config_device a = now->devices[i], b;
		const struct config_device *other = config_device(next, a.name);

		if (!other) {
			fprintf(f, "%s[device \"%s\"] is gone", (*n)++ ? ", " : "", a.name);
			continue;
		}
		b = *other;
		a.max_bonds = b.max_bonds;
		a.drain_deadline_ms = b.drain_deadline_ms;
		r = differ("device", a.name, &a, &b, true, f, n);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < next->n_devices; i++) {
		if (!config_device(now, next->devices[i].name))
			fprintf(f, "%s[device \"%s\"] is new", (*n)++ ? ", " : "", next->devices[i].name);
	}
	return 0;
}

int config_reloadable(const struct config *now, const struct config *next, char **ret_why)
{
	char *text = NULL;
	size_t size = 0;
	unsigned n = 0;
	FILE *f = open_memstream(&text, &size);
	int r;

	if (!f)
		return -ENOMEM;
	r = differ("daemon", NULL, now, next, false, f, &n);
	if (r == 0)
		r = differ("containers", NULL, now, next, false, f, &n);
	if (r == 0)
		r = differ("sim", NULL, now, next, false, f, &n);
	if (r == 0 && now->backend == BACKEND_SIM && next->backend == BACKEND_SIM)
		r = differ_devices(now, next, f, &n);
	if (fclose(f) != 0)
		r = -ENOMEM;
	if (r == 0 && n > 0) {
		*ret_why = text;
		return -EBUSY;
	}
	free(text);
	return r;
}
