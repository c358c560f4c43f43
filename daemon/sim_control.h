/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SVAD_SIM_CONTROL_H
#define SVAD_SIM_CONTROL_H
#include <stdint.h>

/* The control socket: the broker's requests, answers and events. Loop only. */

int sim_control_init(void);
void sim_control_deinit(void);

/* Takes fd: a new broker. What waits for the old one is dropped: the new one lists. */
int sim_control_attach(int fd);

/* Handles every request that has arrived. Called before each message of a client: a grant that the broker sent first is seen first. */
void sim_control_drain(void);

struct svab_dev_reset;
/* Answers an SVAB_DEV_RESET that took its time; seq 0: nobody waits. */
void sim_control_answer_reset(uint32_t seq, const struct svab_dev_reset *reset);

/* Sends the events of this turn now. Called before a client is answered who may go and tell the broker: it must have heard it from us. */
void sim_control_flush(void);

#endif
