// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package ruleset_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"fairlead/internal/inet"
	"fairlead/nat/ruleset"
)

// anyAddr returns no address, or one of either family.
func anyAddr(r *rand.Rand) netip.Addr {
	var b [16]byte
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	switch r.IntN(4) {
	case 0:
		return netip.AddrFrom4([4]byte(b[:4]))
	case 1:
		return netip.AddrFrom16(b)
	case 2:
		return netip.AddrFrom16([16]byte{10: 0xff, 11: 0xff, 12: b[0]})
	}
	return netip.Addr{}
}

// anyElement returns an element whose fields are set independently of each other, as
// those that another program wrote may be.
func anyElement(r *rand.Rand) ruleset.Element {
	e := ruleset.Element{
		Set:     ruleset.Set{Kind: ruleset.Kind(r.IntN(256)), Family: inet.Family(r.IntN(2)), Number: uint8(r.IntN(256))},
		Counter: r.IntN(2) == 0,
	}
	if r.IntN(2) == 0 {
		e.Key = inet.Addr{IP: anyAddr(r), Port: uint16(r.Uint32()), Proto: inet.Proto(r.Uint32())}
	}
	if r.IntN(2) == 0 {
		e.Slot = r.Uint32()
	}
	if ip := anyAddr(r); ip.IsValid() {
		e.Client = netip.PrefixFrom(ip, r.IntN(ip.BitLen()+1))
	}
	if r.IntN(2) == 0 {
		e.Data = netip.AddrPortFrom(anyAddr(r), uint16(r.Uint32()))
	}
	if r.IntN(2) == 0 {
		e.Verdict = fmt.Sprint("cluster4-", r.IntN(17))
	}
	if r.IntN(2) == 0 {
		e.Comment = fmt.Sprint("default/service-", r.IntN(1000))
	}
	return e
}

func collect(l *ruleset.Elements) []ruleset.Element {
	var out []ruleset.Element
	for e := range l.All() {
		out = append(out, *e)
	}
	return out
}

// TestElements puts elements into a list, takes some away as after a dump that has to be
// repeated, and reads the list.
func TestElements(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var list ruleset.Elements
	var want []ruleset.Element
	add := func(n int) {
		for range n {
			e := anyElement(r)
			list.Add(&e)
			want = append(want, e)
		}
	}
	list.Cut(list.Mark())
	for _, n := range []int{1, 5000, 0, 3, 20_000} {
		add(n)
		mark, kept := list.Mark(), len(want)
		add(n / 2)
		list.Cut(mark)
		want = want[:kept]
	}
	add(7)
	if got := collect(&list); list.Len() != len(want) || !slices.Equal(got, want) {
		t.Errorf("the list has %d elements, or others than the %d that were added", len(got), len(want))
	}
	for range list.All() {
		break // the loop may end early
	}
	var none ruleset.Elements
	if got := collect(&none); len(got) > 0 || none.Len() > 0 {
		t.Errorf("an empty list has %v", got)
	}
}

// TestElementsSize holds the list to the size that its comment promises: a table may have
// as many elements as a cluster has endpoints.
func TestElementsSize(t *testing.T) {
	const n = 10_000
	var list ruleset.Elements
	got := testing.AllocsPerRun(1, func() {
		list = ruleset.Elements{}
		for i := range uint32(n) {
			list.Add(&ruleset.Element{
				Set: ruleset.Set{Kind: ruleset.Backends}, Key: inet.Addr{IP: netip.AddrFrom4([4]byte{10, 96, 0, byte(i / 50)}), Port: 80, Proto: inet.TCP},
				Slot: i % 50, Data: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 8080), Comment: "default/web",
			})
		}
	})
	if most := float64(n*28>>16 + 12); got > most {
		t.Errorf("%d elements take %.0f allocations, want at most %.0f", n, got, most)
	}
}
