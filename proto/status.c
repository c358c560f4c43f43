/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "status.h"

#include <errno.h>
#include <stddef.h>

static const struct {
	const char *name;
	int error;
} codes[] = {
	[SVAD_OK] = { "OK", 0 },
	[SVAD_CANCELLED] = { "CANCELLED", -ECANCELED },
	[SVAD_UNKNOWN] = { "UNKNOWN", -EIO },
	[SVAD_INVALID_ARGUMENT] = { "INVALID_ARGUMENT", -EINVAL },
	[SVAD_DEADLINE_EXCEEDED] = { "DEADLINE_EXCEEDED", -ETIMEDOUT },
	[SVAD_NOT_FOUND] = { "NOT_FOUND", -ENOENT },
	[SVAD_ALREADY_EXISTS] = { "ALREADY_EXISTS", -EEXIST },
	[SVAD_PERMISSION_DENIED] = { "PERMISSION_DENIED", -EACCES },
	/* what the kernel module says when a limit is hit */
	[SVAD_RESOURCE_EXHAUSTED] = { "RESOURCE_EXHAUSTED", -ENOSPC },
	/* something must end first: a drain, a quarantine */
	[SVAD_FAILED_PRECONDITION] = { "FAILED_PRECONDITION", -EBUSY },
	[SVAD_ABORTED] = { "ABORTED", -EBUSY },
	[SVAD_OUT_OF_RANGE] = { "OUT_OF_RANGE", -ERANGE },
	[SVAD_UNIMPLEMENTED] = { "UNIMPLEMENTED", -EOPNOTSUPP },
	[SVAD_INTERNAL] = { "INTERNAL", -EIO },
	/* the device, or what stands behind it, is not there now */
	[SVAD_UNAVAILABLE] = { "UNAVAILABLE", -ENODEV },
	[SVAD_DATA_LOSS] = { "DATA_LOSS", -EBADMSG },
	[SVAD_UNAUTHENTICATED] = { "UNAUTHENTICATED", -EPERM },
};

#define N_CODES (sizeof(codes) / sizeof(codes[0]))

const char *svad_code_name(unsigned code)
{
	return code < N_CODES ? codes[code].name : codes[SVAD_UNKNOWN].name;
}

int svad_code_to_errno(unsigned code)
{
	return code < N_CODES ? codes[code].error : codes[SVAD_UNKNOWN].error;
}
