// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * svadctl: the administrator's tool. This file has the table of commands and picks one.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../../proto/wire.h"
#include "ctl.h"
#include "json.h"
#include "term.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown"
#endif

#define DEFAULT_TIMEOUT_MS 10000

static const struct ctl_command commands[] = {
	{ "status", NULL, "", "svad at a glance", NULL, cmd_status },
	{ "device", "list", "", "List the devices",
	  "Columns: BUSY is engines working now of those there are; BONDS is now, of those allowed.\n",
	  cmd_device_list },
	{ "device", "show", "NAME",
	  "Everything about one device, why it is degraded, and what to do about it",
	  "NAME is one of svad's, or a device that is bound to vfio (0000:01:00.0, vfio0): such a one is "
	  "opened, if\n"
	  "nobody uses it, to ask the kernel about its IOMMU; vfio may reset it then.\n",
	  cmd_device_show },
	{ "device", "reset", "NAME", "Reset a device; ends its bonds and its quarantines",
	  "Every bond of the device drains; quarantined PASIDs come free, because a reset device has "
	  "forgotten\n"
	  "them and all their work. Exit code 4 when some stay quarantined all the same.\n",
	  cmd_device_reset },
	{ "client", "list", "", "List the clients", NULL, cmd_client_list },
	{ "bond", "list", "", "List the bonds", NULL, cmd_bond_list },
	{ "bond", "show", "ID", "Everything about one bond", NULL, cmd_bond_show },
	{ "bond", "revoke", "ID", "End one bond and wait until its PASID is clean",
	  "The client loses its portal (SIGBUS, or -ESHUTDOWN through sva_queue) and is told. --timeout "
	  "bounds\n"
	  "the wait; without it the device's drain deadline does. Exit code 4: quarantined, or not done in "
	  "time.\n",
	  cmd_bond_revoke },
	{ "container", "list", "", "List the containers that runtimes have registered",
	  "BONDS is what is charged to the container, of those it may have. REFUSED counts requests and "
	  "connections.\n",
	  cmd_container_list },
	{ "container", "show", "ID",
	  "Everything about one container: who it is, its clients and bonds, how its end went",
	  "ID may be the beginning of exactly one container's id. The timeline counts from the moment at "
	  "which the\n"
	  "container's end was asked for; svad remembers the last 64 containers that were removed.\n",
	  cmd_container_show },
	{ "container", "register", "", "Register a container by hand, or as an OCI runtime's hook",
	  "By hand: --id and one of --netns and --pid. As a createRuntime hook: --oci, and the runtime gives "
	  "the\n"
	  "container's state on stdin; one that uses the host's network is left alone, with exit code 0. Run "
	  "it as root.\n",
	  cmd_container_register },
	{ "container", "remove", "[ID]",
	  "End a container: all its bonds, and wait until their PASIDs are clean",
	  "ID, in full, ends all of the container, --attachment one network of it. As a poststop hook:\n"
	  "--oci; it waits 5 s at most (--timeout), leaves a note where svad is down, and never fails. Exit "
	  "code 4:\n"
	  "something is quarantined, or not done in time and goes on by itself.\n",
	  cmd_container_remove },
	{ "container", "reconcile", "",
	  "Look now for containers whose network namespace is dead, and remove them", NULL,
	  cmd_container_reconcile },
	{ "drain", NULL, "", "End many bonds and show how it goes",
	  "Name what to drain with exactly one of --client, --container, --device, --uid, --bond and --all. "
	  "On a terminal\n"
	  "a live line shows progress; through a pipe there is one line for each bond that ends. --timeout "
	  "bounds the\n"
	  "wait; without it the slowest device's drain deadline and a second do. Exit code 4: something is "
	  "quarantined\n"
	  "or not done.\n",
	  cmd_drain },
	{ "quarantine", "list", "", "List the bonds whose device would not stop", NULL, cmd_quarantine_list },
	{ "quarantine", "release", "[ID]", "Ask the device once more to stop for a quarantined bond",
	  "Names a bond, or with --device all quarantined ones of a device. A device that now stops makes "
	  "the bond\n"
	  "CLEAN; one that still does not needs \"svadctl device reset\". Exit code 4: still quarantined.\n",
	  cmd_quarantine_release },
	{ "watch", NULL, "", "Show events as they happen", NULL, cmd_watch },
	{ "top", NULL, "", "Live figures of devices and clients, full screen",
	  "q quits, space or enter refreshes now.\n", cmd_top },
	{ "metrics", NULL, "", "Counters in Prometheus' text format",
	  "For the node exporter's textfile collector, or any scraper that runs commands.\n", cmd_metrics },
	{ "cdi", "generate", "", "Write the CDI file that lets runtimes give svad's socket to a container",
	  "Without --output it goes to stdout; runtimes look in /etc/cdi and /var/run/cdi. A container is "
	  "then "
	  "given\n"
	  "svad.dev/sva=all, as by podman run --device. Needs no running svad.\n",
	  cmd_cdi_generate },
	{ "cdi", "list", "", "List the CDI files that name svad's device",
	  "Exit code 1 when one is of no use as it is. Needs no running svad.\n", cmd_cdi_list },
	{ "doctor", NULL, "", "Why SVA is or is not usable here, with a remedy for each finding",
	  "Works with and without a running svad; as root it sees more. Devices that are bound to vfio and "
	  "that "
	  "nobody\n"
	  "uses are opened by svad to ask the kernel about their IOMMU; vfio may reset them then. Exit code "
	  "0: the\n"
	  "configured backend serves here (the simulated one where no svad runs); 1: it does not.\n",
	  cmd_doctor },
	{ "config", "check", "[FILE]", "Check a configuration file, and the FILE.d/*.conf beside it",
	  "Names file:line for each mistake. Exit code 5 when there is one. Needs no running svad.\n",
	  cmd_config_check },
	{ "version", NULL, "", "Version of svadctl and of the protocol", NULL, cmd_version },
};
#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

int cmd_version(struct ctl *ctl, int argc, char **argv)
{
	int r = ctl_parse(ctl, argc, argv, NULL, NULL, 0, 0);

	if (r != CTL_GO)
		return r;
	if (ctl->json) {
		json_t *o = json_object();

		json_add_str(o, "version", PACKAGE_VERSION);
		json_add_u64(o, "protocol_major", WIRE_VERSION_MAJOR);
		json_add_u64(o, "protocol_minor", WIRE_VERSION_MINOR);
		return json_print(o, false);
	}
	printf("svadctl %s (protocol %u.%u)\n", PACKAGE_VERSION, WIRE_VERSION_MAJOR, WIRE_VERSION_MINOR);
	return CTL_OK;
}

static void overview(FILE *out)
{
	fprintf(out, "Usage: svadctl [OPTIONS] COMMAND [ARGUMENTS]\n\nAdministers svad, the broker of shared "
		     "virtual addressing.\n\n"
		     "Commands:\n");
	for (size_t i = 0; i < N_COMMANDS; i++) {
		char left[64];

		snprintf(left, sizeof(left), "%s%s%s%s%s", commands[i].verb, commands[i].sub ? " " : "",
			 commands[i].sub ? commands[i].sub : "", *commands[i].args ? " " : "",
			 commands[i].args);
		fprintf(out, "  %-26s %s\n", left, commands[i].summary);
	}
	fprintf(out, "\nOptions of every command:\n"
		     "  --json                     JSON for programs, on stdout\n"
		     "  --socket PATH              the administrators' socket; else $SVAD_ADMIN_SOCKET,\n"
		     "                             $XDG_RUNTIME_DIR/svad/admin.sock if it exists, "
		     "/run/svad/admin.sock\n"
		     "  --timeout TIME             wait that long for an answer: 500ms, 10s (default), 2min\n"
		     "  --help                     after a command: what it does, its options\n");
}

/* Global options before the verb are moved behind it: they are the same options. Returns the verb's index, 0:
 * none. */
static int find_verb(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (argv[i][0] != '-')
			return i;
		if (!strcmp(argv[i], "--socket") || !strcmp(argv[i], "--timeout"))
			i++;
	}
	return 0;
}

static bool known_verb(const char *verb)
{
	for (size_t i = 0; i < N_COMMANDS; i++)
		if (!strcmp(commands[i].verb, verb))
			return true;
	return false;
}

static int usage_of_verb(const struct ctl *ctl, const char *verb, const char *sub)
{
	char subs[128] = "";

	for (size_t i = 0; i < N_COMMANDS; i++)
		if (!strcmp(commands[i].verb, verb)) {
			size_t used = strlen(subs);

			snprintf(subs + used, sizeof(subs) - used, "%s%s", used ? ", " : "", commands[i].sub);
		}
	if (sub)
		return ctl_usage(ctl, "\"%s %s\" is no command; there is: %s %s", verb, sub, verb, subs);
	return ctl_usage(ctl, "\"%s\" needs one of: %s", verb, subs);
}

static bool wants_help(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
			return true;
	return false;
}

static int help_of_verb(const char *verb)
{
	printf("Usage: svadctl %s COMMAND [OPTIONS]\n\n", verb);
	for (size_t i = 0; i < N_COMMANDS; i++)
		if (!strcmp(commands[i].verb, verb))
			printf("  %-10s %-6s %s\n", commands[i].sub, commands[i].args, commands[i].summary);
	printf("\nsvadctl %s COMMAND --help tells more of each.\n", verb);
	return CTL_OK;
}

static int pick(struct ctl *ctl, int argc, char **argv)
{
	char *rest[256];
	int n = 0, verb = find_verb(argc, argv), sub = 0;
	const struct ctl_command *c = NULL;

	if (!verb) {
		if (wants_help(argc, argv)) {
			overview(stdout);
			return CTL_OK;
		}
		for (int i = 1; i < argc; i++)
			if (!strcmp(argv[i], "--version"))
				return cmd_version(ctl, 0, NULL);
		overview(stderr);
		return CTL_USAGE;
	}
	if (argc >= (int)(sizeof(rest) / sizeof(rest[0])))
		return ctl_usage(ctl, "too many arguments");
	if (!strcmp(argv[verb], "help")) {
		overview(stdout);
		return CTL_OK;
	}
	if (!known_verb(argv[verb]))
		return ctl_usage(ctl, "\"%s\" is no command", argv[verb]);

	for (size_t i = 0; i < N_COMMANDS && !c; i++)
		if (!strcmp(commands[i].verb, argv[verb]) && !commands[i].sub)
			c = &commands[i];
	if (!c) {
		sub = find_verb(argc - verb, argv + verb);
		if (!sub && wants_help(argc, argv))
			return help_of_verb(argv[verb]);
		if (!sub)
			return usage_of_verb(ctl, argv[verb], NULL);
		sub += verb;
		for (size_t i = 0; i < N_COMMANDS && !c; i++)
			if (!strcmp(commands[i].verb, argv[verb]) && !strcmp(commands[i].sub, argv[sub]))
				c = &commands[i];
		if (!c)
			return usage_of_verb(ctl, argv[verb], argv[sub]);
	}
	for (int i = 1; i < argc; i++)
		if (i != verb && i != sub)
			rest[n++] = argv[i];
	ctl->command = c;
	return c->run(ctl, n, rest);
}

int main(int argc, char **argv)
{
	static const struct ctl_command version = { "version", NULL, "", "", NULL, cmd_version };
	struct ctl ctl = { .timeout_ms = DEFAULT_TIMEOUT_MS };
	int r;

	term_init();
	for (int i = 1; i < argc && argv[i][0] == '-'; i++)
		if (!strcmp(argv[i], "--version"))
			ctl.command = &version;
	r = pick(&ctl, argc, argv);
	/* A full disk under a redirected stdout must not look like success. */
	if (fflush(stdout) || ferror(stdout)) {
		ctl_error("cannot write to stdout: %s", strerror(errno));
		if (r == CTL_OK)
			r = CTL_FAILED;
	}
	return r;
}
