// SPDX-License-Identifier: GPL-2.0-or-later
/* svadctl config check */
#include <errno.h>
#include <stdio.h>

#include "../../daemon/config.h"
#include "ctl.h"
#include "json.h"
#include "term.h"

int cmd_config_check(struct ctl *ctl, int argc, char **argv)
{
	struct config_errors errors = { 0 };
	struct config *config = NULL;
	const char *file;
	char clean[4096];
	int r, code;

	r = ctl_parse(ctl, argc, argv, NULL, &file, 0, 1);
	if (r != CTL_GO)
		return r;
	r = config_load(file, &config, &errors);
	code = r < 0 ? CTL_CONFIG : CTL_OK;
	if (ctl->json) {
		json_t *o = json_object(), *a = json_array();

		for (size_t i = 0; i < errors.n; i++)
			json_array_append_new(a,
					      json_string(text_clean(errors.lines[i], clean, sizeof(clean))));
		json_add_bool(o, "valid", r >= 0);
		if (r >= 0 && config->origin)
			json_add_str(o, "file", config->origin);
		else if (file)
			json_add_str(o, "file", text_clean(file, clean, sizeof(clean)));
		json_add(o, "errors", a);
		if (r >= 0) {
			json_add_u64(o, "devices", config->n_devices);
			json_add_u64(o, "policies", config->n_policies);
		}
		r = json_print(o, false);
		if (r)
			code = r;
	} else if (r < 0) {
		for (size_t i = 0; i < errors.n; i++)
			printf("%s\n", text_clean(errors.lines[i], clean, sizeof(clean)));
		if (errors.n)
			printf("%zu mistake%s\n", errors.n, errors.n == 1 ? "" : "s");
		else
			ctl_error("cannot read the configuration: error %d", -r);
	} else {
		printf("%s is valid: backend %s, %zu device%s, %zu polic%s\n",
		       config->origin ? text_clean(config->origin, clean, sizeof(clean))
				      : "The built-in configuration",
		       config->backend == BACKEND_SIM ? "sim" : "kmod", config->n_devices,
		       config->n_devices == 1 ? "" : "s", config->n_policies,
		       config->n_policies == 1 ? "y" : "ies");
		if (!config->n_policies)
			printf("No policy: root and svad's own user may use every device, from svad's own "
			       "network namespace; nobody else any.\n");
	}
	config_errors_clear(&errors);
	config_free(config);
	return code;
}
