/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hw.h"

#include <errno.h>

#include "log.h"

void hw_options_default(struct hw_options *o)
{
	*o = (struct hw_options){
		.stall_max = 64,
		.ats = true,
		.features = { SVAD_ACCEL_F_STOP | SVAD_ACCEL_F_RESET,
			      SVAD_ACCEL_F_STOP | SVAD_ACCEL_F_STOP_CLEAN | SVAD_ACCEL_F_RESET,
			      SVAD_ACCEL_F_STOP | SVAD_ACCEL_F_RESET, SVAD_ACCEL_F_RESET },
		.slots = SVAD_ACCEL_SLOTS_MAX,
		.engines = 2,
	};
}

static void no_irq(void *arg, unsigned spi)
{
	(void)arg;
	(void)spi;
}

static void report(const char *text)
{
	log_line("VIOLATION: %s", text);
}

struct smmu *hw_smmu(struct hw *hw, unsigned i)
{
	return i ? &hw->others[i - 1] : &hw->smmu;
}

static int init_smmus(struct hw *hw, const struct hw_options *o)
{
	static const uint64_t regs[HW_SMMUS] = { HW_SMMU_BASE, 0x7c080000, 0x7c0c0000 };
	const struct smmu_options smmu = { .stall_max = o->stall_max,
					   .ats = o->ats,
					   .spi_event = HW_SPI_EVENT,
					   .spi_gerror = HW_SPI_GERROR,
					   .spi_pri = HW_SPI_PRI };

	for (unsigned i = 0; i < HW_SMMUS; i++) {
		struct smmu *s = hw_smmu(hw, i);
		int r = smmu_init(s, hw->ram, regs[i], &smmu, &hw->timers);

		if (r) {
			while (i--)
				smmu_deinit(hw_smmu(hw, i));
			return r;
		}
		s->irq = o->irq && !i ? o->irq : no_irq;
		s->irq_arg = o->irq_arg;
		s->checker.report = report;
	}
	return 0;
}

static int init_accel(struct hw *hw, unsigned i, const struct hw_options *o)
{
	/* Those from accel4 on are what tests/vm/machine.dtso says of them: the model knows where they are
	 * only. */
	static const struct {
		const char *name;
		uint64_t regs;
		unsigned smmu;
	} accels[HW_ACCELS] = {
		{ "accel0", 0x7d000000, 0 }, { "accel1", 0x7d800000, 0 }, { "accel2", 0x7e000000, 0 },
		{ "accel3", 0x7e800000, 0 }, { "accel4", 0x7f000000, 0 }, { "accel5", 0x7f500000, 0 },
		{ "accel6", 0x7fa00000, 0 }, { "accel7", 0x7c100000, 0 }, { "accel8", 0x7c600000, 1 },
		{ "accel9", 0x7cb00000, 2 },
	};
	const struct accel_options accel = {
		.name = accels[i].name,
		.sid = i + 1,
		.spi = HW_SPI_ACCEL + i,
		.features = i < HW_GOOD ? o->features[i]
					: SVAD_ACCEL_F_STOP | SVAD_ACCEL_F_STOP_CLEAN | SVAD_ACCEL_F_RESET,
		.slots = i < HW_GOOD ? o->slots : 8,
		.engines = i < HW_GOOD ? o->engines : 1,
	};
	int r = accel_init(&hw->accels[i], hw->ram, accels[i].regs, &accel, hw_smmu(hw, accels[i].smmu),
			   &hw->timers);

	hw->accels[i].irq = o->irq;
	hw->accels[i].irq_arg = o->irq_arg;
	return r;
}

int hw_init(struct hw *hw, struct ram *ram, const struct hw_options *o)
{
	int r;

	hw->ram = ram;
	timers_init(&hw->timers);
	r = init_smmus(hw, o);
	if (r)
		goto err_timers;
	for (unsigned i = 0; i < HW_ACCELS; i++) {
		r = init_accel(hw, i, o);
		if (!r)
			continue;
		while (i--)
			accel_deinit(&hw->accels[i]);
		goto err_smmus;
	}
	return 0;
err_smmus:
	for (unsigned i = 0; i < HW_SMMUS; i++)
		smmu_deinit(hw_smmu(hw, i));
err_timers:
	timers_deinit(&hw->timers);
	return r;
}

void hw_deinit(struct hw *hw)
{
	timers_deinit(&hw->timers);
	for (unsigned i = 0; i < HW_ACCELS; i++)
		accel_deinit(&hw->accels[i]);
	for (unsigned i = 0; i < HW_SMMUS; i++)
		smmu_deinit(hw_smmu(hw, i));
}

void hw_reset(struct hw *hw)
{
	for (unsigned i = 0; i < HW_ACCELS; i++)
		accel_faults_off(&hw->accels[i]);
	for (unsigned i = 0; i < HW_SMMUS; i++) {
		struct smmu *s = hw_smmu(hw, i);

		smmu_faults_off(s);
		pthread_mutex_lock(&s->lock);
		checker_reset(&s->checker);
		pthread_mutex_unlock(&s->lock);
	}
}
