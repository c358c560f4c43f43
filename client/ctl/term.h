/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_CTL_TERM_H
#define SVAD_CTL_TERM_H
/*
 * What stdout is, colours, and text that is safe to show. Single-threaded.
 */
#include <stdbool.h>
#include <stddef.h>

enum style { STYLE_NONE, STYLE_BOLD, STYLE_DIM, STYLE_RED, STYLE_GREEN, STYLE_YELLOW, STYLE_CYAN };

/* Once, before all else: looks at stdout, NO_COLOR, TERM, COLUMNS and the locale. */
void term_init(void);
bool term_is_tty(void); /* stdout is a terminal */
bool term_color(void);	/* and colour is wanted */
bool term_utf8(void);	/* the locale's charset is UTF-8 */
/* Size now (follows SIGWINCH by asking). width 0: unlimited (stdout is no terminal, and COLUMNS is not set).
 */
void term_size(unsigned *ret_width, unsigned *ret_height);

/* Escape sequence, "" when there is no colour. */
const char *style_on(enum style style);
const char *style_off(enum style style);

/* Columns of a UTF-8 text: combining marks 0, East Asian wide and emoji 2, everything else 1. */
size_t text_width(const char *text);
/* Bytes of the longest prefix of text of at most max columns. */
size_t text_prefix(const char *text, size_t max);
/* Copies text to buf, with whatever could command a terminal (controls, bidi overrides, bad UTF-8) replaced
 * by "?". Returns buf. The wire refuses controls already; names from /proc and our own messages come by here
 * as well. */
char *text_clean(const char *text, char *buf, size_t size);

#endif
