# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# The guest as QEMU sees it; for devicetree and run.

# machine_options RAMFILE [OPTION-OF-MACHINE]: sets machine_options. Two nodes of memory, so that pages can be moved from one to
# the other under a device. The CPU is the one whose address sizes the SMMU has too: with "max" the driver refuses SVA.
machine_options() {
	# shellcheck disable=SC2034,SC2054 # for those who source this; the commas are QEMU's
	machine_options=(
		-machine "virt,gic-version=3${2:+,$2}" -accel tcg,thread=multi -cpu neoverse-n1 -smp 2 -m 1G
		-object "memory-backend-file,id=ram0,share=on,mem-path=$1,offset=0,size=512M"
		-object "memory-backend-file,id=ram1,share=on,mem-path=$1,offset=512M,size=512M"
		-numa node,nodeid=0,memdev=ram0,cpus=0-1 -numa node,nodeid=1,memdev=ram1
		-nodefaults -display none -no-reboot
		-device pci-testdev,addr=5 -device nvme,serial=svad,addr=9
	)
}
