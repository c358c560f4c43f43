/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The broker's life: settings, the tick, and an end in which every bond is drained first. */
#include "broker.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend_kmod.h"
#include "bond.h"
#include "broker_run.h"
#include "client.h"
#include "conn.h"
#include "container.h"
#include "device.h"
#include "events.h"
#include "identify.h"
#include "listener.h"
#include "log.h"
#include "reconcile.h"
#include "rpc.h"

#define ARENA_SIZE (4u * WIRE_MAX) /* decoded structs are larger than what they were decoded from */
#define CONFIG_MAX (16u << 20)
#define UNDRAINED_MAX 32768u

/* What the supervisor must not miss. Its end is full only when it has not read for long (log lines go the
 * same way), and this is said rarely: a second's patience is better than a daemon that is never ready. */
void broker_tell(struct broker *broker, enum chan_type type, uint64_t arg, const char *text, uint32_t len)
{
	struct pollfd p = { .fd = broker->chan, .events = POLLOUT };
	int r = chan_send(broker->chan, type, arg, text, len, NULL, 0);

	if (r == -EAGAIN && poll(&p, 1, 1000) == 1)
		r = chan_send(broker->chan, type, arg, text, len, NULL, 0);
	if (r < 0 && r != -EPIPE)
		log_err("Cannot tell the supervisor (message %d): %s", (int)type, strerror(-r));
}

/* ---- settings ---- */

static int config_read(int fd, struct config **ret, char **ret_why)
{
	struct config_errors errors = { 0 };
	struct stat st;
	char *text;
	int r;

	*ret_why = NULL;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size < 0 || st.st_size > (off_t)CONFIG_MAX)
		return -EFBIG;
	text = malloc((size_t)st.st_size + 1);
	if (!text)
		return -ENOMEM;
	if (pread(fd, text, (size_t)st.st_size, 0) != st.st_size) {
		free(text);
		return -EIO;
	}
	text[st.st_size] = '\0';
	r = config_from_text(text, (size_t)st.st_size, ret, &errors);
	if (errors.n)
		*ret_why = strdup(errors.lines[0]);
	config_errors_clear(&errors);
	free(text);
	return r;
}

/* Bonds that the new policy would not grant end. The limits hold for what comes. */
void broker_enforce(struct broker *broker, struct client *client)
{
	struct list *x, *h, *htmp;

	list_for_each(x, &client->ctxs) {
		struct ctx *ctx = container_of(x, struct ctx, link);

		list_for_each_safe(h, htmp, &ctx->holds) {
			struct hold *hold = container_of(h, struct hold, link);
			struct policy_verdict verdict;

			client_policy(client, hold->device, &verdict);
			if (verdict.allowed)
				continue;
			if (hold->bond) {
				broker->backend->ops->bond_revoke(broker->backend, hold->bond->node.id,
								  SVAB_CAUSE_POLICY);
			} else {
				broker->backend->ops->ctx_revoke_grant(broker->backend, ctx->node.id,
								       hold->device->info.id);
				hold_free(hold);
			}
		}
	}
}

static void enforce_all(struct broker *broker)
{
	struct list *c;

	list_for_each(c, &broker->client_list)
		broker_enforce(broker, container_of(c, struct client, link));
}

int broker_configure(struct broker *broker, int fd, uint64_t seq)
{
	struct config *config = NULL;
	char *why = NULL;
	bool first = !broker->config;
	int r = config_read(fd, &config, &why);

	if (r == 0 && !first)
		r = config_reloadable(broker->config, config, &why);
	if (r < 0) {
		log_err("The settings cannot be adopted: %s", why ? why : strerror(-r));
		if (!first)
			broker_tell(broker, CHAN_CONFIG_ACK, seq << 32 | (uint32_t)-r, why,
				    why ? (uint32_t)strlen(why) : 0);
		config_free(config);
		free(why);
		return first ? r : 0;
	}
	free(why);
	config_free(broker->config);
	broker->config = config;
	broker->config_generation++;
	reconcile_configure(broker);
	log_set_level(config->log_level);
	if (first && config->backend == BACKEND_KMOD)
		return backend_kmod_new(&broker->loop, NULL, &broker_backend_handler, broker,
					&broker->backend);
	if (first)
		return backend_sim_new(&broker->loop, &broker_backend_handler, broker, &broker->backend);
	broker->counters.reloads++;
	enforce_all(broker);
	identify_enforce(broker);
	event_broker(broker, SVAD__V1__EVENT_KIND__EVENT_RELOADED, "");
	broker_tell(broker, CHAN_CONFIG_ACK, seq << 32, NULL, 0);
	return 0;
}

void broker_reloaded(struct broker *broker, int error, const char *text)
{
	struct conn *conn = broker->reload_conn;

	broker->reloading = false;
	broker->reload_conn = NULL;
	if (!conn)
		return;
	if (error) {
		/* The supervisor's words name file and line. */
		conn_error(conn, broker->reload_id, SVAD_FAILED_PRECONDITION, "%s",
			   text[0] ? text : strerror(error));
	} else {
		Svad__V1__Reply reply = SVAD__V1__REPLY__INIT;
		Svad__V1__ReloadReply body = SVAD__V1__RELOAD_REPLY__INIT;

		body.summary = (char *)(uintptr_t)text;
		reply.id = broker->reload_id;
		reply.body_case = SVAD__V1__REPLY__BODY_RELOAD;
		reply.reload = &body;
		conn_reply(conn, &reply, -1);
	}
}

/* ---- listening ---- */

/* Only once the backend's list is known, and of which containers the clients in it are: a client that comes back
 * must find its context, and whoever removes a container its clients. */
void broker_maybe_ready(struct broker *broker)
{
	if (broker->ready || broker->ending || !broker->synced || identify_listing(broker))
		return;
	broker->ready = true;
	broker_listen(broker);
	broker_tell(broker, CHAN_READY, 0, NULL, 0);
}

void broker_listen(struct broker *broker)
{
	int r = 0;

	if (!broker->ready || broker->shutting_down || broker->listen_fds[0] < 0)
		return;
	broker->host_cookie = identify_host_cookie(broker->listen_fds[0]);
	if (!broker->host_cookie)
		log_warning("This kernel does not tell which network namespace a socket is of (Linux 5.14 does): "
			    "containers cannot be told apart, the host's policy holds for all");
	r = listener_new(broker, broker->listen_fds[0], CONN_CLIENT, &broker->listen_client);
	if (r == 0 && broker->listen_fds[1] >= 0)
		r = listener_new(broker, broker->listen_fds[1], CONN_ADMIN, &broker->listen_admin);
	broker->listen_fds[0] = broker->listen_fds[1] = -1;
	if (r < 0)
		log_err("Cannot listen: %s", uv_strerror(r));
}

/* ---- the end ---- */

static const char *undrained(struct broker *broker, uint32_t *ret_n, size_t *ret_len)
{
	static char text[UNDRAINED_MAX];
	struct list *pos;
	size_t len = 0;
	uint32_t n = 0;

	text[0] = '\0';
	list_for_each(pos, &broker->bond_list) {
		struct bond *bond = container_of(pos, struct bond, link);

		n++;
		if (len < sizeof(text) - 256)
			len += (size_t)snprintf(
				text + len, sizeof(text) - len, "bond %llu device %s PASID %u pid %d: %s\n",
				(unsigned long long)bond->node.id, bond->device->info.name, bond->pasid,
				(int)bond->pid, drain_state_name(bond->drain.state));
	}
	*ret_n = n;
	*ret_len = len;
	return text;
}

static void broker_done(struct broker *broker)
{
	const char *text;
	uint32_t n;
	size_t len;

	if (broker->shutdown_done)
		return;
	broker->shutdown_done = true;
	text = undrained(broker, &n, &len);
	broker_tell(broker, CHAN_DONE, n, text, (uint32_t)len);
	uv_stop(&broker->loop);
}

static int ctx_pending(struct idmap_node *node, void *userdata)
{
	struct ctx *ctx = container_of(node, struct ctx, node);
	struct list *pos;
	bool quarantined = false;

	(void)userdata;
	list_for_each(pos, &ctx->holds) {
		struct hold *hold = container_of(pos, struct hold, link);

		if (hold->bond && hold->bond->drain.state == SVAB_PASID_QUARANTINED)
			quarantined = true;
		else if (hold->bond)
			return 1;
	}
	/* Its end is reported when nothing is left of it; a quarantined bond keeps it, and is all that may.
	 */
	return !quarantined;
}

void broker_maybe_done(struct broker *broker)
{
	if (!broker->shutting_down || broker->shutdown_done)
		return;
	/* What is not listed yet is not known to be drained. */
	if (broker->backend && broker->backend->is_up && !broker->backend->is_synced)
		return;
	if (broker->n_draining == 0 && !idmap_each(&broker->ctxs, ctx_pending, NULL))
		broker_done(broker);
}

static int ctx_shutdown(struct idmap_node *node, void *userdata)
{
	(void)userdata;
	ctx_revoke(container_of(node, struct ctx, node), SVAB_CAUSE_SHUTDOWN);
	return 0;
}

void broker_revoke_all(struct broker *broker)
{
	idmap_each(&broker->ctxs, ctx_shutdown, NULL);
}

void broker_shutdown(struct broker *broker, uint64_t deadline_ms)
{
	if (broker->shutting_down)
		return;
	broker->shutting_down = true;
	broker->shutdown_at_ns = now_ns() + deadline_ms * 1000000u;
	listener_free(broker->listen_client);
	listener_free(broker->listen_admin);
	broker->listen_client = broker->listen_admin = NULL;
	event_broker(broker, SVAD__V1__EVENT_KIND__EVENT_SHUTDOWN, "");
	broker_revoke_all(broker);
	uv_timer_start(&broker->deadline, broker_deadline, deadline_ms, 0);
	broker_maybe_done(broker);
}

void broker_deadline(uv_timer_t *timer)
{
	broker_done(container_of(timer, struct broker, deadline));
}

/* ---- the tick: once a second ---- */

static void tick_status(struct broker *broker)
{
	static char last[160];
	char text[160];

	snprintf(text, sizeof(text), "%s: %zu clients, %zu bonds, %u draining, %u quarantined%s",
		 broker->shutting_down ? "Shutting down" : "Serving", broker->clients.n, broker->bonds.n,
		 broker->n_draining, broker->n_quarantined,
		 broker->backend && broker->backend->is_synced ? "" : "; the device backend is down");
	if (strcmp(text, last) != 0 &&
	    chan_send(broker->chan, CHAN_STATUS, 0, text, (uint32_t)strlen(text), NULL, 0) == 0)
		memcpy(last, text, sizeof(last));
}

void broker_tick(uv_timer_t *timer)
{
	struct broker *broker = container_of(timer, struct broker, tick);

	chan_send(broker->chan, CHAN_PING, 0, NULL, 0, NULL, 0);
	tick_status(broker);
	identify_tick(broker, now_ns());
}

/* ---- construction ---- */

int broker_init(struct broker *broker, int chan)
{
	unsigned char *arena = malloc(ARENA_SIZE);
	int r;

	memset(broker, 0, sizeof(*broker));
	broker->chan = chan;
	broker->listen_fds[0] = broker->listen_fds[1] = -1;
	broker->rx = malloc(WIRE_MAX);
	broker->tx = malloc(WIRE_MAX);
	broker->chan_buf = malloc(CHAN_MAX + 1);
	if (!arena || !broker->rx || !broker->tx || !broker->chan_buf) {
		free(arena);
		return -ENOMEM;
	}
	wire_arena_init(&broker->arena, arena, ARENA_SIZE);
	identify_init(broker);
	list_init(&broker->info_waiters);
	list_init(&broker->probe_waiters);
	list_init(&broker->client_list);
	list_init(&broker->bond_list);
	list_init(&broker->device_list);
	list_init(&broker->conns);
	list_init(&broker->watchers);
	if (idmap_init(&broker->users) < 0 || idmap_init(&broker->clients) < 0 ||
	    idmap_init(&broker->ctxs) < 0 || idmap_init(&broker->bonds) < 0)
		return -ENOMEM;
	r = uv_loop_init(&broker->loop);
	if (r < 0)
		return r;
	if (registry_init(broker) < 0 || reconcile_init(broker) < 0)
		return -ENOMEM;
	uv_timer_init(&broker->loop, &broker->tick);
	uv_timer_init(&broker->loop, &broker->deadline);
	uv_timer_start(&broker->tick, broker_tick, 0, 1000);
	numa_load();
	return 0;
}

/* Everything is given back, so that a leak checker can tell a leak from an object that was in use at the end.
 */
void broker_deinit(struct broker *broker)
{
	struct list *pos, *tmp;

	listener_free(broker->listen_client);
	listener_free(broker->listen_admin);
	broker->listen_client = broker->listen_admin = NULL;
	list_for_each_safe(pos, tmp, &broker->conns)
		conn_close(container_of(pos, struct conn, link), false);
	if (broker->backend)
		broker->backend->ops->free(broker->backend);
	broker->backend = NULL;
	broker->ending = true; /* what is forgotten now has not ended */
	while (!list_empty(&broker->bond_list))
		bond_lost(container_of(broker->bond_list.next, struct bond, link));
	list_for_each_safe(pos, tmp, &broker->client_list) {
		struct client *client = container_of(pos, struct client, link);

		while (!list_empty(&client->ctxs))
			ctx_free(container_of(client->ctxs.next, struct ctx, link));
		client_end(client, SVAB_CAUSE_SHUTDOWN);
	}
	device_free_all(broker);
	registry_stop(broker);
	reconcile_stop(broker);
	uv_close((uv_handle_t *)&broker->tick, NULL);
	uv_close((uv_handle_t *)&broker->deadline, NULL);
	uv_close((uv_handle_t *)&broker->chan_poll, NULL);
	uv_run(&broker->loop, UV_RUN_DEFAULT);
	uv_loop_close(&broker->loop);
	registry_deinit(broker);
	idmap_deinit(&broker->users);
	idmap_deinit(&broker->clients);
	idmap_deinit(&broker->ctxs);
	idmap_deinit(&broker->bonds);
	free(broker->arena.base);
	free(broker->rx);
	free(broker->tx);
	free(broker->chan_buf);
	config_free(broker->config);
}
