// SPDX-License-Identifier: GPL-2.0-only
/* The accelerator's registers are the same for every driver. */
#include <accel/hw.c>
