// SPDX-License-Identifier: GPL-2.0-or-later
/* svadctl doctor: whether a container runtime of this machine tells svad of its containers, by the CNI
 * plugin. */
#include <dirent.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doctor.h"

#ifndef CNIDIR
#define CNIDIR "/usr/lib/cni"
#endif

#define SAY(level, id, remedy, ...) doctor_say(d, SECTION_CONTAINERS, level, id, remedy, __VA_ARGS__)

static const char *find_plugin(const struct machine *m)
{
	static const char *const paths[] = { CNIDIR "/sva", "/usr/lib/cni/sva", "/opt/cni/bin/sva",
					     "/usr/libexec/cni/sva" };

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		if (machine_exists(m, paths[i]))
			return paths[i];
	return NULL;
}

static bool names_sva(const char *text)
{
	json_t *root = json_loads(text, 0, NULL);
	const json_t *plugin;
	bool found = false;
	size_t i;

	json_array_foreach(json_object_get(root, "plugins"), i, plugin)
	{
		const char *type = json_string_value(json_object_get(plugin, "type"));

		found |= type && !strcmp(type, "sva");
	}
	json_decref(root);
	return found;
}

/* The first network configuration that has the plugin. */
static bool find_conflist(const struct machine *m, char *ret, size_t size)
{
	static const char *const dirs[] = { "/etc/cni/net.d", "/var/lib/rancher/k3s/agent/etc/cni/net.d" };
	bool found = false;

	for (size_t k = 0; k < sizeof(dirs) / sizeof(dirs[0]) && !found; k++) {
		char full[PATH_MAX];
		struct dirent **names;
		int n;

		snprintf(full, sizeof(full), "%s%s", m->root, dirs[k]);
		n = scandir(full, &names, NULL, alphasort);
		for (int i = 0; i < n; i++) {
			size_t len = strlen(names[i]->d_name);

			if (!found && len > 9 && !strcmp(names[i]->d_name + len - 9, ".conflist")) {
				char *text;

				snprintf(ret, size, "%s/%s", dirs[k], names[i]->d_name);
				text = machine_read(m, ret, 1u << 20, NULL);
				found = text && names_sva(text);
				free(text);
			}
			free(names[i]);
		}
		if (n >= 0)
			free(names);
	}
	return found;
}

void doctor_runtimes(struct doctor *d, const struct machine *m, bool registered)
{
	const char *plugin = find_plugin(m);
	char conflist[PATH_MAX];
	bool chained = find_conflist(m, conflist, sizeof(conflist));

	if (plugin)
		SAY(LEVEL_OK, "cni-plugin", NULL, "the CNI plugin is installed: %s", plugin);
	else if (chained)
		SAY(LEVEL_WARN, "cni-plugin",
		    "make install, or copy the plugin sva to where the runtime looks for plugins",
		    "%s names the plugin sva, which is in none of the usual directories", conflist);
	else
		SAY(LEVEL_INFO, "cni-plugin", NULL,
		    "no CNI plugin is installed: containers are registered by OCI hooks or by hand, or not "
		    "at all");
	if (chained)
		SAY(LEVEL_OK, "cni-conflist", NULL, "%s has the plugin sva in it", conflist);
	else if (plugin)
		SAY(registered ? LEVEL_INFO : LEVEL_WARN, "cni-conflist",
		    "add {\"type\": \"sva\"} behind the network's other plugins in its .conflist, see "
		    "sva-cni(8)",
		    "no network configuration in /etc/cni/net.d has the plugin sva: its containers are not "
		    "registered");
}
