// SPDX-License-Identifier: GPL-2.0-or-later
/* STATUS and VERSION: what the plugin can do, with no container. */
#include "plugin.h"

int command_status(struct plugin *p)
{
	struct sva_admin_status status = { .size = sizeof(status) };
	struct sva_admin *admin = NULL;
	int r = sva_admin_connect(p->admin_socket, p->timeout_ms, &admin);

	if (r == 0)
		r = sva_admin_status(admin, &status);
	if (r < 0) {
		/* What containers have bound goes on without svad, or has ended: this cannot be told from
		 * here. */
		r = plugin_fail(p, CNI_NOT_AVAILABLE, sva_admin_strerror(admin, r),
				"svad cannot be asked: no container can be registered");
	} else if (status.shutting_down) {
		r = plugin_fail(p, CNI_LIMITED_CONNECTIVITY, NULL, "svad is being stopped: every bond ends");
	} else if (!status.backend_up) {
		r = plugin_fail(p, CNI_LIMITED_CONNECTIVITY, NULL,
				"svad's devices (backend %s) cannot be reached now: nobody can bind",
				status.backend);
	} else {
		plugin_log(p, "svad %s serves %u devices, %u of them degraded", status.version,
			   status.devices, status.devices_degraded);
	}
	sva_admin_disconnect(admin);
	return r;
}

int command_version(struct plugin *p)
{
	json_t *versions = json_array();

	for (int i = 0; i <= CNI_VERSIONS_NEWEST; i++)
		(void)json_array_append_new(versions, json_string(cni_versions[i]));
	return plugin_print(
		p, json_pack("{s:s, s:o}", "cniVersion", p->version_text, "supportedVersions", versions));
}
