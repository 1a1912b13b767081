// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nft

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestDynamicSize: a set that packets fill is the same set with the size that the kernel gives it and
// without one. Other sizes count.
func TestDynamicSize(t *testing.T) {
	const filled = unix.NFT_SET_EVAL | unix.NFT_SET_TIMEOUT
	for _, c := range []struct{ flags, size, bound uint32 }{
		{filled, DynamicSize, DynamicSize},
		{filled, 0, DynamicSize},
		{filled, 2048, 2048},
		{filled, DynamicSize + 1, DynamicSize + 1},
		{0, DynamicSize, DynamicSize},
		{0, 0, 0},
	} {
		set := Set{Name: "s", Flags: c.flags, KeyType: 7, KeyLen: 4, Size: c.size}
		for _, size := range []uint32{0, 2048, DynamicSize, DynamicSize + 1} {
			other := set
			other.Size = size
			if same := set.SameAs(other); same != (other.bound() == c.bound) {
				t.Errorf("sets of sizes %d and %d with flags %#x are the same: %t", c.size, size, c.flags, same)
			}
		}
	}
}
