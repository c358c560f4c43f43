/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "work.h"

#include <stdio.h>
#include <sys/mman.h>

unsigned char *target(void)
{
	void *p = mmap(TARGET, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	MUST(p == TARGET);
	return p;
}

void start_work(struct raw *raw, struct raw_bond *bond)
{
	struct sva_demo_desc desc = raw_fill(target(), PATTERN, BYTES);

	raw_open(raw);
	raw_bind(raw, "sim0", bond);
	raw_submit(bond, &desc);
	say("bond %llu pasid %u", (unsigned long long)bond->id, bond->pasid);
}

void worker_parse(struct worker *w)
{
	unsigned long long id;

	MUST_EQ(sscanf(sys_expect(&w->child, "bond "), "bond %llu pasid %u", &id, &w->pasid), 2);
	w->bond = id;
}

void worker_start(struct worker *w, void (*fn)(void *arg), void *arg)
{
	sys_fault_ok("hold sim0");
	sys_child(&w->child, fn, arg);
	worker_parse(w);
	sys_fault_ok("wait sim0 held");
}

void work_and_wait(void *arg)
{
	struct raw_bond bond;
	struct raw raw;

	(void)arg;
	start_work(&raw, &bond);
	hear_this("end");
}
