// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"testing"

	"fairlead/proxier/convert"
	"fairlead/proxier/proxiertest"
)

// BenchmarkStoreSameSlice is an event that changes nothing, of a large slice.
func BenchmarkStoreSameSlice(b *testing.B) {
	s := New()
	one, _ := convert.Slice(proxiertest.BenchSlice(0, 100))
	other, _ := convert.Slice(proxiertest.BenchSlice(0, 100))
	s.Update(func(tx *Tx) { tx.SetSlice(one) })
	for b.Loop() {
		s.Update(func(tx *Tx) { tx.SetSlice(other) })
	}
}
