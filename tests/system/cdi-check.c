// SPDX-License-Identifier: GPL-2.0-or-later
#include "cdi-check.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct check {
	char *why;
	size_t size;
};

enum kind { STRING, STRINGS, OBJECTS, OBJECT, UINT32, BOOLEAN };

struct member {
	const char *name;
	enum kind kind;
	bool required;
	const struct member *members; /* OBJECT, OBJECTS: ended by a name of NULL */
};

static const struct member device_node[] = {
	{ "path", STRING, true, NULL },		{ "hostPath", STRING, false, NULL },
	{ "type", STRING, false, NULL },	{ "major", UINT32, false, NULL },
	{ "minor", UINT32, false, NULL },	{ "fileMode", UINT32, false, NULL },
	{ "permissions", STRING, false, NULL }, { "uid", UINT32, false, NULL },
	{ "gid", UINT32, false, NULL },		{ NULL, STRING, false, NULL },
};
static const struct member mount[] = {
	{ "hostPath", STRING, true, NULL }, { "containerPath", STRING, true, NULL },
	{ "type", STRING, false, NULL },    { "options", STRINGS, false, NULL },
	{ NULL, STRING, false, NULL },
};
static const struct member hook[] = {
	{ "hookName", STRING, true, NULL }, { "path", STRING, true, NULL },
	{ "args", STRINGS, false, NULL },   { "env", STRINGS, false, NULL },
	{ "timeout", UINT32, false, NULL }, { NULL, STRING, false, NULL },
};
static const struct member edits[] = {
	{ "env", STRINGS, false, NULL },     { "deviceNodes", OBJECTS, false, device_node },
	{ "mounts", OBJECTS, false, mount }, { "hooks", OBJECTS, false, hook },
	{ NULL, STRING, false, NULL },
};
static const struct member device[] = {
	{ "name", STRING, true, NULL },
	{ "containerEdits", OBJECT, true, edits },
	{ NULL, STRING, false, NULL },
};
static const struct member spec_members[] = {
	{ "cdiVersion", STRING, true, NULL }, { "kind", STRING, true, NULL },
	{ "devices", OBJECTS, true, device }, { "containerEdits", OBJECT, false, edits },
	{ NULL, STRING, false, NULL },
};

static bool broken(const struct check *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static bool broken(const struct check *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(c->why, c->size, fmt, ap);
	va_end(ap);
	return false;
}

static bool check_object(const struct check *c, const char *where, const json_t *o,
			 const struct member *members);

static bool check_member(const struct check *c, const char *where, const json_t *v, const struct member *m)
{
	const json_t *item;
	size_t i;

	switch (m->kind) {
	case STRING:
		return json_is_string(v) || broken(c, "%s.%s is no string", where, m->name);
	case BOOLEAN:
		return json_is_boolean(v) || broken(c, "%s.%s is no boolean", where, m->name);
	case UINT32:
		return (json_is_integer(v) && json_integer_value(v) >= 0 &&
			json_integer_value(v) <= UINT32_MAX) ||
		       broken(c, "%s.%s is no number of 32 bits", where, m->name);
	case OBJECT:
		return check_object(c, m->name, v, m->members);
	case STRINGS:
	case OBJECTS:
		if (!json_is_array(v))
			return broken(c, "%s.%s is no array", where, m->name);
		json_array_foreach(v, i, item)
		{
			if (m->kind == STRINGS && !json_is_string(item))
				return broken(c, "%s.%s[%zu] is no string", where, m->name, i);
			if (m->kind == OBJECTS && !check_object(c, m->name, item, m->members))
				return false;
		}
		return true;
	}
	return broken(c, "%s.%s", where, m->name);
}

static bool check_object(const struct check *c, const char *where, const json_t *o,
			 const struct member *members)
{
	const char *key;
	json_t *v;

	if (!json_is_object(o))
		return broken(c, "%s is no object", where);
	for (const struct member *m = members; m->name; m++)
		if (m->required && !json_object_get(o, m->name))
			return broken(c, "%s has no %s", where, m->name);
	json_object_foreach((json_t *)o, key, v)
	{
		const struct member *m = members;

		while (m->name && strcmp(m->name, key))
			m++;
		if (!m->name)
			return broken(c, "%s has an unknown member: %s", where, key);
		if (!check_member(c, where, v, m))
			return false;
	}
	return true;
}

/* Begins with a letter (first: what else it may begin with), ends with a letter or digit, in between also
 * these. */
static bool is_name(const char *text, size_t n, bool digit_first, const char *also)
{
	if (!n || !(isalpha((unsigned char)text[0]) || (digit_first && isdigit((unsigned char)text[0]))) ||
	    !isalnum((unsigned char)text[n - 1]))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)text[i]) && !strchr(also, text[i]))
			return false;
	return true;
}

static bool check_edits(const struct check *c, const json_t *e)
{
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(e, "env"), i, v)
	{
		const char *equals = strchr(json_string_value(v), '=');

		if (!equals || equals == json_string_value(v))
			return broken(c, "env[%zu] is not NAME=VALUE", i);
	}
	json_array_foreach(json_object_get(e, "mounts"), i, v)
	{
		const char *host = json_string_value(json_object_get(v, "hostPath"));
		const char *inside = json_string_value(json_object_get(v, "containerPath"));

		if (*host != '/' || *inside != '/')
			return broken(c, "mounts[%zu] has a relative path", i);
	}
	return true;
}

bool cdi_check(const json_t *spec, char *why, size_t size)
{
	const struct check c = { why, size };
	const char *kind, *slash, *name;
	const json_t *d, *other;
	size_t i, j;

	if (!check_object(&c, "the spec", spec, spec_members))
		return false;
	if (strcmp(json_string_value(json_object_get(spec, "cdiVersion")), "0.5.0"))
		return broken(&c, "cdiVersion is not 0.5.0");
	kind = json_string_value(json_object_get(spec, "kind"));
	slash = strchr(kind, '/');
	if (!slash || !is_name(kind, (size_t)(slash - kind), false, "-_.") ||
	    !is_name(slash + 1, strlen(slash + 1), false, "-_"))
		return broken(&c, "kind is not VENDOR/CLASS");
	if (!json_array_size(json_object_get(spec, "devices")))
		return broken(&c, "there is no device");
	json_array_foreach(json_object_get(spec, "devices"), i, d)
	{
		name = json_string_value(json_object_get(d, "name"));
		if (!is_name(name, strlen(name), true, "-_.:"))
			return broken(&c, "devices[%zu].name is no name", i);
		if (!json_object_size(json_object_get(d, "containerEdits")))
			return broken(&c, "devices[%zu] edits nothing", i);
		if (!check_edits(&c, json_object_get(d, "containerEdits")))
			return false;
		json_array_foreach(json_object_get(spec, "devices"), j, other)
		{
			if (j < i && !strcmp(name, json_string_value(json_object_get(other, "name"))))
				return broken(&c, "two devices are called %s", name);
		}
	}
	return !json_object_get(spec, "containerEdits") ||
	       check_edits(&c, json_object_get(spec, "containerEdits"));
}
