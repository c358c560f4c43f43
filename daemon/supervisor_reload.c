/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reload, all or nothing: read the files, see whether a running daemon can take them, ask the broker, and
 * only then make them ours and the device's. Whatever goes wrong on the way leaves the old settings in force,
 * and is said.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "notify.h"
#include "supervisor_private.h"

static void answer(struct supervisor *s, int error, const char *text)
{
	size_t len = strlen(text);

	for (unsigned i = 0; i < s->reload.asked; i++)
		child_send(&s->child[CHILD_BROKER], CHAN_RELOAD_RESULT, (uint64_t)error, text,
			   (uint32_t)(len < 60000 ? len : 60000), NULL, 0);
	s->reload.asked = 0;
}

static void finish(struct supervisor *s)
{
	config_free(s->reload.next);
	s->reload.next = NULL;
	s->reload.deadline_ns = 0;
	if (s->phase == PHASE_RUN && s->announced)
		notify_ready();
	if (s->reload.again && s->phase == PHASE_RUN) {
		unsigned asked = s->reload.asked_again;

		s->reload.again = false;
		s->reload.asked_again = 0;
		s->reload.asked = asked ? asked - 1 : 0;
		reload_ask(s, asked > 0);
	}
}

static void refuse(struct supervisor *s, int error, const char *why)
{
	log_write(LOG_ERR, SVAD_MSG_RELOAD_REFUSED, "reload refused, the old settings stay in force: %s",
		  why);
	answer(s, error, why);
	finish(s);
}

static void refuse_errors(struct supervisor *s, int error, const struct config_errors *errors)
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	for (size_t i = 0; i < errors->n; i++) {
		log_write(LOG_ERR, SVAD_MSG_RELOAD_REFUSED, "%s", errors->lines[i]);
		if (f)
			fprintf(f, "%s%s", i ? "\n" : "", errors->lines[i]);
	}
	if (f)
		fclose(f);
	log_write(LOG_ERR, SVAD_MSG_RELOAD_REFUSED,
		  "reload refused, the old settings stay in force: %zu mistakes", errors->n);
	answer(s, error, text ? text : "there are mistakes in the configuration");
	free(text);
	finish(s);
}

void reload_ask(struct supervisor *s, bool by_broker)
{
	struct config_errors errors = { 0 };
	struct config *next = NULL;
	char *why = NULL;
	int r;

	if (s->phase != PHASE_RUN || s->reload.next) {
		/* Not merged with the one under way: the files may have changed since it read them. */
		s->reload.again = true;
		s->reload.asked_again += by_broker;
		return;
	}
	s->reload.asked += by_broker;
	if (s->announced)
		notify_reloading();
	log_debug("reloading");

	r = config_load(s->args->config_path, &next, &errors);
	if (r < 0) {
		if (errors.n)
			refuse_errors(s, -r, &errors);
		else
			refuse(s, -r, strerror(-r));
		config_errors_clear(&errors);
		return;
	}
	config_errors_clear(&errors);
	r = config_reloadable(s->config, next, &why);
	if (r < 0) {
		char *text = NULL;

		if (r == -EBUSY &&
		    asprintf(&text,
			     "%s cannot change while svad runs; put the old values back, or restart it",
			     why) < 0)
			text = NULL;
		config_free(next);
		refuse(s, -r, text ? text : strerror(-r));
		free(text);
		free(why);
		return;
	}
	s->reload.next = next;
	s->reload.seq = ++s->config_seq;
	s->reload.deadline_ns = now_ns() + s->config->child_timeout_ms * NS_PER_MS;
	if (!s->child[CHILD_BROKER].ready)
		r = -ENOTCONN;
	else
		r = child_send_config(&s->child[CHILD_BROKER], next, s->reload.seq);
	if (r < 0)
		refuse(s, EAGAIN, "the broker is just being started; try again in a moment");
}

void reload_ack(struct supervisor *s, uint32_t seq, int error, const char *text)
{
	struct child *device = &s->child[CHILD_SIMDEV];

	if (!s->reload.next || seq != s->reload.seq) {
		if (error)
			log_err("the broker refuses its settings: %s", *text ? text : strerror(error));
		return;
	}
	if (error) {
		refuse(s, error, *text ? text : strerror(error));
		return;
	}
	config_free(s->config);
	s->config = s->reload.next;
	s->reload.next = NULL;
	log_set_level(s->config->log_level);
	/* A device that dies of it starts again with the new settings. */
	child_send_config(device, s->config, s->reload.seq);
	log_write(LOG_NOTICE, SVAD_MSG_RELOADED, "settings reloaded from %s",
		  s->config->origin ? s->config->origin : "the built-in defaults");
	answer(s, 0, "");
	finish(s);
}

void reload_cancel(struct supervisor *s, const char *why)
{
	if (s->reload.next)
		refuse(s, EAGAIN, why);
	/* who asked is gone with the broker */
	s->reload.asked = 0;
}

void reload_tick(struct supervisor *s, uint64_t now)
{
	if (s->reload.next && now >= s->reload.deadline_ns)
		refuse(s, ETIMEDOUT, "the broker does not answer; see its log");
}
