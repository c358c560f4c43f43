/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "user.h"

#include <stdlib.h>

struct user *user_ref(struct user *user)
{
	user->refs++;
	return user;
}

struct user *user_get(struct broker *broker, uid_t uid)
{
	struct idmap_node *node = idmap_find(&broker->users, uid);
	struct user *user;

	if (node)
		return user_ref(container_of(node, struct user, node));
	user = calloc(1, sizeof(*user));
	if (!user)
		return NULL;
	user->broker = broker;
	user->refs = 1;
	idmap_insert(&broker->users, &user->node, uid);
	return user;
}

void user_put(struct user *user)
{
	if (!user || --user->refs)
		return;
	idmap_remove(&user->broker->users, &user->node);
	free(user);
}
