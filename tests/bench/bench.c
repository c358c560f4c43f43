/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 *	svad-bench [--quick] [--only NAME] [--builddir DIR] [--output DIR]
 *
 * A table on stdout; results.json and, where gnuplot is, results.svg in DIR (default: bench). Exit status: 0
 *when everything could be measured, whether or not it reached what was asked for.
 */
#include "bench-containers.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <jansson.h>

#define MAX_ROWS 64

static struct result {
	char name[96], unit[24], note[256];
	double ours, peer, ratio, reach;
	bool at_most, judged, met;
} rows[MAX_ROWS];
static size_t n_rows;

/* ---- figures -------------------------------------------------------------------------------- */

void sample(struct samples *s, double value)
{
	if (s->n == s->room) {
		s->room = s->room ? s->room * 2 : 256;
		s->at = realloc(s->at, s->room * sizeof(*s->at));
		if (!s->at)
			abort();
	}
	s->at[s->n++] = value;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double percentile(struct samples *s, double p)
{
	if (!s->n)
		return (double)NAN;
	qsort(s->at, s->n, sizeof(*s->at), by_value);
	return s->at[(size_t)((double)(s->n - 1) * p / 100.0 + 0.5)];
}

double median(struct samples *s)
{
	return percentile(s, 50);
}

void samples_free(struct samples *s)
{
	free(s->at);
	memset(s, 0, sizeof(*s));
}

/* ---- rows ----------------------------------------------------------------------------------- */

static bool known(double v)
{
	return isfinite(v) && v >= 0;
}

static void figure(char *buf, size_t size, double v)
{
	if (!known(v))
		snprintf(buf, size, "-");
	else if (v >= 10000)
		snprintf(buf, size, "%.0f", v);
	else if (v >= 100)
		snprintf(buf, size, "%.1f", v);
	else
		snprintf(buf, size, "%.3g", v);
}

void row(const char *name, const char *unit, double ours, double peer, double reach, bool at_most,
	 const char *note, ...)
{
	char o[32], p[32], ratio[32] = "-", r[32] = "-";
	struct result *x = &rows[n_rows];
	va_list ap;

	if (n_rows == MAX_ROWS)
		abort();
	n_rows++;
	snprintf(x->name, sizeof(x->name), "%s", name);
	snprintf(x->unit, sizeof(x->unit), "%s", unit);
	va_start(ap, note);
	vsnprintf(x->note, sizeof(x->note), note, ap);
	va_end(ap);
	x->ours = ours;
	x->peer = peer;
	x->ratio = known(ours) && known(peer) && peer > 0 ? ours / peer : (double)NAN;
	x->reach = reach;
	x->at_most = at_most;
	x->judged = reach > 0 && known(x->ratio);
	x->met = x->judged && (at_most ? x->ratio <= reach : x->ratio >= reach);

	figure(o, sizeof(o), ours);
	figure(p, sizeof(p), peer);
	if (known(x->ratio))
		snprintf(ratio, sizeof(ratio), "%.2f", x->ratio);
	if (reach > 0)
		snprintf(r, sizeof(r), "%s %.2g", at_most ? "<=" : ">=", reach);
	printf("%-58s %10s %10s %-6s %7s %8s  %-4s %s\n", name, o, p, unit, ratio, r,
	       x->judged ? (x->met ? "yes" : "NO") : "", x->note);
	fflush(stdout);
}

static json_t *number(double v)
{
	return known(v) ? json_real(v) : json_null();
}

static bool write_json(const char *dir)
{
	json_t *list = json_array(), *all = json_object();
	char path[4096];
	bool ok;

	for (size_t i = 0; i < n_rows; i++) {
		const struct result *x = &rows[i];
		json_t *o = json_object();

		json_object_set_new(o, "name", json_string(x->name));
		json_object_set_new(o, "unit", json_string(x->unit));
		json_object_set_new(o, "ours", number(x->ours));
		json_object_set_new(o, "peer", number(x->peer));
		json_object_set_new(o, "ratio", number(x->ratio));
		json_object_set_new(o, "reach", x->reach > 0 ? json_real(x->reach) : json_null());
		json_object_set_new(o, "better", json_string(x->at_most ? "less" : "more"));
		json_object_set_new(o, "met", x->judged ? json_boolean(x->met) : json_null());
		json_object_set_new(o, "note", json_string(x->note));
		json_array_append_new(list, o);
	}
	json_object_set_new(all, "rows", list);
	snprintf(path, sizeof(path), "%s/results.json", dir);
	ok = json_dump_file(all, path, JSON_INDENT(1) | JSON_REAL_PRECISION(6)) == 0;
	json_decref(all);
	if (!ok)
		fprintf(stderr, "svad-bench: %s: %s\n", path, strerror(errno));
	return ok;
}

/* How far each ratio is from what was asked for: 1 is just met, more is better. By gnuplot, which may not be
 * there. */
static void plot(const char *dir)
{
	char path[4096], command[8300];
	FILE *f;

	snprintf(path, sizeof(path), "%s/results.gp", dir);
	f = fopen(path, "we");
	if (!f)
		return;
	fprintf(f, "# SPDX-License-Identifier: GPL-2.0-or-later\n$rows << END\n");
	for (size_t i = 0; i < n_rows; i++)
		if (rows[i].judged)
			fprintf(f, "\"%s\" %.4f %d\n", rows[i].name,
				rows[i].at_most ? rows[i].reach / rows[i].ratio
						: rows[i].ratio / rows[i].reach,
				rows[i].met ? 2 : 7);
	fprintf(f,
		"END\n"
		"set terminal svg size 1100,700 noenhanced font 'sans,12' background 'white'\n"
		"set output '%s/results.svg'\n"
		"set title 'svad beside its peers: how far within reach (1 = just reached, right is "
		"better)'\n"
		"set style fill solid 0.7\nset boxwidth 0.7\nunset key\nset yrange [*:*] reverse\nset "
		"logscale x 2\nset grid x\n"
		"set xrange [0.125:*]\nset arrow from 1, graph 0 to 1, graph 1 nohead lw 2 lc 'black' front\n"
		"plot $rows using (sqrt(0.125*$2)):0:(0.125):2:($0-0.35):($0+0.35):3:ytic(1) with boxxyerror "
		"lc variable\n",
		dir);
	if (fclose(f) != 0)
		return;
	snprintf(command, sizeof(command), "gnuplot '%s'", path);
	if (system(command) != 0)
		fprintf(stderr, "svad-bench: no plot: gnuplot failed or is not installed (apt-get install "
				"gnuplot-nox)\n");
}

static const struct {
	const char *name;
	void (*run)(struct bench *b);
} parts[] = {
	{ "bind", bench_bind }, { "requests", bench_requests }, { "memory", bench_memory },
	{ "kill", bench_kill }, { "drain", bench_drain },	{ "dma", bench_dma },
	{ "containers", bench_containers },
};

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "quick", no_argument, NULL, 'q' },
		{ "only", required_argument, NULL, 'o' },
		{ "builddir", required_argument, NULL, 'b' },
		{ "output", required_argument, NULL, 'd' },
		{ "victim", no_argument, NULL, 'v' },
		{ 0 },
	};
	struct bench b = { .builddir = "." };
	const char *only = NULL, *dir = "bench";
	size_t missed = 0, judged = 0;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'q':
			b.quick = true;
			break;
		case 'o':
			only = optarg;
			break;
		case 'b':
			b.builddir = optarg;
			break;
		case 'd':
			dir = optarg;
			break;
		case 'v': /* by bench-podman.c, in its container */
			return bench_podman_victim();
		default:
			fprintf(stderr,
				"usage: svad-bench [--quick] [--only bind|requests|memory|kill|drain|dma|containers] "
				"[--builddir DIR] [--output DIR]\n");
			return 2;
		}
	}
	b.libexecdir = b.builddir;
	if (mkdir(dir, 0777) < 0 && errno != EEXIST) {
		fprintf(stderr, "svad-bench: %s: %s\n", dir, strerror(errno));
		return 1;
	}
	printf("%-58s %10s %10s %-6s %7s %8s  %-4s %s\n", "", "svad", "peer", "unit", "ratio", "reach", "met",
	       "");
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (!only || !strcmp(only, parts[i].name))
			parts[i].run(&b);
	for (size_t i = 0; i < n_rows; i++) {
		judged += rows[i].judged;
		missed += rows[i].judged && !rows[i].met;
	}
	printf("%zu of %zu reached; %s/results.json\n", judged - missed, judged, dir);
	if (!write_json(dir))
		return 1;
	if (judged)
		plot(dir);
	return b.failed ? 1 : 0;
}
