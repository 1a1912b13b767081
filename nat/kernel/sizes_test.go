// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fairlead/internal/inet"
	"fairlead/internal/nstest"
	"fairlead/nat"
	"fairlead/nat/kernel"
	"fairlead/nat/ruleset"
)

// few is more elements than one message of the kernel has.
const few = 1000

// many is more elements than a number of 16 bits counts, without -short.
func many() int { return nstest.Size(70_000, 2*few) }

// TestEverySet fills every set and map of the table with 70,000 elements, all in one
// transaction, reads them back and deletes them. Of sets that differ in their name alone,
// the first gets so many. A map that packets fill takes as many as its declaration says,
// and one more is an error.
func TestEverySet(t *testing.T) {
	table := open(t, nstest.New(t))
	chain := &ruleset.Chain{Name: "internal4-1"}
	commit(t, table, ruleset.Batch{{Verb: ruleset.AddTable}, {Verb: ruleset.AddChain, Chain: chain}})
	seen := map[string]bool{}
	each := func(s ruleset.Set) {
		t.Run(s.String(), func(t *testing.T) {
			commit(t, table, ruleset.Batch{{Verb: ruleset.AddSet, Set: s}})
			what := columns(s)
			switch first := !seen[what]; {
			case s.Spec().Learnt:
				tryLearnt(t, table, s, first)
			case first:
				trySet(t, table, s, chain.Name, many())
			default:
				trySet(t, table, s, chain.Name, few)
			}
			seen[what] = true
			commit(t, table, ruleset.Batch{{Verb: ruleset.DeleteSet, Name: s.String()}})
		})
	}
	ruleset.AllSets(each)
	for _, fam := range inet.Families() {
		for _, bits := range []uint8{17, uint8(fam.Unspecified().BitLen())} {
			each(ruleset.Set{Kind: ruleset.Sources, Family: fam, Number: bits})
		}
		each(ruleset.Set{Kind: ruleset.Affinity, Family: fam, Number: ruleset.MaxShares})
	}
}

// columns describes all of a set but its name.
func columns(s ruleset.Set) string {
	row, length := s.Spec(), uint8(0)
	if s.Kind == ruleset.Sources {
		length = s.Number
	}
	return fmt.Sprintf("%v %d %v %v %t %t %t %t %t %d", s.Family, length, row.Key, row.Data, row.Verdict, row.Ranges, row.Learnt, s.IsSlots(), s.IsNode(), s.Declaration().Size)
}

// trySet writes n elements, reads them back and deletes them.
func trySet(t *testing.T, table *kernel.Table, s ruleset.Set, chain string, n int) {
	t.Helper()
	batch := make(ruleset.Batch, n)
	want := make(map[ruleset.Element]bool, n)
	for i := range batch {
		e := element(s, uint32(i), chain)
		want[e] = true
		batch[i] = ruleset.Op{Verb: ruleset.AddElement, Element: e}
	}
	if len(want) != n {
		t.Fatalf("%d different elements", len(want))
	}
	inOne(t, table, batch)
	got := contents(t, table, s)
	if len(got) != n {
		t.Fatalf("%d elements, want %d", len(got), n)
	}
	for _, e := range got {
		if !want[e] {
			t.Fatalf("the kernel has %+v, which was not written", e)
		}
		delete(want, e)
	}
	if len(want) > 0 {
		t.Errorf("%d elements were read in place of others", len(want))
	}
	for i := range batch {
		batch[i].Verb = ruleset.DeleteElement
	}
	inOne(t, table, batch)
	if got := contents(t, table, s); len(got) > 0 {
		t.Errorf("%d elements are left", len(got))
	}
}

// inOne commits a batch in one transaction if the send buffer may be that large, and in
// parts otherwise.
func inOne(t *testing.T, table *kernel.Table, b ruleset.Batch) {
	t.Helper()
	err := table.Commit(t.Context(), b)
	if errors.Is(err, nat.ErrTooLarge) {
		for part := range slices.Chunk(b, ruleset.DefaultLimit) {
			commit(t, table, part)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
}

// contents reads a set, of ranges or of other elements.
func contents(t *testing.T, table *kernel.Table, s ruleset.Set) []ruleset.Element {
	t.Helper()
	found, err := table.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(found.Strays) > 0 {
		t.Fatalf("%d strays, the first %+v", len(found.Strays), found.Strays[0])
	}
	var out []ruleset.Element
	for e := range found.Elements.All() {
		out = append(out, *e)
	}
	for _, p := range found.Ranges[s] {
		out = append(out, ruleset.Element{Set: s, Client: p})
	}
	return out
}

// tryLearnt fills a map of clients through the copy of entries, the only way in which we
// write one: to the brim if it is the first with its columns.
func tryLearnt(t *testing.T, table *kernel.Table, s ruleset.Set, first bool) {
	t.Helper()
	room := s.Declaration().Size
	fill := filling(s)
	commit(t, table, ruleset.Batch{{Verb: ruleset.AddChain, Chain: &fill}})
	defer commit(t, table, ruleset.Batch{{Verb: ruleset.DeleteChain, Name: fill.Name}})
	sizes := []uint32{few}
	if first && !testing.Short() {
		sizes = []uint32{room, room + 1, uint32(many())}
	}
	for _, n := range sizes {
		err := table.AddEntries(t.Context(), s, n, func(i uint32) ruleset.Element { return element(s, i, "") })
		if fits := n <= room; fits != (err == nil) || !fits && !errors.Is(err, unix.ENFILE) {
			t.Errorf("%d entries in a map for %d: %v", n, room, err)
		}
		if err != nil {
			continue
		}
		entries, err := table.LoadEntries(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		got := map[ruleset.Element]bool{}
		for _, e := range entries {
			got[e.Element] = true
		}
		for i := range n {
			if !got[element(s, i, "")] {
				t.Fatalf("entry %d of %d is missing", i, n)
			}
		}
		commit(t, table, ruleset.Batch{{Verb: ruleset.FlushSet, Set: s}})
	}
}

// filling returns a chain that adds clients to a map. The kernel bounds a map of the default size
// when it gets the first such chain.
func filling(s ruleset.Set) ruleset.Chain {
	name := ruleset.AffinityChain{Family: s.Family, NodePort: s.IsNode(), Local: s.IsLocalAffinity(), Timeout: time.Hour, Share: s.Number}.String()
	chains := ruleset.ChainsOf(name, &nat.Settings{})
	c := chains[len(chains)-1]
	for i, r := range c.Rules {
		if strings.HasPrefix(r.Text, "update @"+s.String()+" ") {
			c.Rules = c.Rules[i : i+1]
			break
		}
	}
	return c
}

// element makes the i-th element of a set. They are 70,000 different ones because each
// part that has room for it differs.
func element(s ruleset.Set, i uint32, chain string) ruleset.Element {
	row := s.Spec()
	e := ruleset.Element{Set: s, Counter: s.IsSlots()}
	if s.IsNode() {
		e.Key.IP = s.Family.Unspecified()
	}
	for _, part := range row.Key {
		switch part {
		case ruleset.PartVIP:
			e.Key.IP = address(s.Family, i)
		case ruleset.PartProto:
			e.Key.Proto = inet.Proto(1 + i>>16) // with the port 70,000 keys
		case ruleset.PartPort:
			e.Key.Port = uint16(i)
		case ruleset.PartSlot:
			e.Slot = i
		case ruleset.PartClient, ruleset.PartBackend:
			e.Client = netip.PrefixFrom(address(s.Family, i), s.Family.Unspecified().BitLen())
		}
	}
	switch {
	case s.Kind == ruleset.Sources:
		p, _ := address(s.Family, i).Prefix(int(s.Number))
		e.Client = p
	case row.IsInterval():
		e.Key.IP = netip.Addr{}
		e.Client = netip.PrefixFrom(address(s.Family, i), s.Family.Unspecified().BitLen())
		return ruleset.Element{Set: s, Client: e.Client}
	case row.Verdict && i%2 == 0:
		e.Verdict = ruleset.VerdictDrop
	case row.Verdict:
		e.Verdict = chain
	case len(row.Data) == 1:
		e.Data = netip.AddrPortFrom(address(s.Family, ^i), 0)
	case row.Data != nil:
		e.Data = netip.AddrPortFrom(address(s.Family, ^i), uint16(i))
	}
	if !row.Learnt {
		e.Comment = strings.Repeat("c", int(i)%129)
	}
	return e
}

// address returns one of every second address, so that no two make one range.
func address(fam inet.Family, i uint32) netip.Addr {
	b := fam.Unspecified().AsSlice()
	binary.BigEndian.PutUint32(b[len(b)-4:], 1<<31|i*2)
	a, _ := netip.AddrFromSlice(b)
	return a
}

func commit(t *testing.T, table *kernel.Table, b ruleset.Batch) {
	t.Helper()
	if err := table.Commit(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}
