/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef VM_HW_SMMU_REGS_H
#define VM_HW_SMMU_REGS_H
/* SMMUv3: offsets, fields, numbers of commands and events, as the architecture (IHI 0070) lays them down. Only what is modelled. */

/* registers, page 0 */
#define IDR0 0x000u
#define IDR1 0x004u
#define IDR3 0x00cu
#define IDR5 0x014u
#define IIDR 0x018u
#define AIDR 0x01cu
#define CR0 0x020u
#define CR0ACK 0x024u
#define GBPA 0x044u
#define IRQ_CTRL 0x050u
#define IRQ_CTRLACK 0x054u
#define GERROR 0x060u
#define GERRORN 0x064u
#define STRTAB_BASE 0x080u
#define STRTAB_BASE_CFG 0x088u
#define CMDQ_BASE 0x090u
#define CMDQ_PROD 0x098u
#define CMDQ_CONS 0x09cu
#define EVTQ_BASE 0x0a0u
#define PRIQ_BASE 0x0c0u
/* page 1 */
#define EVTQ_PROD 0x100a8u
#define EVTQ_CONS 0x100acu
#define PRIQ_PROD 0x100c8u
#define PRIQ_CONS 0x100ccu
#define SMMU_REGS_SIZE 0x20000u

#define IDR0_S1P (1u << 1)
#define IDR0_TTF_AARCH64 (2u << 2)
#define IDR0_COHACC (1u << 4)
#define IDR0_ATS (1u << 10)
#define IDR0_ASID16 (1u << 12)
#define IDR0_PRI (1u << 16)
#define IDR0_VMID16 (1u << 18)
#define IDR0_CD2L (1u << 19)
#define IDR0_TTENDIAN_LE (2u << 21)
#define IDR0_ST_2LVL (1u << 27)
#define IDR3_HAD (1u << 2)
#define IDR5_OAS_48 5u
#define IDR5_GRAN4K (1u << 4)
#define IDR5_GRAN16K (1u << 5)
#define IDR5_GRAN64K (1u << 6)

#define CR0_SMMUEN (1u << 0)
#define CR0_PRIQEN (1u << 1)
#define CR0_EVENTQEN (1u << 2)
#define CR0_CMDQEN (1u << 3)
#define CR0_ATSCHK (1u << 4)
#define CR0_BITS 0x1dfu

#define GBPA_ABORT (1u << 20)
#define GBPA_UPDATE (1u << 31)

#define IRQ_CTRL_GERROR (1u << 0)
#define IRQ_CTRL_PRIQ (1u << 1)
#define IRQ_CTRL_EVENTQ (1u << 2)

#define GERROR_CMDQ_ERR (1u << 0)
#define GERROR_EVENTQ_ABT (1u << 2)
#define GERROR_PRIQ_ABT (1u << 3)

#define QUEUE_OVFLG (1u << 31)
#define QUEUE_ADDR UINT64_C(0x000fffffffffffe0)

#define CERROR_NONE 0u
#define CERROR_ILL 1u
#define CERROR_ABT 2u

/* stream table entry */
#define STE_DWORDS 8u
#define STE_V BIT64(0)
#define STE_CONFIG_ABORT 0u
#define STE_CONFIG_BYPASS 4u
#define STE_CONFIG_S1 5u
#define STE_S1DSS_TERMINATE 0u
#define STE_S1DSS_BYPASS 1u
#define STE_S1DSS_SSID0 2u
#define STE_EATS_ATS 1u

/* context descriptor */
#define CD_DWORDS 8u
#define CD_SIZE 64u
#define CD_LEAF_4K 64u /* descriptors in a leaf table of 4 KiB */
#define CD_LEAF_64K 1024u

/* commands */
enum {
	CMD_PREFETCH_CFG = 0x01,
	CMD_PREFETCH_ADDR = 0x02,
	CMD_CFGI_STE = 0x03,
	CMD_CFGI_STE_RANGE = 0x04, /* range 31: CFGI_ALL */
	CMD_CFGI_CD = 0x05,
	CMD_CFGI_CD_ALL = 0x06,
	CMD_TLBI_NH_ALL = 0x10,
	CMD_TLBI_NH_ASID = 0x11,
	CMD_TLBI_NH_VA = 0x12,
	CMD_TLBI_NH_VAA = 0x13,
	CMD_TLBI_NSNH_ALL = 0x30,
	CMD_ATC_INV = 0x40,
	CMD_PRI_RESP = 0x41,
	CMD_RESUME = 0x44,
	CMD_STALL_TERM = 0x45,
	CMD_SYNC = 0x46,
};

#define RESUME_TERM 0u
#define RESUME_RETRY 1u
#define RESUME_ABORT 2u

/* events */
enum {
	C_BAD_STREAMID = 0x02,
	F_STE_FETCH = 0x03,
	C_BAD_STE = 0x04,
	F_STREAM_DISABLED = 0x06,
	C_BAD_SUBSTREAMID = 0x08,
	F_CD_FETCH = 0x09,
	C_BAD_CD = 0x0a,
	F_WALK_EABT = 0x0b,
	F_TRANSLATION = 0x10,
	F_ADDR_SIZE = 0x11,
	F_ACCESS = 0x12,
	F_PERMISSION = 0x13,
};

#define CLASS_CD 0u
#define CLASS_TT 1u
#define CLASS_IN 2u

#define EVENT_DWORDS 4u
#define COMMAND_DWORDS 2u
#define PRI_DWORDS 2u

#endif
