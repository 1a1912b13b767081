// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package objects

import (
	"slices"
	"strings"
	"testing"
	"unsafe"
)

// TestName: equal names are one, however they were made, and the empty name is the zero
// value.
func TestName(t *testing.T) {
	if a, b := NameOf("node-a"), NameOf(strings.Clone("node-a")); a != b || unsafe.StringData(a.String()) != unsafe.StringData(b.String()) || a.String() != "node-a" {
		t.Errorf("%q and %q are two names or two copies", a, b)
	}
	if n := NameOf(""); n != (Name{}) || n.String() != "" || NameOf("node-a") == NameOf("node-b") {
		t.Errorf("the empty name is %q, or two names are one", n)
	}
	if size := unsafe.Sizeof(Endpoint{}); size > 64 {
		t.Errorf("an endpoint has %d bytes; a cluster may have a million", size)
	}
}

// TestNames makes lists and looks names up in them.
func TestNames(t *testing.T) {
	for _, list := range [][]string{nil, {"z1"}, {"z1", "z2"}, {"z2", "z1"}, {"z1", "z2", "z3"}} {
		n := NamesOf(list...)
		if !slices.Equal(n.List(), list) || n != NamesOf(n.List()...) || n.IsEmpty() != (len(list) == 0) {
			t.Errorf("%q comes back as %q", list, n.List())
		}
		for _, name := range []string{"z1", "z2", "z3", "z", "", "z1\x00z2", "z12"} {
			if n.Has(name) != slices.Contains(list, name) {
				t.Errorf("%q has %q: %v", list, name, n.Has(name))
			}
		}
	}
	if NamesOf("z1", "z2") == NamesOf("z2", "z1") {
		t.Error("the order of a list does not count")
	}
}
