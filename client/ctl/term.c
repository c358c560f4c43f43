// SPDX-License-Identifier: GPL-2.0-or-later
#include <langinfo.h>
#include <locale.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "ctl.h"
#include "term.h"

static bool is_tty, use_color, is_utf8;

void term_init(void)
{
	const char *no_color = getenv("NO_COLOR");
	const char *term = getenv("TERM");
	const char *codeset;

	setlocale(LC_CTYPE, "");
	codeset = nl_langinfo(CODESET);
	is_utf8 = codeset && !strcmp(codeset, "UTF-8");
	is_tty = isatty(STDOUT_FILENO);
	use_color = is_tty && !(no_color && *no_color) && term && *term && strcmp(term, "dumb");
}

bool term_is_tty(void)
{
	return is_tty;
}

bool term_color(void)
{
	return use_color;
}

bool term_utf8(void)
{
	return is_utf8;
}

void term_size(unsigned *ret_width, unsigned *ret_height)
{
	const char *columns = getenv("COLUMNS");
	struct winsize ws;
	uint64_t v;

	*ret_width = is_tty ? 80 : 0;
	*ret_height = 24;
	if (is_tty && !ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws)) {
		if (ws.ws_col)
			*ret_width = ws.ws_col;
		if (ws.ws_row)
			*ret_height = ws.ws_row;
	} else if (columns && ctl_u64(columns, &v) && v >= 20 && v <= 10000) {
		*ret_width = (unsigned)v;
	}
}

const char *style_on(enum style style)
{
	static const char *const on[] = {
		[STYLE_NONE] = "",	   [STYLE_BOLD] = "\033[1m",   [STYLE_DIM] = "\033[2m",
		[STYLE_RED] = "\033[31m",  [STYLE_GREEN] = "\033[32m", [STYLE_YELLOW] = "\033[33m",
		[STYLE_CYAN] = "\033[36m",
	};

	return use_color ? on[style] : "";
}

const char *style_off(enum style style)
{
	return use_color && style != STYLE_NONE ? "\033[0m" : "";
}

/* Decodes one character. Returns its bytes; 1 and *ret = UINT32_MAX when it is no valid UTF-8. */
static size_t decode(const unsigned char *s, uint32_t *ret)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t n;
	uint32_t c;

	if (s[0] < 0x80) {
		*ret = s[0];
		return 1;
	}
	if ((s[0] & 0xe0) == 0xc0) {
		n = 2;
		c = s[0] & 0x1fu;
	} else if ((s[0] & 0xf0) == 0xe0) {
		n = 3;
		c = s[0] & 0x0fu;
	} else if ((s[0] & 0xf8) == 0xf0) {
		n = 4;
		c = s[0] & 0x07u;
	} else {
		*ret = UINT32_MAX;
		return 1;
	}
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80) {
			*ret = UINT32_MAX;
			return 1;
		}
		c = c << 6 | (s[i] & 0x3fu);
	}
	if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) {
		*ret = UINT32_MAX;
		return 1;
	}
	*ret = c;
	return n;
}

static size_t char_width(uint32_t c)
{
	if (c == 0x200b || c == 0x200d || (c >= 0x300 && c <= 0x36f) || (c >= 0x1ab0 && c <= 0x1aff) ||
	    (c >= 0x20d0 && c <= 0x20ff) || (c >= 0xfe00 && c <= 0xfe0f) || (c >= 0xfe20 && c <= 0xfe2f))
		return 0;
	if ((c >= 0x1100 && c <= 0x115f) || (c >= 0x2e80 && c <= 0xa4cf) || (c >= 0xac00 && c <= 0xd7a3) ||
	    (c >= 0xf900 && c <= 0xfaff) || (c >= 0xfe30 && c <= 0xfe6f) || (c >= 0xff00 && c <= 0xff60) ||
	    (c >= 0xffe0 && c <= 0xffe6) || (c >= 0x1f300 && c <= 0x1faff) || (c >= 0x20000 && c <= 0x3fffd))
		return 2;
	return 1;
}

/* Controls, and what reorders or hides text around it. */
static bool is_unsafe(uint32_t c)
{
	return c == UINT32_MAX || c < 0x20 || (c >= 0x7f && c <= 0x9f) || c == 0x61c || c == 0x200e ||
	       c == 0x200f || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0xfeff;
}

size_t text_width(const char *text)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t width = 0;
	uint32_t c;

	while (*s) {
		s += decode(s, &c);
		width += char_width(c);
	}
	return width;
}

size_t text_prefix(const char *text, size_t max)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t width = 0;
	uint32_t c;

	while (*s) {
		size_t n = decode(s, &c);

		width += char_width(c);
		if (width > max)
			break;
		s += n;
	}
	return (size_t)(s - (const unsigned char *)text);
}

char *text_clean(const char *text, char *buf, size_t size)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t used = 0;
	uint32_t c;

	while (*s && used + 1 < size) {
		size_t n = decode(s, &c);

		if (is_unsafe(c)) {
			buf[used++] = '?';
		} else {
			if (used + n >= size)
				break;
			memmove(buf + used, s, n); /* buf may be text itself */
			used += n;
		}
		s += n;
	}
	buf[used] = 0;
	return buf;
}
