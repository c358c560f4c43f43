/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Kinds of values: how each is read, written back, and what its mistakes are called. */
#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config_private.h"

#define GLOB_MAX_BYTES 120u /* so that config_to_text() can put any item on a line of its own */
#define WRAP_COLUMN 120

static void *field(const struct config_key *key, void *object)
{
	return (char *)object + key->offset;
}

static const void *cfield(const struct config_key *key, const void *object)
{
	return (const char *)object + key->offset;
}

static int bad(char **ret_why, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int bad(char **ret_why, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(ret_why, fmt, ap);
	va_end(ap);
	if (n < 0) {
		*ret_why = NULL;
		return -ENOMEM;
	}
	return -EINVAL;
}

/* Decimal digits only; strtoull alone takes signs, blanks and 0x. */
static int parse_u64(const char *s, const char **ret_end, uint64_t *ret)
{
	char *end;

	if (!isdigit((unsigned char)s[0]))
		return -EINVAL;
	errno = 0;
	*ret = strtoull(s, &end, 10);
	if (errno)
		return -ERANGE;
	*ret_end = end;
	return 0;
}

static int u32_parse(const struct config_key *key, void *object, const char *value, char **ret_why)
{
	const char *end;
	uint64_t v;
	int r = parse_u64(value, &end, &v);

	if (r == -EINVAL || (r == 0 && *end))
		return bad(ret_why, "'%s' is not a number; write a whole number from %ju to %ju", value,
			   (uintmax_t)key->min, (uintmax_t)key->max);
	if (r < 0 || v < key->min || v > key->max)
		return bad(ret_why, "%s is out of range; write a number from %ju to %ju", value,
			   (uintmax_t)key->min, (uintmax_t)key->max);
	*(uint32_t *)field(key, object) = (uint32_t)v;
	return 0;
}

static bool u32_format(const struct config_key *key, const void *object, FILE *f)
{
	fprintf(f, "%u", *(const uint32_t *)cfield(key, object));
	return true;
}

static int i32_parse(const struct config_key *key, void *object, const char *value, char **ret_why)
{
	const char *end;
	uint64_t v = 0;
	int r;

	if (strcmp(value, "-1") == 0) {
		*(int32_t *)field(key, object) = -1;
		return 0;
	}
	r = parse_u64(value, &end, &v);
	if (r < 0 || *end || v > key->max)
		return bad(ret_why, "'%s' is none; write -1 (no node) or a number from 0 to %ju", value,
			   (uintmax_t)key->max);
	*(int32_t *)field(key, object) = (int32_t)v;
	return 0;
}

static bool i32_format(const struct config_key *key, const void *object, FILE *f)
{
	fprintf(f, "%d", *(const int32_t *)cfield(key, object));
	return true;
}

static int ms_parse(const struct config_key *key, void *object, const char *value, char **ret_why)
{
	static const struct config_name units[] = {
		{ "", 1 },	  { "ms", 1 },	  { "s", 1000 },    { "sec", 1000 },
		{ "min", 60000 }, { "m", 60000 }, { "h", 3600000 }, { NULL, 0 },
	};
	const char *end = value;
	uint64_t v = 0, unit = 0;
	int r = parse_u64(value, &end, &v);

	if (r == 0) {
		end += strspn(end, " ");
		for (const struct config_name *u = units; u->name; u++) {
			if (strcmp(end, u->name) == 0)
				unit = u->value;
		}
	}
	if (r == -EINVAL || (r == 0 && !unit))
		return bad(ret_why,
			   "'%s' is not a duration; write milliseconds, or a number with ms, s, min or h, "
			   "such as 2s",
			   value);
	if (r < 0 || v > UINT32_MAX || v * unit < key->min || v * unit > key->max)
		return bad(ret_why, "%s is out of range; write a duration from %ju ms to %ju ms", value,
			   (uintmax_t)key->min, (uintmax_t)key->max);
	*(uint32_t *)field(key, object) = (uint32_t)(v * unit);
	return 0;
}

static int mode_parse(const struct config_key *key, void *object, const char *value, char **ret_why)
{
	size_t n = strlen(value);

	if (n == 0 || n > 4 || strspn(value, "01234567") != n || strtoul(value, NULL, 8) > 0777)
		return bad(ret_why, "'%s' is not a file mode; write three or four octal digits, such as 0660",
			   value);
	*(mode_t *)field(key, object) = (mode_t)strtoul(value, NULL, 8);
	return 0;
}

static bool mode_format(const struct config_key *key, const void *object, FILE *f)
{
	fprintf(f, "%04o", *(const mode_t *)cfield(key, object));
	return true;
}

static int bool_parse(const struct config_key *key, void *object, const char *value, char **ret_why)
{
	static const char *const yes[] = { "yes", "true", "on", "1" }, *const no[] = { "no", "false", "off",
										       "0" };

	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
		if (strcasecmp(value, yes[i]) == 0 || strcasecmp(value, no[i]) == 0) {
			/* max 1: the field says the opposite of the key (allow = no sets deny) */
			*(bool *)field(key, object) = (strcasecmp(value, yes[i]) == 0) != (key->max == 1);
			return 0;
		}
	}
	return bad(ret_why, "'%s' is neither; write yes or no", value);
}

static bool bool_format(const struct config_key *key, const void *object, FILE *f)
{
	fputs(*(const bool *)cfield(key, object) != (key->max == 1) ? "yes" : "no", f);
	return true;
}

/* "a, b or c" */
static void list_names(const struct config_name *names, char *buf, size_t size)
{
	size_t at = 0;

	buf[0] = '\0';
	for (const struct config_name *n = names; n->name && at < size; n++) {
		const char *sep = n == names ? "" : n[1].name ? ", " : " or ";
		int k = snprintf(buf + at, size - at, "%s%s", sep, n->name);

		at += k > 0 ? (size_t)k : 0;
	}
}

static const struct config_name *name_find(const struct config_name *names, const char *word)
{
	for (const struct config_name *n = names; n->name; n++) {
		if (strcasecmp(n->name, word) == 0)
			return n;
	}
	return NULL;
}

static int word_parse(const struct config_key *key, void *object, const char *value, char **ret_why)
{
	const struct config_name *n = name_find(key->names, value);
	char all[256];

	if (!n) {
		list_names(key->names, all, sizeof(all));
		return bad(ret_why, "'%s' is not known; write %s", value, all);
	}
	*(int *)field(key, object) = (int)n->value;
	return 0;
}

static bool word_format(const struct config_key *key, const void *object, FILE *f)
{
	int v = *(const int *)cfield(key, object);

	for (const struct config_name *n = key->names; n->name; n++) {
		if ((int)n->value == v) {
			fputs(n->name, f);
			return true;
		}
	}
	return false;
}

/* The next word of a list: blanks and commas part them. NULL: the end. */
static char *next_word(char **at)
{
	char *s = *at + strspn(*at, " ,\t"), *end = s + strcspn(s, " ,\t");

	if (!*s)
		return NULL;
	*at = *end ? end + 1 : end;
	*end = '\0';
	return s;
}

static int flags_parse(const struct config_key *key, void *object, const char *value, char **ret_why)
{
	char *copy = strdup(value), *at = copy, *word, all[256];
	uint64_t v = 0;
	int r = 0;

	if (!copy)
		return -ENOMEM;
	while (r == 0 && (word = next_word(&at))) {
		const struct config_name *n = name_find(key->names, word);

		if (n) {
			v |= n->value;
			continue;
		}
		list_names(key->names, all, sizeof(all));
		r = bad(ret_why, "'%s' is not known; write any of %s", word, all);
	}
	if (r == 0 && v == 0) {
		list_names(key->names, all, sizeof(all));
		r = bad(ret_why, "it is empty; write any of %s", all);
	}
	free(copy);
	if (r == 0)
		*(uint64_t *)field(key, object) = v;
	return r;
}

static bool flags_format(const struct config_key *key, const void *object, FILE *f)
{
	uint64_t v = *(const uint64_t *)cfield(key, object);
	const char *sep = "";

	for (const struct config_name *n = key->names; n->name; n++) {
		if (v & n->value) {
			fprintf(f, "%s%s", sep, n->name);
			sep = " ";
		}
	}
	return true;
}

static int string_parse(const struct config_key *key, void *object, const char *value, char **ret_why)
{
	char *copy;

	for (const char *s = value; *s; s++) {
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return bad(ret_why, "there is a control character in it; remove it");
	}
	if (key->max && strlen(value) > key->max)
		return bad(ret_why, "it is %zu bytes long; at most %ju fit", strlen(value),
			   (uintmax_t)key->max);
	if (key->min && !*value)
		return bad(ret_why, "it is empty; write a value or remove the line");
	copy = strdup(value);
	if (!copy)
		return -ENOMEM;
	free(*(char **)field(key, object));
	*(char **)field(key, object) = copy;
	return 0;
}

static bool string_format(const struct config_key *key, const void *object, FILE *f)
{
	const char *s = *(char *const *)cfield(key, object);

	if (!s)
		return false;
	fputs(s, f);
	return true;
}

static int resolve_user(const char *name, uint32_t *ret)
{
	struct passwd pw, *found = NULL;
	char buf[16384];
	int r = getpwnam_r(name, &pw, buf, sizeof(buf), &found);

	if (!found)
		return r ? -r : -ENOENT;
	*ret = pw.pw_uid;
	return 0;
}

static int resolve_group(const char *name, uint32_t *ret)
{
	struct group gr, *found = NULL;
	char buf[65536];
	int r = getgrnam_r(name, &gr, buf, sizeof(buf), &found);

	if (!found)
		return r ? -r : -ENOENT;
	*ret = gr.gr_gid;
	return 0;
}

/* 1000, 1005-1010 or a name */
static int range_parse(const char *word, bool group, struct config_range *ret, char **ret_why)
{
	const char *what = group ? "group" : "user", *end;
	uint64_t first, last;
	uint32_t id;

	if (isdigit((unsigned char)word[0])) {
		if (parse_u64(word, &end, &first) < 0 || first >= UINT32_MAX)
			goto number;
		last = first;
		if (*end == '-' && (parse_u64(end + 1, &end, &last) < 0 || last >= UINT32_MAX))
			goto number;
		if (*end)
			goto number;
		if (last < first)
			return bad(ret_why, "'%s' ends before it begins; write the lower number first", word);
		*ret = (struct config_range){ (uint32_t)first, (uint32_t)last };
		return 0;
	}
	if ((group ? resolve_group : resolve_user)(word, &id) < 0)
		return bad(ret_why, "there is no %s '%s' on this machine; write an existing name or a number",
			   what, word);
	*ret = (struct config_range){ id, id };
	return 0;
number:
	return bad(ret_why, "'%s' is neither a %s id, nor a range such as 1000-1999, nor a name", word, what);
}

static int ranges_parse(const char *value, bool group, bool *ret_any, struct config_range **ret,
			size_t *ret_n, char **ret_why)
{
	char *copy = strdup(value), *at = copy, *word;
	struct config_range *ranges = NULL;
	bool any = false;
	size_t n = 0;
	int r = 0;

	if (!copy)
		return -ENOMEM;
	while (r == 0 && (word = next_word(&at))) {
		struct config_range *more;

		if (ret_any && strcmp(word, "*") == 0) {
			any = true;
			continue;
		}
		more = reallocarray(ranges, n + 1, sizeof(*ranges));
		if (!more) {
			r = -ENOMEM;
			break;
		}
		ranges = more;
		r = range_parse(word, group, &ranges[n], ret_why);
		n++;
	}
	free(copy);
	if (r == 0 && n == 0 && !any)
		r = bad(ret_why, "it is empty; write ids, ranges or names%s",
			ret_any ? ", or * for everybody" : "");
	if (r < 0) {
		free(ranges);
		return r;
	}
	free(*ret);
	*ret = ranges;
	*ret_n = n;
	if (ret_any)
		*ret_any = any;
	return 0;
}

/* Puts an item of a list; begins a new (continuation) line before the line is too long for inih. */
static void put_item(FILE *f, int *column, const char *item)
{
	int n = (int)strlen(item);

	if (*column + n > WRAP_COLUMN) {
		fputs("\n\t", f);
		*column = 0;
	} else if (*column > 0) {
		fputc(' ', f);
		n++;
	}
	fputs(item, f);
	*column += n;
}

static void ranges_format(FILE *f, int *column, const struct config_range *ranges, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char item[32];

		if (ranges[i].first == ranges[i].last)
			snprintf(item, sizeof(item), "%u", ranges[i].first);
		else
			snprintf(item, sizeof(item), "%u-%u", ranges[i].first, ranges[i].last);
		put_item(f, column, item);
	}
}

static int uids_parse(const struct config_key *key, void *object, const char *value, char **ret_why)
{
	struct config_policy *p = object;

	(void)key;
	return ranges_parse(value, false, &p->any_uid, &p->uids, &p->n_uids, ret_why);
}

static bool uids_format(const struct config_key *key, const void *object, FILE *f)
{
	const struct config_policy *p = object;
	int column = 0;

	(void)key;
	if (p->any_uid)
		put_item(f, &column, "*");
	ranges_format(f, &column, p->uids, p->n_uids);
	return column > 0;
}

static int gids_parse(const struct config_key *key, void *object, const char *value, char **ret_why)
{
	struct config_policy *p = object;

	(void)key;
	return ranges_parse(value, true, NULL, &p->gids, &p->n_gids, ret_why);
}

static bool gids_format(const struct config_key *key, const void *object, FILE *f)
{
	const struct config_policy *p = object;
	int column = 0;

	(void)key;
	ranges_format(f, &column, p->gids, p->n_gids);
	return column > 0;
}

/* fnmatch() takes an unclosed [ literally; whoever wrote it meant something else. */
static bool glob_ok(const char *s)
{
	for (; *s; s++) {
		if (*s == '\\' && s[1]) {
			s++;
		} else if (*s == '[') {
			const char *t = s + 1;

			if (*t == '!' || *t == '^')
				t++;
			t = *t ? strchr(t + 1, ']') : NULL;
			if (!t)
				return false;
			s = t;
		}
	}
	return true;
}

void config_globs_free(struct config_globs *globs)
{
	for (size_t i = 0; i < globs->n; i++)
		free(globs->items[i]);
	free(globs->items);
	*globs = (struct config_globs){ 0 };
}

static int globs_parse(const struct config_key *key, void *object, const char *value, char **ret_why)
{
	struct config_globs globs = { 0 };
	char *copy = strdup(value), *at = copy, *word;
	int r = copy ? 0 : -ENOMEM;

	while (r == 0 && (word = next_word(&at))) {
		char **more;

		if (strlen(word) > GLOB_MAX_BYTES)
			r = bad(ret_why,
				"the pattern '%.20s...' is longer than %u bytes; shorten it with a *", word,
				GLOB_MAX_BYTES);
		else if (!glob_ok(word))
			r = bad(ret_why, "the pattern '%s' opens a [ that is not closed; write [...] or \\[",
				word);
		if (r < 0)
			break;
		more = reallocarray(globs.items, globs.n + 1, sizeof(*more));
		if (more)
			globs.items = more;
		if (!more || !(more[globs.n] = strdup(word))) {
			r = -ENOMEM;
			break;
		}
		globs.n++;
	}
	free(copy);
	if (r == 0 && globs.n == 0)
		r = bad(ret_why, "it is empty; write names or patterns, or * for all of them");
	if (r < 0) {
		config_globs_free(&globs);
		return r;
	}
	config_globs_free(field(key, object));
	*(struct config_globs *)field(key, object) = globs;
	return 0;
}

static bool globs_format(const struct config_key *key, const void *object, FILE *f)
{
	const struct config_globs *globs = cfield(key, object);
	int column = 0;

	for (size_t i = 0; i < globs->n; i++)
		put_item(f, &column, globs->items[i]);
	return column > 0;
}

const struct config_type config_type_u32 = { u32_parse, u32_format, false };
const struct config_type config_type_i32 = { i32_parse, i32_format, false };
const struct config_type config_type_ms = { ms_parse, u32_format, false };
const struct config_type config_type_mode = { mode_parse, mode_format, false };
const struct config_type config_type_bool = { bool_parse, bool_format, false };
const struct config_type config_type_word = { word_parse, word_format, false };
const struct config_type config_type_flags = { flags_parse, flags_format, true };
const struct config_type config_type_string = { string_parse, string_format, false };
const struct config_type config_type_uids = { uids_parse, uids_format, true };
const struct config_type config_type_gids = { gids_parse, gids_format, true };
const struct config_type config_type_globs = { globs_parse, globs_format, true };
