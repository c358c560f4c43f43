/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_TESTS_SLOW_FILE_H
#define SVAD_TESTS_SLOW_FILE_H
/*
 * A file of one page of zeros that does not come: a FUSE file system of one file, served by a thread of the test, that answers a read only
 * when it is told to, or by itself after a while, so that no test hangs the machine. What a hostile client maps to hold a device up. In a
 * mount namespace of the test's own. One at a time; of no test harness, the guest's scenarios use it as well.
 *
 * While a read is held, the mm that it is for is locked: do not fork, map or unmap in a process that has the page mapped, and know
 * that whoever looks at its /proc/PID/cmdline (ps, pgrep -f) waits as well.
 */
#include <stdbool.h>

/* held_ms: the longest that a read is held. The file; or -1 and errno where FUSE is missing or may not be mounted. */
int slow_file_open(int held_ms);
bool slow_file_wait_read(int timeout_ms); /* until somebody waits for the page; false: nobody has */
void slow_file_release(void);

#endif
