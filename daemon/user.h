/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_USER_H
#define SVAD_USER_H
/* What each uid is charged for. Objects that are charged hold a reference and give both back in their destructor. */
#include "broker.h"

struct user {
	struct idmap_node node; /* broker->users, by uid */
	struct broker *broker;
	unsigned refs;
	uint32_t connections;
	uint32_t bonds; /* holds: bonds, and grants that may become one */
};

struct user *user_get(struct broker *broker, uid_t uid); /* NULL: no memory; user_put() it */
struct user *user_ref(struct user *user);
void user_put(struct user *user); /* NULL is fine */

#endif
