// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The network configuration. Keys that are not ours are passed over, since every chain carries some; inside
 * our own objects an unknown key is a mistake, since a limit that is misspelt limits nothing. A mistake never
 * keeps an attachment from ending: DEL and GC take what they need of it and the defaults for the rest.
 */
#include <ctype.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin.h"

/* As many, and each as long, as svad takes: CONTAINER_DEVICES_MAX, SVAB_NAME_MAX - 1. */
#define DEVICES_MAX 64u
#define DEVICE_MAX 63u

static int wrong(struct plugin *p, const char *key, const char *must)
{
	return plugin_fail(p, CNI_INVALID_CONFIG, NULL, "%s must be %s", key, must);
}

/* The value of a key, NULL when it is absent or null. */
static json_t *value_of(const json_t *object, const char *key)
{
	json_t *json = json_object_get(object, key);

	return json_is_null(json) ? NULL : json;
}

static int get_string(struct plugin *p, const char *key, const char **ret)
{
	json_t *json = value_of(p->conf, key);

	if (!json)
		return 0;
	if (!json_is_string(json) || !*json_string_value(json))
		return wrong(p, key, "a string that is not empty");
	*ret = json_string_value(json);
	return 0;
}

static int get_path(struct plugin *p, const char *key, const char **ret)
{
	const char *path = NULL;
	int r = get_string(p, key, &path);

	if (r == 0 && path && *path != '/')
		return wrong(p, key, "an absolute path");
	if (r == 0 && path)
		*ret = path;
	return r;
}

static int get_bool(struct plugin *p, const char *key, bool *ret)
{
	json_t *json = value_of(p->conf, key);

	if (!json)
		return 0;
	if (!json_is_boolean(json))
		return wrong(p, key, "true or false");
	*ret = json_is_true(json);
	return 0;
}

/* "250ms", "2s", "1min"; -1: something else. */
static int64_t duration_ms(const char *text)
{
	static const struct {
		const char *unit;
		int64_t ms;
	} units[] = { { "ms", 1 }, { "s", 1000 }, { "min", 60000 }, { "h", 3600000 } };
	int64_t n = 0;
	const char *c = text;

	for (; isdigit((unsigned char)*c); c++) {
		n = n * 10 + (*c - '0');
		if (n > 1000000000)
			return -1;
	}
	for (size_t i = 0; c > text && i < sizeof(units) / sizeof(units[0]); i++)
		if (strcmp(c, units[i].unit) == 0)
			return n * units[i].ms;
	return -1;
}

static int get_duration(struct plugin *p, const json_t *object, const char *key, const char *name,
			int64_t min, int64_t max, int64_t *ret)
{
	json_t *json = value_of(object, key);
	int64_t ms;

	if (!json)
		return 0;
	if (!json_is_string(json))
		return wrong(p, name, "a duration, as text with its unit: \"500ms\", \"2s\", \"1min\"");
	ms = duration_ms(json_string_value(json));
	if (ms < 0)
		return wrong(p, name, "a whole number with its unit: \"500ms\", \"2s\", \"1min\"");
	if (ms < min || ms > max)
		return plugin_fail(p, CNI_INVALID_CONFIG, NULL, "%s must be from %lld ms to %lld ms", name,
				   (long long)min, (long long)max);
	*ret = ms;
	return 0;
}

/* ---- limits and devices, which runtimeConfig may narrow ---- */

static void narrow(uint32_t *limit, uint32_t value)
{
	if (value && (*limit == 0 || value < *limit))
		*limit = value;
}

static int get_limits(struct plugin *p, const json_t *object, const char *where)
{
	json_t *limits = value_of(object, "limits"), *value;
	char name[64];
	const char *key;

	if (!limits)
		return 0;
	(void)snprintf(name, sizeof(name), "%slimits", where);
	if (!json_is_object(limits))
		return wrong(p, name, "an object");
	json_object_foreach(limits, key, value)
	{
		uint32_t *limit = strcmp(key, "bonds") == 0		  ? &p->limits.bonds
				  : strcmp(key, "connections") == 0	  ? &p->limits.connections
				  : strcmp(key, "requestsPerSecond") == 0 ? &p->limits.requests_per_second
				  : strcmp(key, "drainDeadline") == 0	  ? &p->limits.drain_deadline_ms
									  : NULL;
		int64_t n = 0;
		int r;

		(void)snprintf(name, sizeof(name), "%slimits.%.32s", where, key);
		if (!limit) {
			char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);

			r = plugin_fail(p, CNI_UNSUPPORTED_FIELD,
					"limits has bonds, connections, requestsPerSecond and drainDeadline",
					"%s: %.64s is not supported", name, text ?: "its value");
			free(text);
			return r;
		}
		if (limit == &p->limits.drain_deadline_ms) {
			r = get_duration(p, limits, key, name, 1, 3600000, &n);
			if (r)
				return r;
		} else if (json_is_integer(value)) {
			n = json_integer_value(value);
			if (n < 1 || n > UINT32_MAX)
				return wrong(p, name, "from 1 to 4294967295");
		} else if (!json_is_null(value)) {
			return wrong(p, name, "a whole number");
		}
		narrow(limit, (uint32_t)n);
	}
	return 0;
}

/* True when every name that inner matches, outer matches too; for what can be told without trying every name.
 */
static bool glob_within(const char *inner, const char *outer)
{
	size_t plain = strcspn(outer, "*?[\\");

	if (strcmp(inner, outer) == 0)
		return true;
	if (!strpbrk(inner, "*?[\\"))
		return fnmatch(outer, inner, 0) == 0;
	return strcmp(outer + plain, "*") == 0 && strcspn(inner, "*?[\\") >= plain &&
	       strncmp(inner, outer, plain) == 0;
}

static int get_devices(struct plugin *p, const json_t *object, const char *name)
{
	json_t *devices = value_of(object, "devices"), *value;
	const char **list;
	size_t i;

	if (!devices)
		return 0;
	if (!json_is_array(devices))
		return wrong(p, name, "a list of device names");
	if (json_array_size(devices) == 0 || json_array_size(devices) > DEVICES_MAX)
		return wrong(p, name,
			     "a list of 1 to 64 device names: leave it out for whatever policy allows");
	list = calloc(json_array_size(devices), sizeof(*list));
	if (!list)
		return plugin_fail(p, CNI_IO_FAILURE, NULL, "out of memory");
	json_array_foreach(devices, i, value)
	{
		const char *text = json_string_value(value);
		bool within = p->n_devices == 0;

		if (!text || !*text || strlen(text) > DEVICE_MAX) {
			free((void *)list);
			return wrong(
				p, name,
				"a list of device names of 1 to 63 bytes, with * and ? where many are meant");
		}
		for (size_t k = 0; k < p->n_devices && !within; k++)
			within = glob_within(text, p->devices[k]);
		if (!within) {
			free((void *)list);
			return plugin_fail(p, CNI_INVALID_CONFIG, NULL,
					   "%s: %.64s is not within the devices of the network configuration",
					   name, text);
		}
		list[i] = text;
	}
	free((void *)p->devices);
	p->devices = list;
	p->n_devices = json_array_size(devices);
	return 0;
}

static int runtime_config(struct plugin *p)
{
	json_t *runtime = value_of(p->conf, "runtimeConfig"), *sva, *value;
	const char *key;
	int r;

	if (!runtime)
		return 0;
	if (!json_is_object(runtime))
		return wrong(p, "runtimeConfig", "an object");
	sva = value_of(runtime, "sva");
	if (!sva)
		return 0;
	if (!json_is_object(sva))
		return wrong(p, "runtimeConfig.sva", "an object");
	json_object_foreach(sva, key, value) if (strcmp(key, "devices") != 0 && strcmp(key, "limits") != 0)
	{
		char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);

		r = plugin_fail(p, CNI_UNSUPPORTED_FIELD, "it has devices and limits",
				"runtimeConfig.sva.%.32s: %.64s is not supported", key, text ?: "its value");
		free(text);
		return r;
	}
	r = get_devices(p, sva, "runtimeConfig.sva.devices");
	return r ?: get_limits(p, sva, "runtimeConfig.sva.");
}

/* ---- what the runtime adds ---- */

static int get_name(struct plugin *p)
{
	int r = get_string(p, "name", &p->network);
	const char *c = p->network;

	if (r)
		return r;
	if (!c)
		return plugin_fail(
			p, CNI_INVALID_CONFIG, NULL,
			json_object_get(p->conf, "plugins")
				? "name is missing. A plugin gets one of a list's plugins, not the list"
				: "name is missing: which network is this?");
	for (; *c; c++)
		if (!isalnum((unsigned char)*c) && (c == p->network || !strchr("_.-", *c)))
			break;
	if (*c || c - p->network > 255) {
		p->network = NULL; /* not for the log */
		return wrong(p, "name", "a letter or digit, then those and _ . -, at most 255 in all");
	}
	return 0;
}

/* One list of attachments, added to the set. */
static int get_attachments(struct plugin *p, const char *key)
{
	json_t *list = value_of(p->conf, key), *item;
	size_t i;

	if (!list)
		return 0;
	if (!json_is_array(list))
		return wrong(p, key, "a list of attachments");
	if (!p->valid_attachments)
		p->valid_attachments = json_object();
	if (!p->valid_attachments)
		return plugin_fail(p, CNI_IO_FAILURE, NULL, "out of memory");
	json_array_foreach(list, i, item)
	{
		const char *id = json_string_value(json_object_get(item, "containerID"));
		const char *ifname = json_string_value(json_object_get(item, "ifname"));
		char text[512];

		if (!id || !ifname ||
		    (size_t)snprintf(text, sizeof(text), "%s\n%s", id, ifname) >= sizeof(text))
			return wrong(p, key, "a list of objects, each with containerID and ifname");
		if (json_object_set_new(p->valid_attachments, text, json_true()) < 0)
			return plugin_fail(p, CNI_IO_FAILURE, NULL, "out of memory");
	}
	return 0;
}

/* Beside the socket, where svad puts it. */
static int default_state_dir(struct plugin *p, const char *configured)
{
	const char *env = getenv("SVAD_ADMIN_SOCKET");
	const char *socket = p->admin_socket ?: (env && *env == '/' ? env : "/run/svad/admin.sock");
	size_t len = (size_t)(strrchr(socket, '/') - socket);

	if (configured)
		p->state_dir = strdup(configured);
	else if (asprintf(&p->state_dir, "%.*s/state", (int)len, socket) < 0)
		p->state_dir = NULL;
	return p->state_dir ? 0 : plugin_fail(p, CNI_IO_FAILURE, NULL, "out of memory");
}

/* A DEL that fails for a mistake in the configuration strands the network; GC is the DEL of several. */
static int forgiven(struct plugin *p, int r)
{
	if (r == 0 || (p->command != CNI_DEL && p->command != CNI_GC))
		return r;
	plugin_log(p, "%s; the default is taken", p->msg);
	return 0;
}

int conf_read(struct plugin *p)
{
	int64_t timeout = p->timeout_ms, del_timeout = p->del_timeout_ms;
	const char *unused = NULL, *state_dir = NULL;
	int r = get_name(p);

	if (r == 0)
		r = forgiven(p, get_string(p, "type", &unused));
	if (r == 0)
		r = forgiven(p, get_path(p, "adminSocket", &p->admin_socket));
	if (r == 0)
		r = forgiven(p, get_path(p, "stateDir", &state_dir));
	if (r == 0)
		r = forgiven(p, get_duration(p, p->conf, "timeout", "timeout", 100, 600000, &timeout));
	if (r == 0)
		r = forgiven(p,
			     get_duration(p, p->conf, "delTimeout", "delTimeout", 100, 600000, &del_timeout));
	if (r == 0)
		r = forgiven(p, get_bool(p, "strictDel", &p->strict_del));
	if (r == 0 && p->command == CNI_ADD)
		r = get_devices(p, p->conf, "devices");
	if (r == 0 && p->command == CNI_ADD)
		r = get_limits(p, p->conf, "");
	if (r == 0 && p->command == CNI_ADD)
		r = runtime_config(p);
	if (r == 0 && p->command == CNI_GC)
		r = get_attachments(p, "cni.dev/valid-attachments");
	if (r == 0 && p->command == CNI_GC)
		r = get_attachments(p, "cni.dev/attachments");
	if (r == 0)
		r = default_state_dir(p, state_dir);
	if (r)
		return r;
	p->timeout_ms = (int)timeout;
	p->del_timeout_ms = (int)del_timeout;
	p->prev_result = value_of(p->conf, "prevResult");
	if (p->prev_result && !json_is_object(p->prev_result) && p->command != CNI_DEL)
		return wrong(p, "prevResult", "an object");
	return 0;
}
