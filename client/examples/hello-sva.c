/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A device copies and checksums plain malloc memory. Build: cc hello-sva.c $(pkg-config --cflags --libs
 * libsvaclient) */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sva/queue.h>
#include <sva/sva.h>
#include <unistd.h>

#define LEN (1 << 20)

static int use(struct sva *sva, struct sva_bond *bond, unsigned char *from, unsigned char *to)
{
	struct sva_queue *queue = NULL;
	uint32_t crc = 0;
	int r;

	r = sva_queue_new(bond, 16, &queue);
	if (r == 0)
		r = sva_copy(queue, to, from, LEN, NULL);
	if (r == 0)
		r = sva_crc32c(queue, to, LEN, &crc, NULL);
	if (r < 0)
		fprintf(stderr, "hello-sva: %s\n", sva_strerror(sva, r));
	else
		printf("%d bytes copied by the device, %s, CRC-32C %08x\n", LEN,
		       memcmp(from, to, LEN) ? "DIFFERENT" : "equal", crc);
	sva_queue_free(queue);
	return r < 0 || memcmp(from, to, LEN) != 0;
}

int main(int argc, char **argv)
{
	unsigned char *from = malloc(LEN), *to = calloc(1, LEN); /* nothing is registered or pinned */
	struct sva *sva = NULL;
	struct sva_bond *bond;
	int r, failed = 1;

	if (!from || !to)
		return 1;
	for (size_t i = 0; i < LEN; i++)
		from[i] = (unsigned char)(i * 31 >> 3);

	r = sva_connect(NULL, -1, &sva);
	if (r == 0)
		r = sva_bind(sva, argc > 1 ? argv[1] : NULL,
			     &bond); /* a device's name, or any that is allowed */
	if (r == 0) {
		printf("bound: PASID %u\n", sva_bond_pasid(bond));
		failed = use(sva, bond, from, to);
		fflush(stdout);
		if (!failed && argc > 2)
			pause(); /* a second argument, whatever it is: keeps its binding until it is killed */
		r = sva_unbind(bond,
			       SVA_STATE_NONE); /* returns when the device can reach this memory no more */
	}
	if (r < 0)
		fprintf(stderr, "hello-sva: %s\n", sva_strerror(sva, r));
	sva_disconnect(sva);
	free(from);
	free(to);
	return failed || r < 0;
}
