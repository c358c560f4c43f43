/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "identify.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "../proto/status.h"
#include "broker_run.h"
#include "client.h"
#include "conn.h"
#include "container.h"
#include "events.h"
#include "log.h"
#include "mutation.h"
#include "peer.h"

#define DEADLINE_NS UINT64_C(5000000000)
/* Questions that the supervisor has not answered; more wait here, so that neither side's queue runs full. */
#define ASKED_MAX 64u

struct identification {
	struct list link; /* broker->identifying, in the order of asking */
	struct client *client;
	uint64_t number;
	uint64_t deadline_ns;
	bool asked;
	bool listed; /* broker_listen() waits for it */
};

int identify_init(struct broker *broker)
{
	list_init(&broker->identifying);
	list_init(&broker->strangers);
	return 0;
}

uint64_t identify_host_cookie(int listening)
{
	return peer_netns_cookie(listening);
}

bool identify_pending(const struct client *client)
{
	return client->identification != NULL;
}

bool identify_listing(const struct broker *broker)
{
	return broker->n_listed > 0;
}

/* ---- asking ---- */

static void ask_more(struct broker *broker)
{
	struct list *pos;

	list_for_each(pos, &broker->identifying) {
		struct identification *i = container_of(pos, struct identification, link);
		int32_t pid = i->client->pid;
		int r;

		if (broker->n_asked >= ASKED_MAX)
			return;
		if (i->asked)
			continue;
		r = chan_send(broker->chan, CHAN_IDENTIFY, i->number, &pid, sizeof(pid), &i->client->pidfd,
			      1);
		if (r < 0)
			return; /* tried again with the next answer, and by the tick */
		i->asked = true;
		broker->n_asked++;
	}
}

static int begin(struct client *client, bool listed)
{
	struct broker *broker = client->broker;
	struct identification *i;

	if (client->identification)
		return 0;
	i = calloc(1, sizeof(*i));
	if (!i)
		return -ENOMEM;
	i->client = client;
	i->number = ++broker->last_identification;
	i->deadline_ns = now_ns() + DEADLINE_NS;
	i->listed = listed;
	broker->n_listed += listed;
	client->identification = i;
	list_append(&broker->identifying, &i->link);
	ask_more(broker);
	return 0;
}

/* Whether it was of a listing: then the broker may be ready once its client has joined. */
static bool forget(struct identification *i)
{
	bool is_listed = i->listed;

	i->client->identification = NULL;
	list_remove(&i->link);
	i->client->broker->n_listed -= is_listed;
	free(i);
	return is_listed;
}

void identify_cancel(struct client *client)
{
	list_remove(&client->stranger_link);
	if (client->identification && forget(client->identification))
		broker_maybe_ready(client->broker);
}

/* ---- what comes of it ---- */

static void stranger(struct client *client)
{
	if (!client->container && list_empty(&client->stranger_link))
		list_append(&client->broker->strangers, &client->stranger_link);
}

static void refuse(struct client *client, unsigned code, const char *text)
{
	struct broker *broker = client->broker;
	char pid[48], cookie[48];
	const char *fields[] = { pid, cookie, NULL };
	static uint64_t last_ns;
	uint64_t now = now_ns();

	broker->counters.connections_refused++;
	if (client->container && !client->conn)
		client->container->refused++; /* else conn_error() counts it */
	event_client(client, SVAD__V1__EVENT_KIND__EVENT_REFUSED, text);
	if (!last_ns || now - last_ns > 1000000000u) {
		last_ns = now; /* a line a second tells enough; the counter has the rest */
		snprintf(pid, sizeof(pid), "SVAD_CLIENT_PID=%d", (int)client->pid);
		snprintf(cookie, sizeof(cookie), "SVAD_NETNS_COOKIE=%llu",
			 (unsigned long long)client->netns_cookie);
		log_fields(LOG_WARNING, SVAD_MSG_NETNS, fields, "Refused a connection of pid %d, uid %u: %s",
			   (int)client->pid, (unsigned)client->uid, text);
	}
	if (client->conn) {
		conn_error(client->conn, 0, code, "%s", text);
		client->conn->told = true;
		conn_close(client->conn, false);
	} else {
		client_end(client, SVAB_CAUSE_POLICY);
	}
}

/* Without the answer what the socket says must do. Once: it is the same for all. */
static void cannot_tell(int error)
{
	static bool said;

	if (said)
		return;
	said = true;
	log_warning(
		"The network namespace of a client's process cannot be told (%s): clients are told apart by "
		"their sockets alone; svad needs CAP_SYS_PTRACE for more",
		strerror(error));
}

static const char *name(const struct container *container, char *buf, size_t size)
{
	if (container)
		return container_describe(container, buf, size);
	snprintf(buf, size, "no container");
	return buf;
}

/* The process is where the container's netns is. */
static bool agrees(const struct client *client, const struct container *c)
{
	if (client->process_cookie)
		return client->process_cookie == c->cookie;
	if (!c->netns_inode)
		return true; /* whoever registered it could not say */
	return client->process_dev == c->netns_dev && client->process_inode == c->netns_inode;
}

/* Its process is in another container's netns than its socket. A socket of no container's: whether the
 * process is of one. */
static bool is_wrong_socket(struct client *client, struct container **ret_other)
{
	struct broker *broker = client->broker;
	struct container *other;

	if (client->process_cookie)
		other = container_by_cookie(broker, client->process_cookie);
	else
		other = container_by_netns(broker, client->process_dev, client->process_inode);
	/* An inode is given away again: of one that is no more it proves nothing. */
	if (other && !client->process_cookie && other->state != SVAD__V1__CONTAINER_STATE__CONTAINER_ACTIVE)
		other = NULL;
	*ret_other = other;
	if (client->container)
		return !agrees(client, client->container);
	return other && other->cookie != client->netns_cookie;
}

static void refuse_wrong_socket(struct client *client, const struct container *other)
{
	char a[128], b[128], text[480];

	snprintf(
		text, sizeof(text),
		"The socket was made in the network namespace of %s (cookie %llu), the process is in that of "
		"%s (inode %llu): connect with a socket made in the process's own.",
		name(client->container, a, sizeof(a)), (unsigned long long)client->netns_cookie,
		name(other, b, sizeof(b)), (unsigned long long)client->process_inode);
	refuse(client, SVAD_PERMISSION_DENIED, text);
}

static void connected(struct client *client)
{
	struct container *other;

	if (client->netns_known && is_wrong_socket(client, &other) && !MUTATED("identify-trust-socket")) {
		refuse_wrong_socket(client, other);
		return;
	}
	client->cgroup_id = peer_cgroup_id(client->pidfd);
	if (client->container)
		container_note_cgroup(client->container, client->cgroup_id);
	else
		stranger(client);
	if (client->conn)
		conn_release(client->conn);
}

/* Without a socket there is no cookie, unless the supervisor told it. */
static struct container *container_of_process(const struct client *client)
{
	if (!client->netns_known)
		return NULL;
	if (client->process_cookie)
		return container_by_cookie(client->broker, client->process_cookie);
	return container_by_netns(client->broker, client->process_dev, client->process_inode);
}

static void listed(struct client *client)
{
	struct broker *broker = client->broker;
	struct container *c = client->container ? client->container : container_of_process(client);
	uint64_t id = client->node.id;

	client->cgroup_id = peer_cgroup_id(client->pidfd);
	if (c && !client->container)
		container_join(c, client);
	if (client_find(broker, id) != client)
		return; /* the container has been removed meanwhile, and so has this */
	if (c)
		container_note_cgroup(c, client->cgroup_id);
	else
		stranger(client);
	/* Who could not be told keeps what it has until it connects, or ends: its settings are not known. */
	if (!client->gone && (c || client->netns_known))
		broker_enforce(broker, client);
}

static void hear(struct client *client, int error, const struct chan_netns *netns)
{
	bool has_conn = client->conn != NULL;

	if (client->gone)
		return;
	if (error == ESRCH && has_conn) {
		/* Dead, which its pidfd will say too; or its first thread is, and there is nobody to ask. */
		refuse(client, SVAD_PERMISSION_DENIED,
		       "The process's network namespace cannot be told: its first thread has ended.");
		return;
	}
	if (error == ETIMEDOUT && has_conn) {
		refuse(client, SVAD_UNAVAILABLE,
		       "svad could not tell in time which container the process is of; try again.");
		return;
	}
	if (error && error != ESRCH) {
		cannot_tell(error);
	} else if (!error) {
		client->netns_known = true;
		client->process_dev = netns->dev;
		client->process_inode = netns->inode;
		client->process_cookie = netns->cookie;
	}
	if (has_conn)
		connected(client);
	else
		listed(client);
}

static void told(struct identification *i, int error, const struct chan_netns *netns)
{
	struct client *client = i->client;
	struct broker *broker = client->broker;
	bool is_listed = forget(i);

	hear(client, error, netns);
	if (is_listed)
		broker_maybe_ready(broker);
}

void identify_answer(struct broker *broker, uint64_t number, const void *payload, size_t len)
{
	struct chan_netns netns = { .error = EBADMSG };
	struct identification *found = NULL;
	struct list *pos;

	if (len == sizeof(netns))
		memcpy(&netns, payload, sizeof(netns));
	if (broker->n_asked)
		broker->n_asked--;
	list_for_each(pos, &broker->identifying) {
		struct identification *i = container_of(pos, struct identification, link);

		if (i->number == number) {
			found = i;
			break;
		}
		if (!i->asked)
			break;
	}
	if (found)
		told(found, netns.error, &netns);
	ask_more(broker);
}

void identify_tick(struct broker *broker, uint64_t now)
{
	/* In the order of asking, and all have the same patience. */
	while (!list_empty(&broker->identifying)) {
		struct identification *i =
			container_of(broker->identifying.next, struct identification, link);

		if (now < i->deadline_ns)
			break;
		if (!i->listed || i->client->conn)
			log_warning("The supervisor has not told the network namespace of pid %d in time",
				    (int)i->client->pid);
		told(i, ETIMEDOUT, NULL);
	}
	ask_more(broker);
}

/* ---- beginnings ---- */

int identify_connected(struct client *client)
{
	stranger(client); /* its container may be registered before it is told */
	return begin(client, false);
}

void identify_listed(struct client *client)
{
	struct registry *registry = &client->broker->registry;

	if (client->pidfd < 0 || MUTATED("identify-skip-listed"))
		return;
	if (registry->n_active + registry->n_tombstones == 0)
		stranger(client); /* whoever registers one will ask */
	else if (begin(client, true) < 0)
		log_err("No memory to tell which container pid %d is of", (int)client->pid);
}

void identify_registered(struct container *container)
{
	struct broker *broker = container->broker;
	struct container *other;
	struct list *pos, *tmp;

	if (container->state != SVAD__V1__CONTAINER_STATE__CONTAINER_ACTIVE)
		return;
	list_for_each_safe(pos, tmp, &broker->strangers) {
		struct client *client = container_of(pos, struct client, stranger_link);

		/* Who is being told has its socket's cookie; without one, the answer looks for its container. */
		if (client->gone || (client->identification && !client->netns_cookie))
			continue;
		if (!client->netns_cookie && !client->netns_known) {
			list_remove(&client->stranger_link);
			if (begin(client, false) < 0)
				stranger(client);
			continue;
		}
		if (client->netns_cookie ? client->netns_cookie != container->cookie
					 : container_of_process(client) != container)
			continue;
		list_remove(&client->stranger_link);
		container_join(container, client);
		if (client->conn && client->netns_known && is_wrong_socket(client, &other))
			refuse_wrong_socket(client, other);
		else if (!client->gone)
			broker_enforce(broker, client);
	}
}

void identify_enforce(struct broker *broker)
{
	struct list *pos, *tmp;

	if (broker->config->unregistered != UNREGISTERED_REFUSE)
		return;
	list_for_each_safe(pos, tmp, &broker->strangers) {
		struct client *client = container_of(pos, struct client, stranger_link);

		/* Of those that a listing named the socket is not known: they are refused when they connect.
		 */
		if (client->conn && !client->gone)
			refuse(client, SVAD_PERMISSION_DENIED,
			       "Its network namespace is of no registered container, and svad.conf has "
			       "unregistered = "
			       "refuse now.");
	}
}
