/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_CONFIG_PRIVATE_H
#define SVAD_CONFIG_PRIVATE_H
/* Shared by config*.c only: the table of keys, and what a kind of value can do. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "config.h"

#define CONFIG_SUN_PATH_MAX                                                                                  \
	103u /* sun_path's 107, less the ".new" that a socket is called before it has its mode */
#define CONFIG_DEVICES_MAX 1024u
#define CONFIG_POLICIES_MAX 4096u

struct config_key;

struct config_type {
	/* Sets the field of object (struct config, config_device or config_policy). -EINVAL: *ret_why says
	 * what is wrong and what to write instead (malloc()ed); -ENOMEM. A list that is parsed again replaces
	 * the old one. */
	int (*parse)(const struct config_key *key, void *object, const char *value, char **ret_why);
	/* Writes what parse() reads back. False: nothing to write (an empty list). */
	bool (*format)(const struct config_key *key, const void *object, FILE *f);
	bool list; /* may go on over several lines */
};

struct config_name {
	const char *name;
	uint64_t value;
};

struct config_key {
	const char *section;
	const char *name; /* of a duration: "_ms" at its end may be left out or added, its value may have any
			     unit */
	const struct config_type *type;
	size_t offset;
	const char
		*def; /* the default, as one would write it; NULL: none, or worked out in config_finish() */
	uint64_t min, max;		 /* of numbers */
	const struct config_name *names; /* of words; ends with a NULL name */
	bool fixed;			 /* cannot change while the daemon runs */
	const char *alias;		 /* another name, NULL: none */
};

extern const struct config_key config_keys[]; /* ends with a NULL section */
extern const struct config_type config_type_u32, config_type_i32, config_type_ms, config_type_mode,
	config_type_bool, config_type_word, config_type_flags, config_type_string, config_type_uids,
	config_type_gids, config_type_globs;

const struct config_key *config_key_find(const char *section, const char *name);
const char *config_key_nearest(const char *section, const char *name); /* NULL: nothing is like it */
const char *config_section_nearest(const char *section);
int config_defaults(void *object, const char *section); /* 0, -ENOMEM */
void config_globs_free(struct config_globs *globs);
bool config_name_ok(const char *name);			/* of devices and policies */

struct origin {
	unsigned file, line;
};

/* A section, known by what it configures: [daemon] of two files is one of these, and so is [device "a"]. */
struct section {
	const char *kind; /* of config_keys; NULL: an unknown one, whose keys are passed over */
	size_t index;	  /* into config->devices or ->policies */
	struct origin at;
};

/* Where a key was set last. */
struct setting {
	size_t section;
	const struct config_key *key;
	struct origin at;
};

struct config_parser {
	struct config *config;
	struct config_errors *errors;
	bool trusted; /* text made by config_to_text(): no look-ups on this machine */
	int r;	      /* -ENOMEM: nothing more is done */

	char **files;
	size_t n_files;
	struct section *sections;
	size_t n_sections;
	struct setting *settings;
	size_t n_settings;

	/* the file being read */
	const char *text;
	size_t left;
	unsigned line;
	size_t section; /* n_sections: none yet */
	bool in_section, in_key, any_section;
	bool continuing; /* this line goes on with the key before */

	/* the key whose value may still go on in the next line */
	const struct config_key *key;
	char *value;
	struct origin key_at;
};

#define mistake(p, at, ...) config_error((p)->errors, (p)->files[(at).file], (at).line, __VA_ARGS__)

int config_parser_new(struct config_parser **ret, struct config_errors *errors, bool trusted);
int config_parser_feed(struct config_parser *p, const char *file, const char *text, size_t len);
/* All files are read: what can only be judged as a whole. Hands the config out when there was no mistake,
 * else -EINVAL. */
int config_parser_finish(struct config_parser *p, struct config **ret);
void config_parser_free(struct config_parser *p);

/* Appends "file:line: text"; line 0: "file: text". */
void config_error(struct config_errors *errors, const char *file, unsigned line, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

#endif
