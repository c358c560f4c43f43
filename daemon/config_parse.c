/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From text to struct config. inih does the splitting; the reader that feeds it line by line is ours, because
 * inih cuts section names at 50 bytes and lines at 200 without a word, does not say which line a value came
 * from, and names only the first malformed line.
 */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ini.h>

#include "config_private.h"

#define ERRORS_MAX 100u

void config_error(struct config_errors *errors, const char *file, unsigned line, const char *fmt, ...)
{
	char *text = NULL, *full = NULL, **more;
	va_list ap;
	int n;

	if (errors->n >= ERRORS_MAX)
		return;
	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	if (errors->n == ERRORS_MAX - 1)
		n = asprintf(&full, "%s: more mistakes follow; correct these first", file);
	else if (line)
		n = asprintf(&full, "%s:%u: %s", file, line, text);
	else
		n = asprintf(&full, "%s: %s", file, text);
	free(text);
	if (n < 0)
		return;
	for (char *s = full; *s; s++) {
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			*s = '?';
	}
	more = reallocarray(errors->lines, errors->n + 1, sizeof(*more));
	if (!more) {
		free(full);
		return;
	}
	errors->lines = more;
	errors->lines[errors->n++] = full;
}

static struct origin here(const struct config_parser *p)
{
	return (struct origin){ (unsigned)p->n_files - 1, p->line };
}

static void *grow(struct config_parser *p, void *array, size_t n, size_t size)
{
	/* in powers of two: a daemon with 10,000 policies should still start at once */
	void *more;

	if (n & (n - 1))
		return array;
	more = reallocarray(array, n ? n * 2 : 1, size);
	if (!more)
		p->r = -ENOMEM;
	return more;
}

static void *section_object(struct config_parser *p, size_t section)
{
	const struct section *s = &p->sections[section];

	if (strcmp(s->kind, "device") == 0)
		return &p->config->devices[s->index];
	if (strcmp(s->kind, "policy") == 0)
		return &p->config->policies[s->index];
	return p->config;
}

static bool seen_in_this_file(struct config_parser *p, const struct config_key *key, unsigned *ret_line)
{
	for (size_t i = p->n_settings; i-- > 0 && p->settings[i].at.file == p->n_files - 1;) {
		if (p->settings[i].section == p->section && p->settings[i].key == key) {
			*ret_line = p->settings[i].at.line;
			return true;
		}
	}
	return false;
}

/* The value is complete: set it. */
static void flush_key(struct config_parser *p)
{
	char *value = p->value, *why = NULL;
	const struct config_key *key = p->key;
	struct setting *more;
	unsigned line;
	int r;

	p->key = NULL;
	p->value = NULL;
	if (!key || !value || p->r < 0)
		goto out;
	if (seen_in_this_file(p, key, &line)) {
		mistake(p, p->key_at, "'%s' is set twice in this section, first in line %u; remove one",
			key->name, line);
		goto out;
	}
	more = grow(p, p->settings, p->n_settings, sizeof(*more));
	if (!more)
		goto out;
	p->settings = more;
	p->settings[p->n_settings++] = (struct setting){ p->section, key, p->key_at };

	r = key->type->parse(key, section_object(p, p->section), value, &why);
	if (r == -EINVAL)
		mistake(p, p->key_at, "%s: %s%s", key->name, why,
			strchr(value, '#') ? " (a comment behind a value begins with ' ;')" : "");
	else if (r < 0)
		p->r = r;
out:
	free(why);
	free(value);
}

/* The section as an object: found, or made with its defaults. */
static bool enter_section(struct config_parser *p, const char *kind, const char *name)
{
	struct config *c = p->config;
	struct section *more;
	size_t index = 0;
	int r = 0;

	if (strcmp(kind, "device") == 0) {
		struct config_device *devices;

		for (index = 0; index < c->n_devices && strcmp(c->devices[index].name, name) != 0; index++)
			;
		if (index == c->n_devices) {
			devices = grow(p, c->devices, c->n_devices, sizeof(*devices));
			if (!devices)
				return false;
			c->devices = devices;
			devices[c->n_devices] = (struct config_device){ .name = strdup(name) };
			if (!devices[c->n_devices].name)
				return p->r = -ENOMEM, false;
			r = config_defaults(&devices[c->n_devices++], "device");
		}
	} else if (strcmp(kind, "policy") == 0) {
		struct config_policy *policies;

		for (index = 0; index < c->n_policies && strcmp(c->policies[index].name, name) != 0; index++)
			;
		if (index == c->n_policies) {
			policies = grow(p, c->policies, c->n_policies, sizeof(*policies));
			if (!policies)
				return false;
			c->policies = policies;
			policies[c->n_policies] = (struct config_policy){ .name = strdup(name) };
			if (!policies[c->n_policies].name)
				return p->r = -ENOMEM, false;
			r = config_defaults(&policies[c->n_policies++], "policy");
		}
	}
	if (r < 0)
		return p->r = r, false;

	for (size_t i = 0; i < p->n_sections; i++) {
		if (p->sections[i].index == index && strcmp(p->sections[i].kind, kind) == 0) {
			p->section = i;
			return true;
		}
	}
	more = grow(p, p->sections, p->n_sections, sizeof(*more));
	if (!more)
		return false;
	p->sections = more;
	p->section = p->n_sections;
	p->sections[p->n_sections++] = (struct section){ kind, index, here(p) };
	return true;
}

/* line begins with '['. True: the keys that follow belong somewhere. */
static bool read_section(struct config_parser *p, char *line)
{
	static const char *const plain[] = { "daemon", "limits", "drain", "containers", "sim" },
				 *const named[] = { "device", "policy" };
	char *end = strchr(line, ']'), *kind = line + 1, *name = NULL, *rest;
	const char *near;

	p->in_key = false;
	if (!end) {
		mistake(p, here(p), "the section is not closed; write %s]", line);
		return false;
	}
	rest = end + 1 + strspn(end + 1, " \t");
	if (*rest && *rest != ';' && *rest != '#') {
		mistake(p, here(p), "'%s' follows the section's ]; put it on a line of its own", rest);
		return false;
	}
	*end = '\0';
	kind += strspn(kind, " \t");
	rest = kind + strcspn(kind, " \t\"");
	if (*rest) {
		name = rest + strspn(rest, " \t");
		if (name == rest && *rest != '"')
			name = NULL;
	}
	if (name) {
		size_t n = strlen(name);

		while (n && isspace((unsigned char)name[n - 1]))
			name[--n] = '\0';
		if (n && (n < 2 || name[0] != '"' || name[n - 1] != '"')) {
			mistake(p, here(p),
				"the name in [%s] is not quoted; write [device \"NAME\"] or [policy "
				"\"NAME\"]",
				kind);
			return false;
		}
		if (n) {
			name[n - 1] = '\0';
			*rest = '\0';
			name++;
		} else {
			*rest = '\0';
			name = NULL;
		}
	}

	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
		if (strcmp(kind, plain[i]) != 0)
			continue;
		if (name) {
			mistake(p, here(p), "[%s] takes no name; write [%s]", kind, kind);
			return false;
		}
		return enter_section(p, plain[i], NULL);
	}
	for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++) {
		if (strcmp(kind, named[i]) != 0)
			continue;
		if (!name || !config_name_ok(name)) {
			mistake(p, here(p),
				"[%s] needs a name of 1 to 63 letters, digits and . _ : -; write [%s "
				"\"NAME\"]",
				kind, kind);
			return false;
		}
		if ((i == 0 && p->config->n_devices >= CONFIG_DEVICES_MAX &&
		     !config_device(p->config, name)) ||
		    (i == 1 && p->config->n_policies >= CONFIG_POLICIES_MAX)) {
			mistake(p, here(p), "there are too many [%s] sections; at most %u are read", kind,
				i == 0 ? CONFIG_DEVICES_MAX : CONFIG_POLICIES_MAX);
			return false;
		}
		return enter_section(p, named[i], name);
	}
	near = config_section_nearest(kind);
	if (near)
		mistake(p, here(p), "there is no section [%s]; did you mean [%s]?", kind, near);
	else
		mistake(p, here(p),
			"there is no section [%s]; there are daemon, limits, drain, containers, sim, device "
			"and "
			"policy",
			kind);
	return false;
}

/* Judges one line before inih sees it. False: it is to be passed over. line may be changed. */
static bool vet_line(struct config_parser *p, char **line)
{
	char *s = *line + strspn(*line, " \t\r\f\v");

	p->continuing = false;
	if (!*s || *s == ';' || *s == '#')
		return false;
	if (*s == '[') {
		char *copy = strdup(s);

		flush_key(p);
		p->any_section = true;
		if (!copy)
			return p->r = -ENOMEM, false;
		p->in_section = read_section(p, copy);
		free(copy);
		*line = s;
		return true;
	}
	if (strchr(s, '=')) {
		if (strcspn(s, ":") < strcspn(s, "=")) {
			flush_key(p);
			mistake(p, here(p), "'%.*s' is not a key; write KEY = VALUE", (int)strcspn(s, " \t="),
				s);
			p->in_key = false;
			return false;
		}
		*line = s; /* an indented key is still a key, not the continuation that inih would see */
		return true;
	}
	if (s > *line && p->in_key) {
		p->continuing = true;
		return true;
	}
	flush_key(p);
	p->in_key = false;
	mistake(p, here(p), "'%.40s' is neither a section nor a key with a value; write KEY = VALUE", s);
	return false;
}

static char *read_line(char *buf, int size, void *stream)
{
	struct config_parser *p = stream;
	const char *end;
	char *line, *start;
	size_t n;

	if (p->left == 0 || p->r < 0)
		return NULL;
	end = memchr(p->text, '\n', p->left);
	n = end ? (size_t)(end - p->text) : p->left;
	line = strndup(p->text, n);
	p->text += n + (end ? 1 : 0);
	p->left -= n + (end ? 1 : 0);
	p->line++;
	if (!line) {
		p->r = -ENOMEM;
		return NULL;
	}
	start = line;
	if (p->line == 1 && strncmp(start, "\xef\xbb\xbf", 3) == 0)
		start += 3;
	n = strlen(start);
	while (n && isspace((unsigned char)start[n - 1]))
		start[--n] = '\0';
	n = vet_line(p, &start) ? strlen(start) : 0;
	if (n + 2 > (size_t)size) {
		mistake(p, here(p),
			"the line is longer than %d bytes; continue lists on a next line that begins with a "
			"blank",
			size - 2);
		n = 0;
	}
	memcpy(buf, start, n);
	buf[n] = '\n';
	buf[n + 1] = '\0';
	free(line);
	return buf;
}

/* Where a comment begins: at a ; behind a blank. */
static size_t comment_at(const char *value)
{
	size_t n = strlen(value);

	for (size_t i = 1; i < n; i++) {
		if (value[i] == ';' && isspace((unsigned char)value[i - 1]))
			return i;
	}
	return n;
}

static int got_value(void *userdata, const char *ini_section, const char *name, const char *value)
{
	struct config_parser *p = userdata;
	const char *near;
	size_t n;

	(void)ini_section; /* cut at 50 bytes */
	if (p->continuing) {
		char *longer;

		if (!p->key)
			return 1;
		if (*value == ';')
			return 1;
		if (!p->key->type->list) {
			mistake(p, here(p),
				"the line begins with a blank and so continues '%s', which takes one value; "
				"write KEY = VALUE",
				p->key->name);
			return 1;
		}
		n = comment_at(value); /* this, inih does for a key's first line only */
		if (asprintf(&longer, "%s %.*s", p->value, (int)n, value) < 0)
			return p->r = -ENOMEM, 1;
		free(p->value);
		p->value = longer;
		return 1;
	}

	flush_key(p);
	p->in_key = true;
	if (!p->in_section) {
		if (!p->any_section)
			mistake(p, here(p),
				"'%s' stands before any section; write [daemon] or another above it", name);
		return 1;
	}
	p->key = config_key_find(p->sections[p->section].kind, name);
	if (!p->key) {
		near = config_key_nearest(p->sections[p->section].kind, name);
		if (near)
			mistake(p, here(p), "there is no key '%s' in [%s]; did you mean '%s'?", name,
				p->sections[p->section].kind, near);
		else
			mistake(p, here(p),
				"there is no key '%s' in [%s]; see svad.conf(5) for those there are", name,
				p->sections[p->section].kind);
		return 1;
	}
	p->key_at = here(p);
	p->value = strdup(value);
	if (!p->value)
		p->r = -ENOMEM;
	return 1;
}

int config_parser_new(struct config_parser **ret, struct config_errors *errors, bool trusted)
{
	struct config_parser *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->errors = errors;
	p->trusted = trusted;
	p->config = calloc(1, sizeof(*p->config));
	if (!p->config || config_defaults(p->config, "daemon") < 0 ||
	    config_defaults(p->config, "limits") < 0 || config_defaults(p->config, "drain") < 0 ||
	    config_defaults(p->config, "containers") < 0 || config_defaults(p->config, "sim") < 0) {
		config_parser_free(p);
		return -ENOMEM;
	}
	*ret = p;
	return 0;
}

void config_parser_free(struct config_parser *p)
{
	if (!p)
		return;
	config_free(p->config);
	for (size_t i = 0; i < p->n_files; i++)
		free(p->files[i]);
	free(p->files);
	free(p->sections);
	free(p->settings);
	free(p->value);
	free(p);
}

int config_parser_feed(struct config_parser *p, const char *file, const char *text, size_t len)
{
	char **files = reallocarray(p->files, p->n_files + 1, sizeof(*files)), *name = strdup(file);

	if (files)
		p->files = files;
	if (!files || !name) {
		free(name);
		return -ENOMEM;
	}
	p->files[p->n_files++] = name;
	if (!p->config->origin && !(p->config->origin = strdup(file)))
		return -ENOMEM;

	p->line = 0;
	p->in_section = p->in_key = p->any_section = p->continuing = false;
	if (memchr(text, '\0', len)) {
		config_error(p->errors, file, 0, "there is a NUL byte in it: it is not a text file");
		return p->r;
	}
	p->text = text;
	p->left = len;
	ini_parse_stream(read_line, p, got_value, p);
	flush_key(p);
	return p->r;
}
