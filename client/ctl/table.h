/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_CTL_TABLE_H
#define SVAD_CTL_TABLE_H
/*
 * Tables for people: aligned by columns on the screen, not by bytes. On a terminal too narrow for one,
 * columns that may shrink do, and columns that may go go; through a pipe nothing is ever cut. One thread at a
 * time.
 */
#include <stdbool.h>
#include <stdio.h>

#include "term.h"

struct table;

struct table_column {
	const char *title;
	bool right;	 /* align to the right */
	unsigned shrink; /* may shrink to this many columns; 0: never */
	unsigned drop;	 /* the highest goes first when even that is not enough; 0: never */
};

/* columns: borrowed for the table's life. */
int table_new(const struct table_column *columns, unsigned n, struct table **ret);
void table_free(struct table *t);
/* The next cell, row by row, cleaned (text_clean). Memory that runs out is remembered and told by
 * table_print(). */
void table_cell(struct table *t, enum style style, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The column (by its number, below 32) is not shown when each of its cells is "-". */
void table_optional(struct table *t, unsigned column);
unsigned table_rows(const struct table *t);
/* width 0: unlimited. max_rows 0: all. 0 or -ENOMEM. eol: what ends each line ("\n"; top: clear to the end of
 * line). */
int table_print(const struct table *t, FILE *out, unsigned width, unsigned max_rows, const char *eol);

#endif
