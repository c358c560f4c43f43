/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_CNI_REMOVAL_NOTE_H
#define SVAD_CNI_REMOVAL_NOTE_H
/*
 * An attachment that ended while svad could not be told: a file in STATE_DIR/removed, which svad reads when it starts. Its name is
 * the SHA-256 of its content in hex, its content three lines: network, container id, ifname. libc only; thread-safe.
 */

/* Writes it (temporary file, fsync, rename), and makes STATE_DIR/removed where it is missing. 0; -ENOENT: there is no STATE_DIR, so svad
 * has not run since the machine started and knows of nothing to remove; -EINVAL: an argument is NULL or has a control character in it,
 * or is too long; other -errno. */
int removal_note_write(const char *state_dir, const char *network, const char *container_id, const char *ifname);

/* Takes it back: the attachment exists again, or svad was told after all. 0 also when there is none. */
int removal_note_drop(const char *state_dir, const char *network, const char *container_id, const char *ifname);

#endif
