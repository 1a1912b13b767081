// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"fmt"
	"testing"

	"fairlead/proxier/objects"
)

// TestBook makes one change after another and checks what appears, what
// disappears, and whether the reader is woken.
func TestBook(t *testing.T) {
	b := NewBook()
	web := objects.Key{Kind: objects.KindService, Name: "default/web"}
	bad := func(texts ...string) []objects.Problem {
		var out []objects.Problem
		for _, text := range texts {
			out = append(out, objects.Problem{Kind: objects.KindService, Name: web.Name, Text: text})
		}
		return out
	}
	node := []objects.Problem{{Kind: objects.KindNode, Name: "a", Text: "bad"}}
	for _, step := range []struct {
		name        string
		change      func()
		woken       bool
		fresh, gone int
		counts      string
	}{
		{"nothing", func() { b.Set("x", web, nil) }, false, 0, 0, "map[]"},
		{"two", func() { b.Set("x", web, bad("1", "2")) }, true, 2, 0, "map[Service:2]"},
		{"the same", func() { b.Set("x", web, bad("1", "2")) }, false, 0, 0, "map[Service:2]"},
		{"a second reporter of one", func() { b.Set("y", web, bad("2")) }, true, 0, 0, "map[Service:2]"},
		{"the first takes it back", func() { b.Set("x", web, bad("1")) }, true, 0, 0, "map[Service:2]"},
		{"and the second", func() { b.Set("y", web, nil) }, true, 0, 1, "map[Service:1]"},
		{"another instead", func() { b.Set("x", web, bad("3")) }, true, 1, 1, "map[Service:1]"},
		{"there and back", func() { b.Set("x", web, nil); b.Set("x", web, bad("3")) }, true, 0, 0, "map[Service:1]"},
		{"back and there", func() { b.Set("y", web, bad("4")); b.Set("y", web, nil) }, true, 0, 0, "map[Service:1]"},
		{"twice in one list", func() { b.Set("x", web, bad("3", "3")) }, true, 0, 0, "map[Service:1]"},
		{"another kind", func() { b.Set("x", objects.Key{Kind: objects.KindNode, Name: "a"}, node) }, true, 1, 0, "map[Node:1 Service:1]"},
		{"all gone", func() { b.Set("x", objects.Key{Kind: objects.KindNode, Name: "a"}, nil); b.Set("x", web, nil) }, true, 0, 2, "map[]"},
	} {
		step.change()
		woken := false
		select {
		case <-b.Changed():
			woken = true
		default:
		}
		fresh, gone := b.Take()
		if woken != step.woken || len(fresh) != step.fresh || len(gone) != step.gone || fmt.Sprint(b.Counts()) != step.counts {
			t.Errorf("%s: woken %v, fresh %v, gone %v, counts %v; want %+v", step.name, woken, fresh, gone, b.Counts(), step)
		}
	}
	if n := len(b.entries) + len(b.known) + len(b.pending) + len(b.byKind); n != 0 {
		t.Errorf("%d entries are left", n)
	}
}

// TestBookBounds keeps few problems of an object, whoever reports them.
func TestBookBounds(t *testing.T) {
	b := NewBook()
	web := objects.Key{Kind: objects.KindService, Name: "default/web"}
	var many []objects.Problem
	for i := range 16_000 {
		many = append(many, objects.Problem{Kind: objects.KindService, Name: web.Name, Field: "spec.externalIPs", Text: fmt.Sprintf("%05d belongs to another Service", i)})
	}
	b.Set("x", web, many)
	got := b.Problems()
	if len(got) != objects.MaxProblems || got[0].Text != "15901 further problems are left out" || got[1].Text != "00000 belongs to another Service" {
		t.Errorf("%d problems, the first are %v", len(got), got[:2])
	}
	b.Set("x", web, nil)
	if got := b.Problems(); len(got) > 0 {
		t.Errorf("%d problems are left", len(got))
	}
}
