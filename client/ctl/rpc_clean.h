/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_CTL_RPC_CLEAN_H
#define SVAD_CTL_RPC_CLEAN_H
#include <protobuf-c/protobuf-c.h>

/* Cleans every string of a decoded message, and of the messages in it, in place (text_clean): whatever prints
 * them later, nothing in them can command a terminal or reorder a line. */
void rpc_clean(ProtobufCMessage *msg);

#endif
