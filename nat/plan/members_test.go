// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"unsafe"

	"fairlead/internal/inet"
	"fairlead/nat"
	"fairlead/nat/nattest"
	"fairlead/nat/ruleset"
)

func ofAddress(k ruleset.Kind, ip string) ruleset.Element {
	m := addressMember(k, netip.MustParseAddr(ip))
	return addressElement(&m)
}

// TestMemberOf: each element has a member of its own, and comes back from it.
func TestMemberOf(t *testing.T) {
	commented := ofAddress(ruleset.Outside, "192.0.2.1")
	commented.Comment = "another program"
	ranged := ofAddress(ruleset.Nodes, "192.0.2.1")
	ranged.Client = netip.MustParsePrefix("192.0.2.0/24")
	port := ruleset.Element{Set: ruleset.Set{Kind: ruleset.HostPorts}, Key: nattest.Addr("0.0.0.0:80", inet.TCP), Data: netip.MustParseAddrPort("10.244.0.1:80"), Comment: "default/web"}
	ms := newMembers()
	seen := map[member]ruleset.Element{}
	for _, e := range []ruleset.Element{
		ofAddress(ruleset.Outside, "192.0.2.1"), ofAddress(ruleset.Hairpin, "192.0.2.1"), ofAddress(ruleset.ClusterIPs, "192.0.2.1"),
		ofAddress(ruleset.Outside, "2001:db8::1"), ofAddress(ruleset.Outside, "c000:201::"), commented, ranged, port,
	} {
		m := ms.of(&e)
		if other, twice := seen[m]; twice {
			t.Errorf("%s and %s are one member", &e, &other)
		}
		seen[m] = e
		if got := ms.element(&m); got != e {
			t.Errorf("%s comes back as %s", &e, &got)
		}
		if (m.other == 0) != (e != commented && e != ranged && e != port) {
			t.Errorf("%s has number %d", &e, m.other)
		}
	}
	if size := unsafe.Sizeof(member{}); size > 24 {
		t.Errorf("a member has %d bytes", size)
	}
}

// TestMembersForget: what is neither wanted nor in the kernel takes no memory.
func TestMembersForget(t *testing.T) {
	ms := newMembers()
	port := ruleset.Element{Set: ruleset.Set{Kind: ruleset.HostPorts}, Key: nattest.Addr("0.0.0.0:80", inet.TCP), Data: netip.MustParseAddrPort("10.244.0.1:80")}
	for _, e := range []ruleset.Element{port, ofAddress(ruleset.Outside, "192.0.2.1"), ofAddress(ruleset.ClusterIPs, "192.0.2.1")} {
		ms.count(ms.of(&e), +2)
		ms.acked(&e, true)
		ms.count(ms.of(&e), -2)
		ms.acked(&e, false)
	}
	for _, q := range []*memberQueue{&ms.before, &ms.after} {
		if ms.settle(q, true); q.v4 != nil || q.rest != nil {
			t.Errorf("%v and %v are still queued", q.v4, q.rest)
		}
	}
	if ms.all.len()+len(ms.others)+len(ms.number) != 0 {
		t.Errorf("%v, %v and %v are left", ms.all, ms.others, ms.number)
	}
}

// TestMembersAdopt queues what differs from the kernel, sorted by place, and notes what
// changed there.
func TestMembersAdopt(t *testing.T) {
	ms := newMembers()
	kept, lost, extra := ofAddress(ruleset.Outside, "192.0.2.1"), ofAddress(ruleset.Outside, "192.0.2.2"), ofAddress(ruleset.Outside, "192.0.2.3")
	odd := kept
	odd.Comment = "another program"
	for _, e := range []ruleset.Element{lost, kept} {
		ms.count(ms.of(&e), +1)
		ms.acked(&e, true)
	}
	for _, e := range []ruleset.Element{extra, kept, odd} {
		ms.find(&e)
	}
	var noted []ruleset.Element
	ms.adopt(func(m member) { noted = append(noted, ms.element(&m)) })
	ms.touchAll()
	slices.SortFunc(noted, compareElements)
	if want := []ruleset.Element{odd, lost, extra}; !slices.Equal(noted, want) {
		t.Errorf("noted %v, want %v", noted, want)
	}
	var pending []ruleset.Element
	ms.pending(&ms.before, func(m member, want bool) bool {
		e := ms.element(&m)
		if pending = append(pending, e); want != (e == lost) {
			t.Errorf("%s is wanted: %v", &e, want)
		}
		return true
	})
	if want := []ruleset.Element{lost, extra, odd}; !slices.Equal(pending, want) {
		t.Errorf("pending %v, want %v", pending, want)
	}
	if got := ms.present(); !slices.Equal(got, []ruleset.Element{kept, odd, extra}) {
		t.Errorf("present %v", got)
	}
	ms.lose()
	if len(ms.present()) != 0 || len(ms.before.v4)+len(ms.before.rest) != 2 {
		t.Errorf("after the loss %v is present and %v queued", ms.present(), ms.before)
	}
}

// TestMemberTwin: an address that another program put into a set with a comment is deleted
// in the batch that adds it without, before the addition. A frontend whose new backend has
// the address does not add it earlier.
func TestMemberTwin(t *testing.T) {
	for _, ip := range []string{"192.0.2.1", "2001:db8::1"} {
		s := NewState()
		odd := ofAddress(ruleset.Outside, ip)
		odd.Comment = "another program"
		found := &ruleset.Snapshot{Exists: true}
		found.Elements.Add(&odd)
		s.Adopt(found)
		vip := inet.Addr{IP: netip.MustParseAddr("10.96.0.1"), Port: 80, Proto: inet.TCP}
		if odd.Set.Family == inet.IPv6 {
			vip.IP = netip.MustParseAddr("fd00::1")
		}
		s.Set(vip, nat.Frontend{Policy: nat.Internal, Backends: []nat.Backend{nat.BackendAt(netip.AddrPortFrom(netip.MustParseAddr(ip), 80), false)}})
		var got []ruleset.Op
		for {
			step := s.Next(0)
			if step == nil {
				break
			}
			for _, o := range step.Batch {
				if o.Element.Set == odd.Set && o.Element.Client == odd.Client {
					got = append(got, o)
				}
			}
			s.Acked(step)
		}
		if len(got) != 2 || got[0].Verb != ruleset.DeleteElement || got[1].Verb != ruleset.AddElement || got[1].Element.Comment != "" {
			t.Errorf("%s: %v, want a deletion and an addition", ip, got)
		}
		if want := []ruleset.Element{ofAddress(ruleset.Outside, ip)}; !slices.Equal(s.members.present(), want) || len(s.members.twins) > 0 {
			t.Errorf("%s: present %v with twins %v, want %v", ip, s.members.present(), s.members.twins, want)
		}
	}
}

// TestExchangeMembers changes backends, and where they run, at random. Each time the
// elements that are wanted are those of a State that never had other backends.
func TestExchangeMembers(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	wants := func(s *State) map[member]int32 {
		out := map[member]int32{}
		for m, st := range s.members.all.each() {
			if st.want != 0 {
				out[m] = st.want
			}
		}
		return out
	}
	s := NewState()
	s.Configure(nattest.Settings())
	keys := []inet.Addr{laneKey(1), laneKey(2)}
	now := map[inet.Addr]nat.Frontend{}
	for i := range 3000 {
		f := nat.Frontend{Policy: nat.Internal, Owner: "d/web", Exclusive: r.IntN(2) == 0}
		for range r.IntN(6) {
			b := outsidePods(8)[r.IntN(8)]
			if r.IntN(2) == 0 {
				b = nattest.Pods(8)[r.IntN(8)]
			}
			b.OnNode = r.IntN(3) == 0
			f.Backends = append(f.Backends, b)
		}
		key := keys[r.IntN(2)]
		now[key] = f
		s.Set(key, f)
		if i%10 > 0 {
			continue
		}
		anew := NewState()
		anew.Configure(nattest.Settings())
		for key, f := range now {
			anew.Set(key, f)
		}
		if got, want := wants(s), wants(anew); !maps.Equal(got, want) {
			t.Fatalf("after %d changes %v is wanted, want %v", i+1, got, want)
		}
	}
}
