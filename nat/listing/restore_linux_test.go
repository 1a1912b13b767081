// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package listing_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead/nat/listing"
	"fairlead/nat/nattest"
)

// lifetimes are counters and what is left of lifetimes.
var lifetimes = regexp.MustCompile(`expires \S+|packets \d+ bytes \d+`)

// blocks returns the sets and chains of a listing without what changes while a table is
// copied.
func blocks(text string) []string { return nattest.Blocks(lifetimes.ReplaceAllString(text, "")) }

// TestRestore writes a table with everything in it, and what other programs changed, into
// another network namespace. nft lists both in the same way, but for what a table does
// not hold, which is named.
func TestRestore(t *testing.T) {
	for name, set := range settings() {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, set)
			nattest.Variety(w.state)
			w.settle()
			w.nft("add element inet fairlead affinity4 { 203.0.113.5 . tcp . 443 . 192.0.2.1 timeout 3h expires 2h : 10.244.0.3 . 8443 }")
			w.nft("add rule inet fairlead services limit rate 5/second counter accept")
			w.nft("insert rule inet fairlead postrouting ct reply packets > 5 accept")
			w.nft("add chain inet fairlead mine { type filter hook forward priority 7; policy drop; }")
			w.nft("add rule inet fairlead mine ip saddr 10.9.0.0/16 reject with icmp host-prohibited")
			w.nft("flush set inet fairlead nodes4")
			b, notes := restored(t, w.read())
			if diff := cmp.Diff(blocks(w.nft("list ruleset")), blocks(b.nft("list ruleset"))); diff != "" {
				t.Errorf("nft lists (-table +restored):\n%s", diff)
			}
			if !strings.Contains(b.nft("list map inet fairlead affinity4"), "timeout 3h expires 1h59m") {
				t.Errorf("a client has another lifetime:\n%s", b.nft("list map inet fairlead affinity4"))
			}
			if len(notes) > 0 {
				t.Errorf("left out: %q", notes)
			}
		})
	}
}

// TestRestoreLeavesOut: what a table knows by name only is named, and the rest is restored.
func TestRestoreLeavesOut(t *testing.T) {
	w := newWorld(t, nattest.Settings())
	nattest.Variety(w.state)
	w.settle()
	before := w.nft("list table inet fairlead")
	w.nft("add set inet fairlead mine { type ipv4_addr; }")
	w.nft("add counter inet fairlead hits")
	w.nft("add rule inet fairlead services ip saddr @mine drop")
	w.nft("add rule inet fairlead services counter name hits")
	w.nft("add rule inet fairlead services tcp dport { 7, 9 } drop")
	w.nft("add element inet fairlead vips4 { 10.9.9.9 . tcp . 9 : accept }")
	b, notes := restored(t, w.read())
	if diff := cmp.Diff(blocks(before), blocks(b.nft("list table inet fairlead"))); diff != "" {
		t.Errorf("nft lists (-table +restored):\n%s", diff)
	}
	for _, want := range []string{
		"of chain services is left out: it uses set mine, which", "of chain services is left out: it uses an object, which", "of chain services is left out: it uses set __set",
		"Sets and objects of other programs are left out: mine, object hits.", "1 elements that fairlead never writes are left out, of vips4.",
	} {
		if !strings.Contains(strings.Join(notes, "\n"), want) {
			t.Errorf("%q is missing in %q", want, notes)
		}
	}
}

// TestRestoreRefuses elements that do not fit their set.
func TestRestoreRefuses(t *testing.T) {
	w := newWorld(t, nattest.Settings())
	nattest.Variety(w.state)
	w.settle()
	b, err := json.Marshal(w.read())
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(map[string]any){
		"family of a key":  func(e map[string]any) { e["key"] = "[2001:db8::1]:80" },
		"no key":           func(e map[string]any) { delete(e, "key") },
		"mapped address":   func(e map[string]any) { e["key"] = "[::ffff:10.0.0.1]:80" },
		"no verdict":       func(e map[string]any) { delete(e, "verdict") },
		"set of addresses": func(e map[string]any) { e["set"] = "hairpin6" },
	} {
		var r map[string]any
		if err := json.Unmarshal(b, &r); err != nil {
			t.Fatal(err)
		}
		for _, e := range r["elements"].([]any) {
			if e := e.(map[string]any); e["set"] == "vips4" {
				change(e)
				break
			}
		}
		broken, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var table listing.Table
		if err := json.Unmarshal(broken, &table); err != nil && strings.HasPrefix(err.Error(), "read table: element ") {
			continue // refused already
		} else if err != nil {
			t.Fatal(err)
		}
		if _, err := table.Restore(); err == nil || !strings.HasPrefix(err.Error(), "restore table: element ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// restored writes a table to a network namespace of its own, by way of its record.
func restored(t *testing.T, table *listing.Table) (*world, []string) {
	t.Helper()
	b, err := json.Marshal(table)
	if err != nil {
		t.Fatal(err)
	}
	var back listing.Table
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	r, err := back.Restore()
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, nattest.Settings())
	for _, batch := range r.Batches {
		if err := w.table.Commit(t.Context(), batch); err != nil {
			t.Fatalf("%v\n%s", err, batch)
		}
	}
	for set, list := range r.Clients {
		if err := w.table.PutEntries(t.Context(), set, list); err != nil {
			t.Fatal(err)
		}
	}
	return w, r.LeftOut
}
