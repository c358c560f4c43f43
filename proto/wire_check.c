/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "wire_check.h"

struct cursor {
	const uint8_t *p, *end;
};

static bool read_varint(struct cursor *c, uint64_t *ret)
{
	uint64_t value = 0;

	for (unsigned shift = 0; shift < 70; shift += 7) {
		uint8_t byte;

		if (c->p == c->end)
			return false;
		byte = *c->p++;
		if (shift == 63 && byte > 1)
			return false; /* more than 64 bits */
		value |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80)) {
			*ret = value;
			return true;
		}
	}
	return false;
}

static bool skip(struct cursor *c, uint64_t n)
{
	if (n > (uint64_t)(c->end - c->p))
		return false;
	c->p += n;
	return true;
}

bool wire_check_text(const void *text, size_t len)
{
	const uint8_t *p = text, *end = p + len;

	while (p < end) {
		uint32_t c = *p++, min;
		unsigned more;

		if (c < 0x80) {
			if (c < 0x20 || c == 0x7f)
				return false;
			continue;
		}
		if (c >= 0xc2 && c <= 0xdf) {
			more = 1, min = 0xa0, c &= 0x1f; /* U+0080..9F are control characters too */
		} else if ((c & 0xf0) == 0xe0) {
			more = 2, min = 0x800, c &= 0x0f;
		} else if (c >= 0xf0 && c <= 0xf4) {
			more = 3, min = 0x10000, c &= 0x07;
		} else {
			return false;
		}
		for (; more > 0; more--, p++) {
			if (p == end || (*p & 0xc0) != 0x80)
				return false;
			c = c << 6 | (*p & 0x3f);
		}
		if (c < min || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
			return false;
	}
	return true;
}

static uint32_t wire_type_of(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_BYTES:
	case PROTOBUF_C_TYPE_MESSAGE:
		return PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED;
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_FLOAT:
		return PROTOBUF_C_WIRE_TYPE_32BIT;
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return PROTOBUF_C_WIRE_TYPE_64BIT;
	default:
		return PROTOBUF_C_WIRE_TYPE_VARINT;
	}
}

static bool check_message(const ProtobufCMessageDescriptor *type, struct cursor c, unsigned depth);

/* The cursor stands after the key; known fields only. */
static bool check_length_prefixed(const ProtobufCFieldDescriptor *field, struct cursor *c, unsigned depth)
{
	struct cursor inner;
	uint64_t len;

	if (!read_varint(c, &len))
		return false;
	inner.p = c->p;
	if (!skip(c, len))
		return false;
	inner.end = c->p;
	if (!field)
		return true;
	if (field->type == PROTOBUF_C_TYPE_STRING)
		return len <= WIRE_STRING_MAX && wire_check_text(inner.p, (size_t)len);
	if (field->type == PROTOBUF_C_TYPE_MESSAGE)
		return check_message(field->descriptor, inner, depth + 1);
	return true; /* bytes, packed numbers */
}

static bool check_message(const ProtobufCMessageDescriptor *type, struct cursor c, unsigned depth)
{
	uint64_t seen = 0;
	bool oneof_seen = false; /* no message of ours has two oneofs */

	if (depth >= WIRE_DEPTH_MAX)
		return false;

	while (c.p < c.end) {
		const ProtobufCFieldDescriptor *field;
		uint64_t key, value;

		/* Tags have 29 bits. protobuf-c reads a key of at most 5 bytes, so do we. */
		if (!read_varint(&c, &key) || key >> 32 || key >> 3 == 0)
			return false;
		field = protobuf_c_message_descriptor_get_field(type, (unsigned)(key >> 3));
		if (field) {
			ptrdiff_t index = field - type->fields;
			bool packed = field->label == PROTOBUF_C_LABEL_REPEATED &&
				      (key & 7) == PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED;

			if ((key & 7) != wire_type_of(field->type) && !packed)
				return false;
			if (field->label != PROTOBUF_C_LABEL_REPEATED && index < 64) {
				if (seen & (UINT64_C(1) << index))
					return false;
				seen |= UINT64_C(1) << index;
			}
			if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) {
				if (oneof_seen)
					return false;
				oneof_seen = true;
			}
		}

		switch (key & 7) {
		case PROTOBUF_C_WIRE_TYPE_VARINT:
			if (!read_varint(&c, &value))
				return false;
			break;
		case PROTOBUF_C_WIRE_TYPE_64BIT:
			if (!skip(&c, 8))
				return false;
			break;
		case PROTOBUF_C_WIRE_TYPE_32BIT:
			if (!skip(&c, 4))
				return false;
			break;
		case PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED:
			if (!check_length_prefixed(field, &c, depth))
				return false;
			break;
		default: /* groups have been dead since proto2 */
			return false;
		}
	}
	return true;
}

bool wire_check(const ProtobufCMessageDescriptor *type, const void *data, size_t len)
{
	struct cursor c = { .p = data, .end = (const uint8_t *)data + len };

	return check_message(type, c, 0);
}
