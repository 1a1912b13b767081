// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nat_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"fairlead/internal/inet"
	"fairlead/nat"
)

// TestComment lets no text end a comment early, begin a line or act on a terminal.
func TestComment(t *testing.T) {
	for in, want := range map[string]string{
		"default/web:http":               "default/web:http",
		`a" : goto drop, 1.2.3.4 "`:      "a? : goto drop, 1.2.3.4 ?",
		"a\nadd rule inet x y accept":    "a?add rule inet x y accept",
		"a\x00b":                         "a?b",
		"\x1b[2J\x1b]0;title\x07":        "?[2J?]0;title?",
		`a\"`:                            "a??",
		"caf\u00e9":                      "caf??",
		"\xff\x80":                       "??",
		strings.Repeat("n", 128):         strings.Repeat("n", 128),
		strings.Repeat("n", 129):         strings.Repeat("n", 125) + "...",
		strings.Repeat("\u00e9", 10_000): strings.Repeat("?", 125) + "...",
	} {
		got := nat.Comment(in)
		if got != want {
			t.Errorf("Comment(%q) = %q, want %q", in, got, want)
		}
		if again := nat.Comment(got); again != got {
			t.Errorf("Comment(%q) = %q, want it unchanged", got, again)
		}
	}
}

// TestCanonicalTooMany: of more backends than a frontend may have the first ones stay. Where
// they come in order the list is not copied, and with each order the result is the same.
func TestCanonicalTooMany(t *testing.T) {
	const most, n = 1 << nat.MaxClass, 1<<nat.MaxClass + 10
	list := make([]nat.Backend, n)
	for i := range list {
		list[i] = nat.BackendAt(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 80), false)
	}
	key := inet.Addr{IP: netip.MustParseAddr("10.96.0.1"), Port: 80, Proto: inet.TCP}
	got := nat.Frontend{Policy: nat.Internal, Backends: list}.Canonical(key).Backends
	if len(got) != most || &got[0] != &list[0] {
		t.Errorf("%d backends, want the first %d of the list itself", len(got), most)
	}
	shuffled := slices.Clone(list)
	slices.Reverse(shuffled)
	if again := (nat.Frontend{Policy: nat.Internal, Backends: shuffled}).Canonical(key).Backends; !slices.Equal(again, got) {
		t.Errorf("%d backends from %v to %v, want those from %v to %v", len(again), again[0], again[len(again)-1], got[0], got[most-1])
	}
}
