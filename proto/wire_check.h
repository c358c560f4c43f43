/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SVAD_PROTO_WIRE_CHECK_H
#define SVAD_PROTO_WIRE_CHECK_H
/*
 * What a packet must satisfy before protobuf-c sees it. protobuf-c accepts more than we want from a stranger:
 * strings with NUL or terminal escapes in them, messages merged from repeated singular fields, any depth of
 * nesting.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#define WIRE_STRING_MAX 4096u /* bytes of one string */
#define WIRE_DEPTH_MAX 8u     /* messages inside messages */

/* True when data is one well-formed message of this type: complete fields, each singular field and each oneof
 * at most once, known fields with their own wire type, strings of valid UTF-8 with no control character and
 * at most WIRE_STRING_MAX bytes. Unknown fields are passed over, as protobuf's evolution rules want. Pure
 * function. */
bool wire_check(const ProtobufCMessageDescriptor *type, const void *data, size_t len);

/* True when text is valid UTF-8 without control characters (C0, DEL, C1). Pure function. */
bool wire_check_text(const void *text, size_t len);

#endif
