/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "lacks.h"

#include <stdlib.h>
#include <string.h>

bool kernel_lacks(const char *what)
{
	const char *at = getenv("SVAD_TEST_LACKS");
	size_t n = strlen(what);

	while (at && *at) {
		size_t m = strcspn(at, ", ");

		if (m == n && strncmp(at, what, n) == 0)
			return true;
		at += m + strspn(at + m, ", ");
	}
	return false;
}
