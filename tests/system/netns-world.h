/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_TESTS_NETNS_WORLD_H
#define SVAD_TESTS_NETNS_WORLD_H
/* Network namespaces with client processes in them, and what a runtime says of them to svad: containers, as far as svad can tell. Needs root. */
#include "harness.h"

/* A process that keeps a netns of its own alive. */
struct box {
	struct child child;
	uint64_t cookie, dev, inode;
	char path[64];
};
void box_need(void); /* skips the test where no netns can be made */
void box_start(struct box *box);
void box_kill(struct box *box); /* its netns goes with it, unless somebody else is in there */

#define TENANT_BONDS 2

/* A client process in a box, with a bond on each of sim0 and sim1 (or on one device, or none). */
struct tenant {
	struct child child;
	uint64_t bonds[TENANT_BONDS];
	unsigned n_bonds;
	bool alive, execed;
};
void tenant_start(struct tenant *t, const struct box *box, const char *devices); /* "sim0 sim1", "sim0", "" */
/* Says what it was answered: the status code of its Hello or of its first Bind. */
unsigned tenant_try(const struct box *box, const char *device);
void tenant_exec(struct tenant *t); /* another program, that keeps all its fds */
void tenant_leave(struct tenant *t); /* goes to the host's netns, and keeps its connection */
void tenant_kill(struct tenant *t); /* SIGKILL, unless it is dead already */
void tenant_end(struct tenant *t); /* in good order */
bool tenant_has_connection(struct tenant *t); /* asks svad for its bonds, on the connection that it has */

/* ---- kernels that tell less (daemon/lacks.h): each must come to the same end ---- */

#define WORLD_LACKS 4
extern const char *const world_lacks[WORLD_LACKS];
void sys_start_lacking(const char *lacks, const char *config);
void world_each(Suite *suite, const char *name, const TTest *test); /* a case of one test, for each: world_lacks[_i] */

/* ---- by hand: who is refused may be told so before it has said anything ---- */

void world_enter(const char *path); /* a netns */
int world_connect(int fd, const char *name); /* to RUNTIME_DIR/NAME; fd */
unsigned world_hello(int fd, char why[600]); /* the code, and its sentence */

/* svad's log has it, or gets it: a line of the broker passes through the supervisor. */
void world_logged(const char *text);

/* ---- what runtimes say ---- */

Svad__V1__Reply *ct_register(const struct box *box, const char *network, const char *id, const char *ifname);
Svad__V1__Reply *ct_register_with(Svad__V1__RegisterContainer *ask, const struct box *box, const char *network, const char *id,
				  const char *ifname);
void ct_registered(const struct box *box, const char *id); /* network "net", eth0; must succeed */
Svad__V1__Reply *ct_remove(const char *network, const char *id, const char *ifname, uint32_t timeout_ms, const char *by);
/* The same in two steps: on a connection of its own. */
int ct_remove_send(const char *network, const char *id, const char *ifname, uint32_t timeout_ms, const char *by);
Svad__V1__Reply *ct_remove_receive(int fd); /* closes it */
Svad__V1__Reply *ct_list(const char *only, bool removed, bool timeline);
Svad__V1__Container *ct_find(const char *only, bool removed); /* NULL: there is none */
Svad__V1__Reply *ct_reconcile(void);

#endif
