// SPDX-License-Identifier: GPL-2.0-or-later
/* What the runtime says: environment and stdin. */
#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plugin.h"

#define STDIN_MAX (16u << 20)
#define STDIN_MS 5000

static const char *env(const char *name)
{
	return getenv(name) ?: "";
}

/* ---- environment ---- */

static bool id_is_valid(const char *id)
{
	if (!isalnum((unsigned char)*id) || strlen(id) > 255)
		return false;
	for (; *id; id++)
		if (!isalnum((unsigned char)*id) && !strchr("_.-", *id))
			return false;
	return true;
}

static bool ifname_is_valid(const char *name)
{
	if (!*name || strlen(name) > 15 || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return false;
	for (; *name; name++)
		if (*name <= ' ' || *name > '~' || *name == '/' || *name == ':')
			return false;
	return true;
}

/* One value of CNI_ARGS, which goes into svad's registry and log. */
static int keep(struct plugin *p, const char *key, const char *value, size_t len, char **field)
{
	if (len == 0)
		return 0;
	for (size_t i = 0; i < len; i++)
		if (value[i] <= ' ' || value[i] > '~')
			return plugin_fail(p, CNI_INVALID_ENVIRONMENT, NULL,
					   "CNI_ARGS: %s has a character in it that no pod's identity has",
					   key);
	if (len > 253)
		return plugin_fail(p, CNI_INVALID_ENVIRONMENT, NULL,
				   "CNI_ARGS: %s is longer than 253 characters", key);
	free(*field);
	*field = strndup(value, len);
	return *field ? 0 : plugin_fail(p, CNI_IO_FAILURE, NULL, "out of memory");
}

static int args_read(struct plugin *p, const char *args)
{
	const struct {
		const char *key;
		char **field;
	} known[] = {
		{ "K8S_POD_NAMESPACE", &p->pod_namespace },
		{ "K8S_POD_NAME", &p->pod_name },
		{ "K8S_POD_UID", &p->pod_uid },
	};

	while (*args) {
		size_t len = strcspn(args, ";"), key = strcspn(args, "=;");
		int r;

		if (len > 0 && (key == len || key == 0))
			return plugin_fail(
				p, CNI_INVALID_ENVIRONMENT, NULL,
				"CNI_ARGS: '%.*s' is not KEY=VALUE; pairs are separated by semicolons",
				(int)(len > 64 ? 64 : len), args);
		for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
			if (strlen(known[i].key) != key || strncmp(known[i].key, args, key) != 0)
				continue;
			r = keep(p, known[i].key, args + key + 1, len - key - 1, known[i].field);
			if (r)
				return r;
		}
		args += len + (args[len] == ';');
	}
	return 0;
}

static int environment_read(struct plugin *p)
{
	bool attachment = p->command == CNI_ADD || p->command == CNI_DEL || p->command == CNI_CHECK;

	if (!attachment)
		return 0; /* VERSION comes with dummies in all of them */
	if (!*env("CNI_CONTAINERID"))
		return plugin_fail(p, CNI_INVALID_ENVIRONMENT, NULL, "CNI_CONTAINERID is not set");
	if (!id_is_valid(env("CNI_CONTAINERID")))
		return plugin_fail(
			p, CNI_INVALID_ENVIRONMENT, NULL,
			"CNI_CONTAINERID: a letter or digit, then those and _ . -, at most 255 in all");
	if (!*env("CNI_IFNAME"))
		return plugin_fail(p, CNI_INVALID_ENVIRONMENT, NULL, "CNI_IFNAME is not set");
	if (!ifname_is_valid(env("CNI_IFNAME")))
		return plugin_fail(p, CNI_INVALID_ENVIRONMENT, NULL,
				   "CNI_IFNAME: 1 to 15 characters, no space, / or :, and not . or ..");
	p->container_id = env("CNI_CONTAINERID");
	p->ifname = env("CNI_IFNAME");
	p->netns = env("CNI_NETNS");
	if (p->command == CNI_DEL)
		return 0; /* whatever else is wrong, the attachment ends */
	if (!*p->netns)
		return plugin_fail(p, CNI_INVALID_ENVIRONMENT, NULL, "CNI_NETNS is not set");
	return args_read(p, env("CNI_ARGS"));
}

/* ---- stdin ---- */

static int stdin_read(struct plugin *p, char **ret, size_t *ret_len)
{
	uint64_t until = plugin_now_ms() + STDIN_MS;
	size_t len = 0, room = 0;
	char *buf = NULL;

	for (;;) {
		struct pollfd pfd = { .fd = STDIN_FILENO, .events = POLLIN };
		uint64_t now = plugin_now_ms();
		ssize_t n;
		int r;

		if (len == room) {
			char *more = room < STDIN_MAX ? realloc(buf, room ? room * 2 : 16384) : NULL;

			if (!more) {
				r = plugin_fail(p, CNI_IO_FAILURE, NULL,
						"stdin: more than %u bytes of network configuration",
						STDIN_MAX);
				free(buf);
				return r;
			}
			buf = more;
			room = room ? room * 2 : 16384;
		}
		r = poll(&pfd, 1, now < until ? (int)(until - now) : 0);
		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0) {
			r = plugin_fail(p, CNI_IO_FAILURE, NULL,
					r < 0 ? "cannot read stdin"
					      : "stdin: no end of the network configuration in time");
			free(buf);
			return r;
		}
		n = read(STDIN_FILENO, buf + len, room - len);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0) {
			r = plugin_fail(p, CNI_IO_FAILURE, strerror(errno), "cannot read stdin");
			free(buf);
			return r;
		}
		if (n == 0)
			break;
		len += (size_t)n;
	}
	*ret = buf;
	*ret_len = len;
	return 0;
}

static int stdin_decode(struct plugin *p)
{
	json_error_t error;
	size_t len = 0;
	char *buf = NULL;
	int r = stdin_read(p, &buf, &len);

	if (r)
		return r;
	p->conf = json_loadb(buf, len, 0, &error);
	free(buf);
	if (!p->conf)
		return plugin_fail(p, CNI_DECODE_FAILURE, error.text,
				   "stdin: the network configuration is no JSON object (line %d, column %d)",
				   error.line, error.column);
	if (!json_is_object(p->conf)) {
		json_decref(p->conf);
		p->conf = NULL;
		return plugin_fail(p, CNI_DECODE_FAILURE, NULL,
				   "stdin: the network configuration is no JSON object");
	}
	return 0;
}

static int version_read(struct plugin *p)
{
	json_t *json = json_object_get(p->conf, "cniVersion");
	const char *text;
	int version;

	if (json && !json_is_string(json))
		return plugin_fail(p, CNI_INVALID_CONFIG, NULL, "cniVersion must be a string");
	text = json ? json_string_value(json) : cni_versions[0]; /* the first version did not have the key */
	version = cni_version_index(text);
	if (version < 0)
		return plugin_fail(p, CNI_INCOMPATIBLE_VERSION,
				   "supported: 0.1.0 0.2.0 0.3.0 0.3.1 0.4.0 1.0.0 1.1.0",
				   "cniVersion %.32s is not supported", text);
	p->version = version;
	return 0;
}

/* What the version that was asked for does not have yet. */
static int command_in_version(struct plugin *p)
{
	int since = p->command == CNI_CHECK			       ? CNI_0_4_0
		    : p->command == CNI_GC || p->command == CNI_STATUS ? CNI_1_1_0
								       : CNI_0_1_0;

	if (p->version >= since)
		return 0;
	return plugin_fail(p, CNI_INCOMPATIBLE_VERSION, NULL,
			   "CNI_COMMAND %s does not exist in cniVersion %s", getenv("CNI_COMMAND"),
			   cni_versions[p->version]);
}

int request_read(struct plugin *p)
{
	int r = stdin_decode(p);

	if (p->command == CNI_VERSION) {
		json_t *asked = p->conf ? json_object_get(p->conf, "cniVersion") : NULL;

		/* Whoever asks for versions may know none yet: what else it says does not matter. */
		p->version_text = strdup(json_is_string(asked) ? json_string_value(asked)
							       : cni_versions[CNI_VERSIONS_NEWEST]);
		return p->version_text ? 0 : plugin_fail(p, CNI_IO_FAILURE, NULL, "out of memory");
	}
	if (r == 0)
		r = version_read(p);
	if (r)
		return r;
	if (p->command == CNI_NONE)
		return plugin_fail(p, CNI_INVALID_ENVIRONMENT, NULL,
				   "CNI_COMMAND is %.32s: it must be ADD, DEL, CHECK, GC, STATUS or VERSION",
				   getenv("CNI_COMMAND"));
	r = command_in_version(p);
	if (r == 0)
		r = environment_read(p);
	if (r == 0)
		r = conf_read(p);
	return r;
}

void request_free(struct plugin *p)
{
	free(p->pod_namespace);
	free(p->pod_name);
	free(p->pod_uid);
	free(p->version_text);
	free(p->state_dir);
	free((void *)p->devices);
	json_decref(p->valid_attachments);
	json_decref(p->conf);
}
