# SPDX-License-Identifier: GPL-2.0-or-later
# The CNI plugin.

EXTRA_DIST += cni/removal_note.c cni/removal_note.h
