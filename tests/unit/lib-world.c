// SPDX-License-Identifier: GPL-2.0-or-later
#include "lib-world.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

struct fake fake;

static int open_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static int fds_before;

void world_setup(void)
{
	fds_before = open_fds();
	fake_start(&fake);
}

/* Whatever happened, nothing may be left: not here, and not at the device. */
void world_teardown(void)
{
	fake_await(&fake, &fake.n_bond_open, 0);
	fake_await(&fake, &fake.n_ctx_open, 0);
	fake_stop(&fake);
	ck_assert_int_eq(open_fds(), fds_before);
}

struct sva *connected(int timeout_ms)
{
	struct sva *sva = NULL;
	int r;

	do
		r = sva_connect(fake.path, timeout_ms, &sva);
	while (r == -ETIMEDOUT);
	ck_assert_msg(r == 0, "%s", sva_strerror(NULL, r));
	return sva;
}

struct sva_bond *bound(struct sva *sva, const char *name)
{
	struct sva_bond *bond = NULL;
	int r;

	do
		r = sva_bind(sva, name, &bond);
	while (r == -ETIMEDOUT);
	ck_assert_msg(r == 0, "%s", sva_strerror(sva, r));
	return bond;
}

int listed(struct sva *sva)
{
	int r;

	do
		r = sva_list_devices(sva, NULL, 0);
	while (r == -ETIMEDOUT);
	return r;
}

void ck_words(struct sva *sva, int r, int expected, const char *words)
{
	const char *text = sva_strerror(sva, r);

	ck_assert_int_eq(r, expected);
	ck_assert_msg(strstr(text, words) != NULL, "\"%s\" says nothing of \"%s\"", text, words);
}
