// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "table.h"

#define GAP 2u
#define CELL_MAX 512

struct cell {
	char *text;
	unsigned width;
	enum style style;
};

struct table {
	const struct table_column *columns;
	unsigned n_columns;
	struct cell *cells;
	size_t n, room;
	bool oom;
	uint32_t optional; /* a bit for each column */
};

int table_new(const struct table_column *columns, unsigned n, struct table **ret)
{
	struct table *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->columns = columns;
	t->n_columns = n;
	*ret = t;
	return 0;
}

void table_free(struct table *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->n; i++)
		free(t->cells[i].text);
	free(t->cells);
	free(t);
}

void table_cell(struct table *t, enum style style, const char *fmt, ...)
{
	char text[CELL_MAX], clean[CELL_MAX];
	va_list ap;

	if (t->n == t->room) {
		size_t room = t->room ? t->room * 2 : 64;
		struct cell *cells = reallocarray(t->cells, room, sizeof(*cells));

		if (!cells) {
			t->oom = true;
			return;
		}
		t->cells = cells;
		t->room = room;
	}
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	text_clean(text, clean, sizeof(clean));

	t->cells[t->n].text = strdup(clean);
	if (!t->cells[t->n].text) {
		t->oom = true;
		return;
	}
	t->cells[t->n].width = (unsigned)text_width(clean);
	t->cells[t->n].style = style;
	t->n++;
}

void table_optional(struct table *t, unsigned column)
{
	t->optional |= 1u << column;
}

/* Nothing in it but dashes. */
static bool is_blank(const struct table *t, unsigned column, unsigned rows)
{
	for (unsigned r = 0; r < rows; r++)
		if (strcmp(t->cells[(size_t)r * t->n_columns + column].text, "-"))
			return false;
	return true;
}

unsigned table_rows(const struct table *t)
{
	return (unsigned)(t->n / t->n_columns);
}

static unsigned total(const unsigned *widths, unsigned n)
{
	unsigned sum = 0, shown = 0;

	for (unsigned c = 0; c < n; c++) {
		sum += widths[c];
		shown += widths[c] > 0;
	}
	return sum + (shown ? (shown - 1) * GAP : 0);
}

/* Narrows columns until the table fits: the widest one that may shrink by one at a time, then the most
 * droppable one. */
static void fit(const struct table *t, unsigned *widths, unsigned width)
{
	while (total(widths, t->n_columns) > width) {
		unsigned best = t->n_columns;

		for (unsigned c = 0; c < t->n_columns; c++)
			if (t->columns[c].shrink && widths[c] > t->columns[c].shrink &&
			    (best == t->n_columns || widths[c] > widths[best]))
				best = c;
		if (best < t->n_columns) {
			widths[best]--;
			continue;
		}
		for (unsigned c = 0; c < t->n_columns; c++)
			if (t->columns[c].drop && widths[c] &&
			    (best == t->n_columns || t->columns[c].drop > t->columns[best].drop))
				best = c;
		if (best == t->n_columns)
			return; /* the terminal wraps what is left */
		widths[best] = 0;
	}
}

static void put(FILE *out, const char *text, unsigned have, unsigned width, bool right, bool last,
		enum style style)
{
	unsigned pad = have < width ? width - have : 0;

	if (right)
		fprintf(out, "%*s", (int)pad, "");
	if (have <= width) {
		fprintf(out, "%s%s%s", style_on(style), text, style_off(style));
	} else {
		const char *dots = term_utf8() ? "\xe2\x80\xa6" : "~";
		size_t bytes = text_prefix(text, width - 1);
		char prefix[CELL_MAX];

		snprintf(prefix, sizeof(prefix), "%.*s", (int)bytes, text);
		fprintf(out, "%s%s%s%s", style_on(style), prefix, dots, style_off(style));
		/* Cut before a wide character: one column is left over. */
		if (!last && text_width(prefix) + 1 < width)
			fputc(' ', out);
		return;
	}
	if (!right && !last)
		fprintf(out, "%*s", (int)pad, "");
}

int table_print(const struct table *t, FILE *out, unsigned width, unsigned max_rows, const char *eol)
{
	unsigned *widths;
	unsigned last = 0, rows = table_rows(t);

	if (t->oom)
		return -ENOMEM;
	widths = calloc(t->n_columns, sizeof(*widths));
	if (!widths)
		return -ENOMEM;
	for (unsigned c = 0; c < t->n_columns; c++) {
		if (t->optional & 1u << c && is_blank(t, c, rows))
			continue;
		widths[c] = (unsigned)text_width(t->columns[c].title);
		for (unsigned r = 0; r < rows; r++) {
			unsigned w = t->cells[(size_t)r * t->n_columns + c].width;

			if (w > widths[c])
				widths[c] = w;
		}
	}
	if (width)
		fit(t, widths, width);
	if (max_rows && rows > max_rows)
		rows = max_rows;
	for (unsigned c = 0; c < t->n_columns; c++)
		if (widths[c])
			last = c;

	for (unsigned r = 0; r <= rows; r++) {
		bool first = true;

		for (unsigned c = 0; c < t->n_columns; c++) {
			const struct table_column *col = &t->columns[c];

			if (!widths[c])
				continue;
			if (!first)
				fprintf(out, "%*s", (int)GAP, "");
			first = false;
			if (!r) {
				put(out, col->title, (unsigned)text_width(col->title), widths[c], col->right,
				    c == last, STYLE_BOLD);
			} else {
				const struct cell *cell = &t->cells[(size_t)(r - 1) * t->n_columns + c];

				put(out, cell->text, cell->width, widths[c], col->right, c == last,
				    cell->style);
			}
		}
		fputs(eol, out);
	}
	free(widths);
	return 0;
}
