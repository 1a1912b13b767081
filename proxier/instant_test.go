// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"strings"
	"testing"
	"time"
)

func TestInstant(t *testing.T) {
	base := time.Now()
	m := newInstant(base)
	if got := m.get(); !got.IsZero() {
		t.Errorf("get() = %v before set, want none", got)
	}
	for _, after := range []time.Duration{0, time.Hour} {
		m.set(base.Add(after))
		got := m.get()
		if got.Sub(base) != after {
			t.Errorf("get() is %v after base, want %v", got.Sub(base), after)
		}
		// A time without such a reading is of a clock that somebody may set.
		if !strings.Contains(got.String(), " m=") {
			t.Errorf("get() = %v, which has no reading of the monotonic clock", got)
		}
	}
	m.setFirst(base)
	if got := m.get().Sub(base); got != time.Hour {
		t.Errorf("get() is %v after base, want that setFirst changes nothing", got)
	}
	m.clear()
	m.setFirst(base.Add(-time.Second))
	if got := m.get(); !got.Equal(base) {
		t.Errorf("get() = %v, want %v for a time before base", got, base)
	}
}
