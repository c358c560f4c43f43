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

int hw_init(struct hw *hw, struct ram *ram, const struct hw_options *o)
{
	static const char *const names[HW_ACCELS] = { "accel0", "accel1", "accel2", "accel3" };
	const struct smmu_options smmu = { .stall_max = o->stall_max,
					   .ats = o->ats,
					   .spi_event = HW_SPI_EVENT,
					   .spi_gerror = HW_SPI_GERROR,
					   .spi_pri = HW_SPI_PRI };
	int r;

	hw->ram = ram;
	timers_init(&hw->timers);
	r = smmu_init(&hw->smmu, ram, HW_SMMU_BASE, &smmu, &hw->timers);
	if (r) {
		timers_deinit(&hw->timers);
		return r;
	}
	hw->smmu.irq = o->irq ? o->irq : no_irq;
	hw->smmu.irq_arg = o->irq_arg;
	hw->smmu.checker.report = report;
	for (unsigned i = 0; i < HW_ACCELS; i++) {
		const struct accel_options accel = { .name = names[i],
						     .sid = i + 1,
						     .spi = HW_SPI_ACCEL + i,
						     .features = o->features[i],
						     .slots = o->slots,
						     .engines = o->engines };

		r = accel_init(&hw->accels[i], ram, HW_ACCEL_BASE + i * HW_ACCEL_STRIDE, &accel, &hw->smmu,
			       &hw->timers);
		if (r) {
			while (i--)
				accel_deinit(&hw->accels[i]);
			smmu_deinit(&hw->smmu);
			timers_deinit(&hw->timers);
			return r;
		}
		hw->accels[i].irq = o->irq;
		hw->accels[i].irq_arg = o->irq_arg;
	}
	return 0;
}

void hw_deinit(struct hw *hw)
{
	timers_deinit(&hw->timers);
	for (unsigned i = 0; i < HW_ACCELS; i++)
		accel_deinit(&hw->accels[i]);
	smmu_deinit(&hw->smmu);
}

void hw_reset(struct hw *hw)
{
	for (unsigned i = 0; i < HW_ACCELS; i++)
		accel_faults_off(&hw->accels[i]);
	smmu_faults_off(&hw->smmu);
	pthread_mutex_lock(&hw->smmu.lock);
	checker_reset(&hw->smmu.checker);
	pthread_mutex_unlock(&hw->smmu.lock);
}
