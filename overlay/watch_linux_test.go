// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"net/netip"
	"testing"
)

// TestSurprisingFDB is about kernels that tell of one FDB entry twice, once
// without its destination.
func TestSurprisingFDB(t *testing.T) {
	const index = 7
	entry := Entry{Kind: FDB, Device: "fairlead.1", MAC: MAC{2, 0, 0, 0, 0, 1}, Via: netip.MustParseAddr("192.0.2.2")}
	k := &Keeper{}
	k.names = map[int32]string{index: entry.Device}
	k.have = map[Key]Entry{entry.Key(): entry}
	told := func(change func(*event)) bool {
		seen := entry
		seen.Device = "" // events have the index
		e := event{entry: &found{Entry: seen, index: index}}
		change(&e)
		return k.surprising(&e)
	}
	nowhere := func(e *event) { e.entry.Via, e.entry.Odd = netip.Addr{}, true }
	for _, tt := range []struct {
		name   string
		change func(*event)
		want   bool
	}{
		{"what was written", func(*event) {}, false},
		{"the same without destination", nowhere, false},
		{"another destination", func(e *event) { e.entry.Via = netip.MustParseAddr("192.0.2.9") }, true},
		{"another address", func(e *event) { e.entry.MAC[5]++ }, true},
		{"gone", func(e *event) { e.gone = true }, true},
		{"gone without destination", func(e *event) { nowhere(e); e.gone = true }, true},
		{"one that is not there is gone", func(e *event) { e.entry.MAC[5]++; e.gone = true }, false},
	} {
		if got := told(tt.change); got != tt.want {
			t.Errorf("%s: surprising = %v, want %v", tt.name, got, tt.want)
		}
	}
}
