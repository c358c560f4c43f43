/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Registers: what identifies the SMMU, what switches it on and off, and the head of the command queue. */
#include "smmu.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define QUEUE_LOG2 10u
#define SID_BITS 16u
#define SSID_BITS 16u

static void identify(struct smmu *s)
{
	uint32_t idr0 = IDR0_S1P | IDR0_TTF_AARCH64 | IDR0_COHACC | IDR0_ASID16 | IDR0_VMID16 | IDR0_CD2L |
			IDR0_TTENDIAN_LE | IDR0_ST_2LVL;

	if (s->opt.ats)
		idr0 |= IDR0_ATS | IDR0_PRI;
	memset(s->regs, 0, SMMU_REGS_SIZE);
	reg32_set(s, IDR0, idr0);
	reg32_set(s, IDR1,
		  SID_BITS | SSID_BITS << 6 | QUEUE_LOG2 << 11 | QUEUE_LOG2 << 16 | QUEUE_LOG2 << 21);
	reg32_set(s, IDR3, IDR3_HAD);
	reg32_set(s, IDR5, IDR5_OAS_48 | IDR5_GRAN4K | IDR5_GRAN16K | IDR5_GRAN64K | s->opt.stall_max << 16);
	reg32_set(s, IIDR, 0);
	reg32_set(s, AIDR, 0); /* SMMUv3.0 */
}

int smmu_init(struct smmu *s, struct ram *ram, uint64_t regs_pa, const struct smmu_options *opt,
	      struct timers *timers)
{
	memset(s, 0, sizeof(*s));
	s->ram = ram;
	s->regs = ram_at(ram, regs_pa, SMMU_REGS_SIZE);
	s->opt = *opt;
	s->timers = timers;
	if (!s->regs || !opt->stall_max || opt->stall_max > SMMU_STALLS_MAX)
		return -EINVAL;
	s->cds = calloc(SMMU_CACHED_CDS, sizeof(*s->cds));
	s->stalls = calloc(opt->stall_max, sizeof(*s->stalls));
	if (!s->cds || !s->stalls || tlb_init(&s->tlb)) {
		free(s->cds);
		free(s->stalls);
		return -ENOMEM;
	}
	s->no_stall_free_tail = &s->no_stall_free;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->drained, NULL);
	identify(s);
	return 0;
}

void smmu_deinit(struct smmu *s)
{
	for (unsigned i = 0; i < s->opt.stall_max; i++)
		if (s->stalls[i].used && !s->stalls[i].waiter)
			free(s->stalls[i].access.data);
	free(s->stalls);
	free(s->cds);
	tlb_deinit(&s->tlb);
	checker_deinit(&s->checker);
	pthread_cond_destroy(&s->drained);
	pthread_mutex_destroy(&s->lock);
}

void smmu_gerror(struct smmu *s, uint32_t errors)
{
	uint32_t active = reg32(s, GERROR) ^ reg32(s, GERRORN);

	/* An error that is active already stays so. */
	reg32_set(s, GERROR, reg32(s, GERROR) ^ (errors & ~active));
	s->stats.gerrors++;
	if (reg32(s, IRQ_CTRLACK) & IRQ_CTRL_GERROR)
		s->irq(s->irq_arg, s->opt.spi_gerror);
}

/* ---- registers that switch something ---------------------------------------------------------- */

static void cr0_changed(struct smmu *s, uint32_t cr0)
{
	uint32_t on = cr0 & ~s->cr0, off = s->cr0 & ~cr0;

	if (on & CR0_SMMUEN) {
		s->strtab = load64(s->regs + STRTAB_BASE);
		s->strtab_cfg = reg32(s, STRTAB_BASE_CFG);
	}
	if (on & CR0_CMDQEN) {
		s->cmdq_cons = reg32(s, CMDQ_CONS);
		s->cmdq_stopped = false;
	}
	if (off & CR0_CMDQEN)
		s->cmdq_idle_prod = reg32(s, CMDQ_PROD);
	if (on & CR0_EVENTQEN)
		s->evtq_prod = reg32(s, EVTQ_PROD);
	if (on & CR0_PRIQEN)
		s->priq_prod = reg32(s, PRIQ_PROD);
	s->cr0 = cr0;
	reg32_set(s, CR0ACK, cr0);
}

/* Lock. True: something changed. */
static bool poll_registers(struct smmu *s)
{
	uint32_t cr0 = reg32(s, CR0) & CR0_BITS, irq = reg32(s, IRQ_CTRL) & 7u, gbpa = reg32(s, GBPA);
	bool any = false;

	if (irq != reg32(s, IRQ_CTRLACK)) {
		reg32_set(s, IRQ_CTRLACK, irq);
		any = true;
	}
	if (gbpa & GBPA_UPDATE) {
		reg32_set(s, GBPA, gbpa & ~GBPA_UPDATE);
		any = true;
	}
	if (cr0 != s->cr0) {
		cr0_changed(s, cr0);
		any = true;
	}
	if (!(s->cr0 & CR0_CMDQEN)) {
		uint32_t prod = reg32(s, CMDQ_PROD);

		/* 0: a driver that starts from the beginning. */
		if (prod != s->cmdq_idle_prod && prod)
			checker_violation(&s->checker,
					  "a command was queued with CR0.CMDQEN = 0 (index %#" PRIx32 ")",
					  prod);
		s->cmdq_idle_prod = prod;
	}
	return any;
}

/* ---- command queue ----------------------------------------------------------------------------- */

static void cmdq_error(struct smmu *s, unsigned cerror)
{
	pthread_mutex_lock(&s->lock);
	s->cmdq_stopped = true;
	reg32_set(s, CMDQ_CONS, s->cmdq_cons | cerror << 24);
	smmu_gerror(s, GERROR_CMDQ_ERR);
	pthread_mutex_unlock(&s->lock);
}

static void nap_us(unsigned us)
{
	struct timespec ts = { .tv_sec = us / 1000000, .tv_nsec = (long)(us % 1000000) * 1000 };

	nanosleep(&ts, NULL);
}

/* One command. False: none to be had. */
static bool poll_command(struct smmu *s)
{
	struct queue q;
	uint64_t *entry, cmd[COMMAND_DWORDS];
	unsigned delay, cerror = CERROR_NONE;

	if (!(s->cr0 & CR0_CMDQEN))
		return false;
	if (s->cmdq_stopped) {
		if ((reg32(s, GERROR) ^ reg32(s, GERRORN)) & GERROR_CMDQ_ERR)
			return false;
		s->cmdq_stopped = false; /* acknowledged: the same entry again, by now another command */
	}
	q = queue_at(s, CMDQ_BASE, QUEUE_LOG2);
	if (!queue_count(&q, reg32(s, CMDQ_PROD), s->cmdq_cons))
		return false;
	pthread_mutex_lock(&s->lock);
	delay = s->faults.cmd_delay_us;
	if (s->faults.cmd_error) {
		s->faults.cmd_error = false;
		cerror = CERROR_ILL;
	}
	pthread_mutex_unlock(&s->lock);
	if (delay)
		nap_us(delay);
	entry = queue_entry(s, &q, s->cmdq_cons, COMMAND_DWORDS);
	if (!entry) {
		cmdq_error(s, CERROR_ABT);
		return true;
	}
	cmd[0] = load64(&entry[0]);
	cmd[1] = load64(&entry[1]);
	if (!cerror)
		cerror = cmd_execute(s, cmd);
	if (cerror) {
		cmdq_error(s, cerror);
		return true;
	}
	s->cmdq_cons = queue_next(&q, s->cmdq_cons);
	reg32_set(s, CMDQ_CONS, s->cmdq_cons);
	return true;
}

bool smmu_poll(struct smmu *s)
{
	bool any;

	pthread_mutex_lock(&s->lock);
	any = poll_registers(s);
	event_stalls_pending(s);
	pthread_mutex_unlock(&s->lock);
	/* Not too many at once: CR0 may change in between. */
	for (unsigned i = 0; i < 64 && poll_command(s); i++)
		any = true;
	return any;
}

void smmu_faults_off(struct smmu *s)
{
	bool owed;

	pthread_mutex_lock(&s->lock);
	owed = s->evtq_irq_owed;
	s->evtq_irq_owed = false;
	memset(&s->faults, 0, sizeof(s->faults));
	event_write_late(s, true);
	tlb_drop_condemned(&s->tlb);
	config_drop_condemned(s);
	if (owed)
		event_irq(s);
	pthread_mutex_unlock(&s->lock);
	stall_free_lost(s, 0, true);
}
