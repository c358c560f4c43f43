/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SVAD_PROTO_STATUS_H
#define SVAD_PROTO_STATUS_H
/* The canonical gRPC status codes, as they stand in Status.code. */
enum svad_code {
	SVAD_OK = 0,
	SVAD_CANCELLED = 1,
	SVAD_UNKNOWN = 2,
	SVAD_INVALID_ARGUMENT = 3,
	SVAD_DEADLINE_EXCEEDED = 4,
	SVAD_NOT_FOUND = 5,
	SVAD_ALREADY_EXISTS = 6,
	SVAD_PERMISSION_DENIED = 7,
	SVAD_RESOURCE_EXHAUSTED = 8,
	SVAD_FAILED_PRECONDITION = 9,
	SVAD_ABORTED = 10,
	SVAD_OUT_OF_RANGE = 11,
	SVAD_UNIMPLEMENTED = 12,
	SVAD_INTERNAL = 13,
	SVAD_UNAVAILABLE = 14,
	SVAD_DATA_LOSS = 15,
	SVAD_UNAUTHENTICATED = 16,
};

/* "INVALID_ARGUMENT"; "UNKNOWN" for numbers that are none of the above. Never NULL. */
const char *svad_code_name(unsigned code);

/* The errno that libsvaclient returns for a code, negative; 0 for SVAD_OK. */
int svad_code_to_errno(unsigned code);

#endif
