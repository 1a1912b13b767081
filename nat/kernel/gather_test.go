// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"encoding/binary"
	"hash/maphash"
	"testing"

	"fairlead/internal/nft"
)

// TestKeys finds one element among many that a dump listed twice.
func TestKeys(t *testing.T) {
	const n = 100_000
	k := keys{seed: maphash.MakeSeed()}
	add := func(i uint64) { k.add(&nft.Element{Key: binary.BigEndian.AppendUint64(nil, i)}) }
	for i := range uint64(n) {
		add(i)
	}
	if k.doubled() {
		t.Fatal("an element is said to be listed twice")
	}
	add(n / 2)
	if !k.doubled() {
		t.Error("an element was listed twice")
	}
}

// TestKeysSum compares readings of a set: the order, counters and the time that is left
// make no difference, all else does.
func TestKeysSum(t *testing.T) {
	seed := maphash.MakeSeed()
	sum := func(els ...nft.Element) uint64 {
		k := keys{seed: seed, contents: true}
		for i := range els {
			k.add(&els[i])
		}
		return k.sum
	}
	a := nft.Element{Key: []byte("a"), Data: []byte("x"), Timeout: 9, Expires: 5, Packets: 1}
	b := nft.Element{Key: []byte("b"), Verdict: -2, Chain: "to", Comment: "owner"}
	want := sum(a, b)
	later := a
	later.Expires, later.Packets, later.Bytes = 4, 2, 100
	if sum(b, later) != want {
		t.Error("the same elements have another sum")
	}
	for name, change := range map[string]func(*nft.Element){
		"key": func(e *nft.Element) { e.Key = []byte("c") }, "end": func(e *nft.Element) { e.KeyEnd = []byte("c") },
		"data": func(e *nft.Element) { e.Data = []byte("y") }, "timeout": func(e *nft.Element) { e.Timeout = 8 },
		"flags": func(e *nft.Element) { e.Flags = 1 }, "odd": func(e *nft.Element) { e.Odd = nft.OddUserData },
		"counter": func(e *nft.Element) { e.Counter = true }, "chain": func(e *nft.Element) { e.Chain = "other" },
		"verdict": func(e *nft.Element) { e.Verdict = -3 }, "comment": func(e *nft.Element) { e.Comment = "c" },
	} {
		changed := a
		if change(&changed); sum(changed, b) == want {
			t.Errorf("another %s has the same sum", name)
		}
	}
}
