/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "log.h"
#include "supervisor.h"

#ifndef PKGLIBEXECDIR
#define PKGLIBEXECDIR "/usr/libexec/svad"
#endif
#ifndef SYSCONFDIR
#define SYSCONFDIR "/etc"
#endif
#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown"
#endif

static void help(FILE *f)
{
	fputs("Usage: svad [OPTION]...\n"
	      "Lets processes use accelerators through Shared Virtual Addressing. Runs in the foreground.\n\n"
	      "  -c, --config FILE      settings, with FILE.d/*.conf read after it\n"
	      "                         (default: " SYSCONFDIR "/svad/svad.conf)\n"
	      "      --libexec-dir DIR  where svad-broker and svad-simdev are (default: " PKGLIBEXECDIR ")\n"
	      "      --check            read the settings, name every mistake with its file and line, and "
	      "exit\n"
	      "  -h, --help             this text\n"
	      "  -V, --version          the version\n\n"
	      "SIGTERM drains all that is bound and exits; SIGHUP reloads the settings, all or nothing.\n"
	      "Exit status: 0 all drained; 1 could not start; 2 wrong use; 4 something would not drain; 5 "
	      "mistakes in the settings.\n"
	      "See svad(8) and svad.conf(5).\n",
	      f);
}

/* Whatever opens the first file must not get a number that libraries write messages to. */
static int fill_standard_fds(void)
{
	for (int fd = 0; fd <= 2; fd++) {
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR | O_NOCTTY) != fd)
			return -errno;
	}
	return 0;
}

static void print_errors(const struct config_errors *errors, int r)
{
	for (size_t i = 0; i < errors->n; i++)
		log_err("%s", errors->lines[i]);
	if (errors->n == 0)
		log_err("cannot read the settings: %s", strerror(-r));
}

int main(int argc, char **argv)
{
	enum { OPT_LIBEXEC = 256, OPT_CHECK };
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "libexec-dir", required_argument, NULL, OPT_LIBEXEC },
		{ "check", no_argument, NULL, OPT_CHECK },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ 0 },
	};
	struct supervisor_args args = { .libexec_dir = PKGLIBEXECDIR };
	struct config_errors errors = { 0 };
	struct config *config = NULL;
	int check = 0, opt, r;

	if (fill_standard_fds() < 0)
		return SVAD_EXIT_FAILURE;
	while ((opt = getopt_long(argc, argv, "c:hV", options, NULL)) >= 0) {
		switch (opt) {
		case 'c':
			args.config_path = optarg;
			break;
		case OPT_LIBEXEC:
			args.libexec_dir = optarg;
			break;
		case OPT_CHECK:
			check = 1;
			break;
		case 'h':
			help(stdout);
			return SVAD_EXIT_OK;
		case 'V':
			puts("svad " PACKAGE_VERSION);
			return SVAD_EXIT_OK;
		default:
			fputs("Try 'svad --help'.\n", stderr);
			return SVAD_EXIT_USAGE;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "svad: unexpected argument '%s'\nTry 'svad --help'.\n", argv[optind]);
		return SVAD_EXIT_USAGE;
	}

	log_init("svad", LOG_INFO);
	r = config_load(args.config_path, &config, &errors);
	if (r < 0) {
		print_errors(&errors, r);
		config_errors_clear(&errors);
		return SVAD_EXIT_CONFIG;
	}
	config_errors_clear(&errors);
	if (check) {
		printf("%s: no mistakes\n",
		       config->origin ? config->origin : "built-in defaults (no svad.conf)");
		config_free(config);
		return SVAD_EXIT_OK;
	}
	log_set_level(config->log_level);
	return (int)supervisor_run(&args, config);
}
