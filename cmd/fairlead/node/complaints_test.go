// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"k8s.io/klog/v2/ktesting"
)

// TestComplaints logs each error once until it is gone, and bounds what it remembers.
func TestComplaints(t *testing.T) {
	c := complaints{}
	a, b := errors.New("route a: exists"), errors.New("route b: exists")
	two := fmt.Errorf("%w and %w", a, b) // is one error with a text of its own
	for i, tt := range []struct {
		err  error
		want string
	}{
		{a, "route a: exists"},
		{a, ""},
		{errors.Join(a, errors.Join(b, nil)), "route b: exists"},
		{errors.Join(b, a), ""},
		{b, ""},
		{errors.Join(a, b), "route a: exists"}, // it was gone
		{nil, ""},
		{two, "route a: exists and route b: exists"},
	} {
		var got []string
		for _, err := range c.fresh(tt.err) {
			got = append(got, err.Error())
		}
		if text := strings.Join(got, "; "); text != tt.want {
			t.Errorf("step %d logs %q, want %q", i, text, tt.want)
		}
	}
	var many []error
	logged := 0
	for i := range 1000 { // another ten of many errors at each retry, and how many there are beside
		many = many[:0]
		for j := range 11 {
			many = append(many, fmt.Errorf("route %d: exists", 10*i+j))
		}
		logged += len(c.fresh(errors.Join(many...)))
	}
	if logged > mostComplaints || len(c) > mostComplaints {
		t.Errorf("%d lines, %d remembered", logged, len(c))
	}
	if c.fresh(nil); len(c) != 0 {
		t.Errorf("%d errors remembered after none was left", len(c))
	}
}

// TestPeerLines: peers that come, move and go make one line of each kind, whatever their
// number.
func TestPeerLines(t *testing.T) {
	known, now := map[string]string{"gone": "[192.0.2.9]", "moved": "[192.0.2.1]", "same": "x"}, map[string]string{"moved": "[192.0.2.2]", "same": "x"}
	for i := range 5000 {
		now[fmt.Sprintf("node-%04d", i)] = "y"
	}
	var text ktesting.BufferTL
	logPeerChanges(ktesting.NewLogger(&text, ktesting.NewConfig()), known, now)
	for _, want := range []string{
		`Overlay peers joined count=5000 first=["node-0000","node-0001","node-0002","node-0003","node-0004"] peers=5002`,
		`Overlay peer moved node="moved" at="[192.0.2.2]" peers=5002`,
		`Overlay peer left node="gone" at="[192.0.2.9]" peers=5002`,
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is missing in\n%s", want, text.String())
		}
	}
	if n := strings.Count(text.String(), "Overlay peer"); n != 3 {
		t.Errorf("%d lines:\n%s", n, text.String())
	}
	text = ktesting.BufferTL{}
	if logPeerChanges(ktesting.NewLogger(&text, ktesting.NewConfig()), now, now); text.String() != "" {
		t.Errorf("nothing changed, but the log says\n%s", text.String())
	}
}
