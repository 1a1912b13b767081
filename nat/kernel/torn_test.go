// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"encoding/binary"
	"errors"
	"testing"

	"fairlead/internal/nl"
)

// TestKeys finds one element among many that a dump listed twice.
func TestKeys(t *testing.T) {
	const n = 100_000
	k := newKeys()
	for i := range uint64(n) {
		k.add(binary.BigEndian.AppendUint64(nil, i))
	}
	if err := k.check(); err != nil {
		t.Fatal(err)
	}
	k.add(binary.BigEndian.AppendUint64(nil, n/2))
	if err := k.check(); !errors.Is(err, nl.ErrInterrupted) {
		t.Errorf("%v, want %v", err, nl.ErrInterrupted)
	}
}
