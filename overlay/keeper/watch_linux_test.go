// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package keeper

import (
	"net/netip"
	"testing"

	"fairlead/overlay"
	"fairlead/overlay/kernel"
)

// TestSurprisingFDB is about kernels that tell of one FDB entry twice, once
// without its destination.
func TestSurprisingFDB(t *testing.T) {
	const index = 7
	entry := overlay.Entry{Kind: overlay.FDB, Device: "fairlead.1", MAC: overlay.MAC{2, 0, 0, 0, 0, 1}, Via: netip.MustParseAddr("192.0.2.2")}
	k := &Keeper{}
	k.names = map[int32]string{index: entry.Device}
	k.have = map[overlay.Key]overlay.Entry{entry.Key(): entry}
	told := func(change func(*kernel.Event)) bool {
		seen := entry
		seen.Device = "" // events have the index
		e := kernel.Event{Entry: &kernel.Found{Entry: seen, Index: index}}
		change(&e)
		return k.surprising(&e)
	}
	nowhere := func(e *kernel.Event) { e.Entry.Via, e.Entry.Odd = netip.Addr{}, true }
	for _, tt := range []struct {
		name   string
		change func(*kernel.Event)
		want   bool
	}{
		{"what was written", func(*kernel.Event) {}, false},
		{"the same without destination", nowhere, false},
		{"another destination", func(e *kernel.Event) { e.Entry.Via = netip.MustParseAddr("192.0.2.9") }, true},
		{"another address", func(e *kernel.Event) { e.Entry.MAC[5]++ }, true},
		{"gone", func(e *kernel.Event) { e.Gone = true }, true},
		{"gone without destination", func(e *kernel.Event) { nowhere(e); e.Gone = true }, true},
		{"one that is not there is gone", func(e *kernel.Event) { e.Entry.MAC[5]++; e.Gone = true }, false},
	} {
		if got := told(tt.change); got != tt.want {
			t.Errorf("%s: surprising = %v, want %v", tt.name, got, tt.want)
		}
	}
}
