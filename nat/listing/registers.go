// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package listing

import "golang.org/x/sys/unix"

// registers follows what a rule holds in its registers.
type registers[T any] [numSlots]T

// load notes what a register holds. It reports false for a register that does not exist.
func (r *registers[T]) load(reg uint32, v T) bool {
	i, ok := slotOf(reg)
	if ok {
		r[i] = v
	}
	return ok
}

// held returns what was loaded last into a register.
func (r *registers[T]) held(reg uint32) (v T) {
	if i, ok := slotOf(reg); ok {
		v = r[i]
	}
	return v
}

// numSlots is the number of 4-byte registers.
const numSlots = 16

// slotOf returns the first 4-byte register of a register.
func slotOf(reg uint32) (int, bool) {
	switch {
	case reg >= unix.NFT_REG_1 && reg <= unix.NFT_REG_4:
		return int(reg-unix.NFT_REG_1) * 4, true
	case reg >= unix.NFT_REG32_00 && reg <= unix.NFT_REG32_15:
		return int(reg - unix.NFT_REG32_00), true
	}
	return 0, false
}
