// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package listing_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead/internal/inet"
	"fairlead/nat/listing"
	"fairlead/nat/nattest"
)

// TestRecord writes a table with everything in it, and what other programs added, to
// JSON and back. The text and the content stay the same.
func TestRecord(t *testing.T) {
	w := newWorld(t, nattest.CountingSettings())
	nattest.Variety(w.state)
	w.settle()
	w.nft("add element inet fairlead affinity4 { 203.0.113.5 . tcp . 443 . 192.0.2.1 timeout 3h : 10.244.0.3 . 8443 }")
	w.nft("add rule inet fairlead services limit rate 5/second counter accept")
	w.nft("add rule inet fairlead postrouting ct reply packets > 5 accept")
	w.nft(`add element inet fairlead vips4 { 10.9.9.9 . tcp . 9 : accept }`)
	w.nft("add set inet fairlead mine { type ipv4_addr; }")
	table := w.read()
	b, err := json.Marshal(table)
	if err != nil {
		t.Fatal(err)
	}
	var back listing.Table
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	full := listing.Options{Full: true}
	if diff := cmp.Diff(table.Text(full), back.Text(full)); diff != "" {
		t.Errorf("text (-want +got):\n%s", diff)
	}
	for name, c := range table.Found.Chains {
		if got := back.Found.Chains[name]; got == nil || got.Fingerprint() != c.Fingerprint() {
			t.Errorf("chain %s differs", name)
		}
	}
	if diff := cmp.Diff(table.Frontends(""), back.Frontends(""), cmp.Comparer(func(a, b inet.Addr) bool { return a == b })); diff != "" {
		t.Errorf("frontends (-want +got):\n%s", diff)
	}
	again, err := json.Marshal(&back)
	if err != nil || len(again) != len(b) {
		t.Errorf("%d bytes the second time, %d the first: %v", len(again), len(b), err)
	}
	for old, new := range map[string]string{
		`"version":1`:              `"version":2`,
		`"set":"vips4"`:            `"set":"vips5"`,
		`"key":"203.0.113.5:443"`:  `"key":"203.0.113.500:443"`,
		`"data":"10.244.0.3:8443"`: `"data":"x"`,
		`"client":"192.0.2.0/24"`:  `"client":"192.0.2.0/240"`,
		`"chains":[{"name":"allow`: `"chains":{"name":"allow`,
	} {
		broken := strings.Replace(string(b), old, new, 1)
		if broken == string(b) {
			t.Errorf("%s is not in the record", old)
		} else if err := json.Unmarshal([]byte(broken), &back); err == nil {
			t.Errorf("%s is accepted", new)
		}
	}
}
