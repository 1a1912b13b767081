// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package cni

import (
	"debug/elf"
	"runtime"
)

// machine is the machine type in programs for this platform. Where it is unknown, every
// program is treated and reported as one for another platform.
func machine() elf.Machine {
	switch runtime.GOARCH {
	case "386":
		return elf.EM_386
	case "amd64":
		return elf.EM_X86_64
	case "arm":
		return elf.EM_ARM
	case "arm64":
		return elf.EM_AARCH64
	case "loong64":
		return elf.EM_LOONGARCH
	case "ppc64", "ppc64le":
		return elf.EM_PPC64
	case "riscv64":
		return elf.EM_RISCV
	case "s390x":
		return elf.EM_S390
	}
	return elf.EM_NONE
}
