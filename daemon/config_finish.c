/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What can only be judged once all files are read, and the settings that follow from others. */
#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config_private.h"

/* Also when its value was a mistake: then that has been said. */
static bool is_set(const struct config_parser *p, size_t section, const char *name)
{
	const struct config_key *key = config_key_find(p->sections[section].kind, name);

	for (size_t i = 0; i < p->n_settings; i++) {
		if (p->settings[i].section == section && p->settings[i].key == key)
			return true;
	}
	return false;
}

static int set_default(char **field, const char *dir, const char *name)
{
	if (*field)
		return 0;
	return asprintf(field, "%s/%s", dir, name) < 0 ? (*field = NULL, -ENOMEM) : 0;
}

/* Where a plain key was set, else the first line of the first file. */
static struct origin where(const struct config_parser *p, const char *section, const char *name)
{
	const struct config_key *key = config_key_find(section, name);

	for (size_t i = p->n_settings; i-- > 0;) {
		if (p->settings[i].key == key)
			return p->settings[i].at;
	}
	return (struct origin){ 0, 0 };
}

static void check_path(struct config_parser *p, const char *section, const char *key, const char *path)
{
	if (path && *path && *path != '/')
		mistake(p, where(p, section, key), "%s: '%s' is not an absolute path; begin it with /", key,
			path);
	else if (path && strlen(path) > CONFIG_SUN_PATH_MAX)
		mistake(p, where(p, section, key),
			"%s: %s is %zu bytes long, and a socket's path may have %u; choose a shorter one",
			key, path, strlen(path), CONFIG_SUN_PATH_MAX);
}

static bool is_below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	while (n > 1 && dir[n - 1] == '/')
		n--;
	return path && strncmp(path, dir, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

static int finish_paths(struct config_parser *p)
{
	struct config *c = p->config;
	int r = 0;

	if (!c->runtime_dir && (!c->socket || !c->admin_socket || !c->containers_state_dir ||
				!c->containers_socket_dir || !p->trusted)) {
		const char *xdg = getenv("XDG_RUNTIME_DIR");

		if (geteuid() == 0)
			r = (c->runtime_dir = strdup("/run/svad")) ? 0 : -ENOMEM;
		else if (xdg && *xdg == '/')
			r = set_default(&c->runtime_dir, xdg, "svad");
		else
			mistake(p, ((struct origin){ 0, 0 }),
				"XDG_RUNTIME_DIR is not set, so there is no place for the sockets; set it, "
				"or runtime_dir in [daemon]");
	}
	if (r == 0 && c->runtime_dir) {
		r = set_default(&c->socket, c->runtime_dir, "svad.sock");
		if (r == 0)
			r = set_default(&c->admin_socket, c->runtime_dir, "admin.sock");
		if (r == 0)
			r = set_default(&c->containers_state_dir, c->runtime_dir, "state");
		if (r == 0)
			r = set_default(&c->containers_socket_dir, c->runtime_dir, "containers");
	}
	if (r < 0)
		return r;
	check_path(p, "daemon", "runtime_dir", c->runtime_dir);
	check_path(p, "daemon", "socket", c->socket);
	check_path(p, "daemon", "admin_socket", c->admin_socket);
	check_path(p, "containers", "state_dir", c->containers_state_dir);
	check_path(p, "containers", "socket_dir", c->containers_socket_dir);
	check_path(p, "sim", "fault_socket", c->fault_socket);
	if (c->socket && c->admin_socket && strcmp(c->socket, c->admin_socket) == 0)
		mistake(p, where(p, "daemon", "admin_socket"),
			"admin_socket: clients' and administrators' sockets are the same path; "
			"choose two");
	/* What is in it is mounted into containers: nothing else may be. */
	if (c->containers_socket_dir && (is_below(c->admin_socket, c->containers_socket_dir) ||
					 is_below(c->containers_state_dir, c->containers_socket_dir)))
		mistake(p, where(p, "containers", "socket_dir"),
			"socket_dir: %s is mounted into containers, and %s is in it; give socket_dir a "
			"directory of its own",
			c->containers_socket_dir,
			is_below(c->admin_socket, c->containers_socket_dir) ? "admin_socket" : "state_dir");
	return 0;
}

static void check_group(struct config_parser *p, const char *key, const char *group)
{
	if (p->trusted || !group || !*group || isdigit((unsigned char)*group))
		return;
	if (!getgrnam(group))
		mistake(p, where(p, "daemon", key),
			"%s: there is no group '%s' on this machine; create it with 'groupadd --system %s'",
			key, group, group);
}

static int default_devices(struct config_parser *p)
{
	struct config *c = p->config;
	int r;

	c->devices = calloc(2, sizeof(*c->devices));
	if (!c->devices)
		return -ENOMEM;
	for (size_t i = 0; i < 2; i++) {
		struct config_device *d = &c->devices[i];

		d->name = strdup(i ? "sim1" : "sim0");
		c->n_devices++;
		if (!d->name)
			return -ENOMEM;
		r = config_defaults(d, "device");
		if (r < 0)
			return r;
	}
	c->devices[1].stop = STOP_CLEAN;
	return 0;
}

static void finish_policy(struct config_parser *p, size_t section)
{
	static const char *const containers_only[] = { "bonds_per_container", "connections_per_container",
						       "requests_per_second_per_container",
						       "drain_deadline" };
	struct config_policy *policy = &p->config->policies[p->sections[section].index];
	struct origin at = p->sections[section].at;

	policy->of_containers =
		is_set(p, section, "container") || is_set(p, section, "pod") || is_set(p, section, "network");
	p->config->n_container_policies += policy->of_containers;
	if (!policy->of_containers && !is_set(p, section, "uid") && !is_set(p, section, "gid"))
		mistake(p, at,
			"[policy \"%s\"] applies to nobody; add uid = or gid =, or uid = * for everybody, or "
			"container =, pod = or network = for clients in containers",
			policy->name);
	if (!is_set(p, section, "devices"))
		mistake(p, at,
			"[policy \"%s\"] names no device; add devices =, or devices = * for all of them",
			policy->name);
	if (p->trusted)
		return; /* the text of it all has every key */
	for (size_t i = 0; !policy->of_containers && i < sizeof(containers_only) / sizeof(containers_only[0]);
	     i++) {
		if (is_set(p, section, containers_only[i]))
			mistake(p, at,
				"[policy \"%s\"] has %s and is for clients of the host; add container =, pod "
				"= "
				"or network =, or remove it",
				policy->name, containers_only[i]);
	}
	if (policy->of_containers && is_set(p, section, "bonds_per_uid"))
		mistake(p, at,
			"[policy \"%s\"] has bonds_per_uid and is for containers, which are charged for "
			"their "
			"clients whatever their uids; write bonds_per_container",
			policy->name);
}

int config_parser_finish(struct config_parser *p, struct config **ret)
{
	struct config *c = p->config;
	char *none = NULL;
	int r = p->r;

	if (r == 0 && p->n_files == 0) {
		p->files = calloc(1, sizeof(*p->files));
		none = strdup("built-in defaults");
		r = p->files && none ? 0 : -ENOMEM;
		if (r == 0)
			p->files[p->n_files++] = none;
		else
			free(none);
	}
	if (r == 0)
		r = finish_paths(p);
	if (r < 0)
		return r;
	check_group(p, "socket_group", c->socket_group);
	check_group(p, "admin_socket_group", c->admin_socket_group);
	if (c->restart_backoff_min_ms > c->restart_backoff_max_ms)
		mistake(p, where(p, "daemon", "restart_backoff_min_ms"),
			"restart_backoff_min_ms: %u ms is more than restart_backoff_max_ms, %u ms; make it "
			"less",
			c->restart_backoff_min_ms, c->restart_backoff_max_ms);
	for (size_t i = 0; i < p->n_sections; i++) {
		if (strcmp(p->sections[i].kind, "policy") == 0)
			finish_policy(p, i);
	}
	if (c->backend == BACKEND_SIM && c->n_devices == 0 && !p->trusted) {
		r = default_devices(p);
		if (r < 0)
			return r;
	}
	if (p->errors->n > 0)
		return -EINVAL;
	p->config = NULL;
	*ret = c;
	return 0;
}
