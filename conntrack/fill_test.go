// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"fmt"
	"strings"
	"testing"

	"fairlead/internal/inet"
)

// TestReadFill compares the kernel's numbers with the flows that were made.
func TestReadFill(t *testing.T) {
	f := newFlows(t)
	for i := range 7 {
		f.add(t, inet.UDP, fmt.Sprintf("10.0.0.1:%d", i+1), "10.96.0.10:53", "10.244.0.1:53")
	}
	got, err := ReadFill(f.ns)
	if err != nil || got.Entries != 7 || got.Limit == 0 || got.Dropped != 0 {
		t.Errorf("%+v: %v", got, err)
	}
}

// TestFillWarnings follows a table that fills up, drops, and empties.
func TestFillWarnings(t *testing.T) {
	var w fillWatch
	for i, step := range []struct {
		fill Fill
		want string // in the warning; empty for none
	}{
		{Fill{10, 100, 5}, ""}, // drops of an earlier process
		{Fill{89, 100, 5}, ""},
		{Fill{90, 100, 5}, "more than 80 % full"},
		{Fill{81, 100, 5}, "more than 80 % full"}, // no flapping
		{Fill{79, 100, 5}, ""},
		{Fill{85, 100, 5}, ""},
		{Fill{100, 100, 6}, "had no room"},
		{Fill{50, 100, 6}, "had no room"},
		{Fill{50, 100, 6}, "had no room"},
		{Fill{50, 100, 6}, "had no room"},
		{Fill{50, 100, 6}, "had no room"},
		{Fill{50, 100, 6}, "had no room"},
		{Fill{50, 100, 6}, ""},
		{Fill{50, 100, 2}, "had no room"}, // the counter wrapped around
		{Fill{50, 0, 2}, "had no room"},   // a kernel that tells no limit
	} {
		got := w.look(step.fill)
		if (got == "") != (step.want == "") || !strings.Contains(got, step.want) {
			t.Errorf("step %d, %+v: %q, want %q", i, step.fill, got, step.want)
		}
		if got != "" && !strings.Contains(got, "nf_conntrack_max") {
			t.Errorf("step %d: no remedy in %q", i, got)
		}
	}
}
