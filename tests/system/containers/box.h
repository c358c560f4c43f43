/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_TESTS_BOX_H
#define SVAD_TESTS_BOX_H
/*
 * The program inside the containers of these tests; see box.c for what it obeys. One line is one command, one line its answer:
 *
 *	7 bind sim0		7 ok pasid=3 id=12
 *	8 copy sim0		8 error -108 the bond was revoked
 */
#include <stdbool.h>

#define BOX_WORDS 8

/* One command and where its answer goes. */
struct box_call {
	unsigned long seq;
	char *word[BOX_WORDS]; /* word[0] is the command; NULL after the last */
};

void box_ok(const struct box_call *call, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void box_error(const struct box_call *call, int error, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* The argument as a number, or what to take when there is none. */
unsigned long box_number(const struct box_call *call, unsigned i, unsigned long otherwise);

struct box_command {
	const char *name;
	void (*run)(struct box_call *call);
};
extern const struct box_command box_raw_commands[]; /* box-raw.c: tricks on the wire; ends with a NULL name */
extern const struct box_command box_hostile_commands[]; /* box-hostile.c: with what a bond is made of */

/* A command for svad's fault socket; prints the answer. main()'s exit status. */
int box_fault(int argc, char **argv);

#endif
