// SPDX-License-Identifier: GPL-2.0-or-later
#include <string.h>

#include "rpc_clean.h"
#include "term.h"

static void clean_value(const ProtobufCFieldDescriptor *f, void *value)
{
	if (f->type == PROTOBUF_C_TYPE_STRING) {
		char *text = *(char **)value;

		/* The empty default is a constant, and needs nothing. What is cleaned is never longer than
		 * before. */
		if (text && *text)
			text_clean(text, text, strlen(text) + 1);
	} else if (f->type == PROTOBUF_C_TYPE_MESSAGE) {
		ProtobufCMessage *sub = *(ProtobufCMessage **)value;

		if (sub)
			rpc_clean(sub);
	}
}

void rpc_clean(ProtobufCMessage *msg)
{
	for (unsigned i = 0; i < msg->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &msg->descriptor->fields[i];
		char *member = (char *)msg + f->offset;

		if (f->type != PROTOBUF_C_TYPE_STRING && f->type != PROTOBUF_C_TYPE_MESSAGE)
			continue;
		if (f->label == PROTOBUF_C_LABEL_REPEATED) {
			size_t n = *(size_t *)(void *)((char *)msg + f->quantifier_offset);
			void **list = *(void ***)(void *)member;

			for (size_t k = 0; k < n; k++)
				clean_value(f, &list[k]);
		} else if (!(f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) ||
			   *(uint32_t *)(void *)((char *)msg + f->quantifier_offset) == f->id) {
			clean_value(f, member);
		}
	}
}
