// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"
)

// TestHistoryIsBounded adds far more than is kept, with huge texts, from several
// goroutines, and reads meanwhile.
func TestHistoryIsBounded(t *testing.T) {
	h := NewHistory()
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for range 1000 {
				h.Repaired(Repair{At: time.Now(), By: strings.Repeat("é", keptText), Found: "x"})
				h.Synced(time.Now(), errors.New(strings.Repeat("e", 2*keptText)))
				h.Programmed(time.Now().Add(-time.Second))
				h.Serves(1, 2)
				h.Past()
			}
		})
	}
	group.Wait()
	p := h.Past()
	if len(p.Repairs) != keptRepairs || len(p.Syncs) != keptSyncs || len(p.Programming) != keptProgramming || p.AllRepairs != 4000 {
		t.Errorf("%d repairs of %d, %d syncs, %d changes are kept", len(p.Repairs), p.AllRepairs, len(p.Syncs), len(p.Programming))
	}
	if by := p.Repairs[0].By; len(by) > keptText || !utf8.ValidString(by) || len(p.Syncs[0].Err) > keptText {
		t.Errorf("texts of %d and %d bytes are kept", len(by), len(p.Syncs[0].Err))
	}
	if took := p.Programming[0].Took; took < time.Second || p.Frontends != 1 || p.Backends != 2 {
		t.Errorf("took %s, %d frontends, %d backends", took, p.Frontends, p.Backends)
	}
}

// TestHistoryOrder lists the oldest entry first, before and after the ring is full.
func TestHistoryOrder(t *testing.T) {
	h := NewHistory()
	for i := range keptRepairs + 3 {
		h.Repaired(Repair{At: time.Unix(int64(i), 0)})
		list := h.Past().Repairs
		for j := 1; j < len(list); j++ {
			if !list[j].At.After(list[j-1].At) {
				t.Fatalf("after %d entries the order is %v", i+1, list)
			}
		}
		if got := list[len(list)-1].At.Unix(); got != int64(i) {
			t.Fatalf("the last entry is %d, want %d", got, i)
		}
	}
	var none *History
	none.Repaired(Repair{})
	none.Synced(time.Now(), nil)
	none.Programmed(time.Now())
	none.Serves(1, 1)
	if len(none.Past().Repairs) != 0 {
		t.Error("a nil History keeps something")
	}
}
