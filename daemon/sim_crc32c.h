/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_SIM_CRC32C_H
#define SVAD_SIM_CRC32C_H
#include <stddef.h>
#include <stdint.h>

/* CRC-32C (Castagnoli, reflected), with the usual inversions: crc32c(0, "123456789", 9) == 0xe3069283, and
 * crc32c(crc32c(0, a), b) == crc32c(0, ab). With the CPU's own instruction where there is one. Thread-safe. */
uint32_t crc32c(uint32_t crc, const void *data, size_t len);

/* The same from a table: what crc32c() uses without the instruction; for tests. */
uint32_t crc32c_table(uint32_t crc, const void *data, size_t len);

#endif
