/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_TESTS_SLOW_FILE_H
#define SVAD_TESTS_SLOW_FILE_H
/*
 * A file whose contents do not come: a FUSE file system of one file, served by a thread of the test, that answers a read only when it is told
 * to, or by itself after 20 s, so that no test hangs the machine. What a hostile client maps to hold a device up. In a mount namespace of the
 * test's own. Skips the test where that is not permitted.
 *
 * While a read is held, the mm that it is for is locked: do not fork, map or unmap in a process that has the page mapped, and know
 * that whoever looks at its /proc/PID/cmdline (ps, pgrep -f) waits as well.
 */
int slow_file_open(void);
void slow_file_wait_read(void); /* until somebody waits for its contents; fails the test after 10 s */
void slow_file_release(void);

#endif
