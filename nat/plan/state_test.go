// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairlead/internal/inet"
	"fairlead/nat"
	"fairlead/nat/nattest"
	"fairlead/nat/ruleset"
)

// dry applies every pending batch without a kernel and returns the operations
// on elements, one string a batch.
func dry(s *State) []string {
	var out []string
	for b := s.Next(0); b != nil; b = s.Next(0) {
		var lines []string
		for line := range strings.SplitSeq(strings.TrimSpace(b.String()), "\n") {
			if strings.Contains(line, " element ") || strings.Contains(line, "delete chain") {
				lines = append(lines, strings.ReplaceAll(line, " inet fairlead", ""))
			}
		}
		out = append(out, strings.Join(lines, "\n"))
		s.Acked(b)
	}
	return out
}

func settled(key inet.Addr, f nat.Frontend) *State {
	s := NewState()
	s.Configure(nattest.Settings())
	s.Set(key, f)
	dry(s)
	return s
}

// TestChanges shows the operations that one change of a frontend costs.
func TestChanges(t *testing.T) {
	key := nattest.Addr("10.96.0.1:80", inet.TCP)
	p := nattest.Pods(20)
	web := func(b ...nat.Backend) nat.Frontend {
		return nat.Frontend{Policy: nat.Internal, Exclusive: true, Owner: "d/web", Backends: b}
	}
	for _, tt := range []struct {
		name string
		from nat.Frontend
		to   *nat.Frontend
		want []string
	}{{
		name: "one more in the class is one element",
		from: web(p[:3]...), to: new(web(p[:4]...)),
		want: []string{`add element backends4 { 10.96.0.1 . tcp . 80 . 3 comment "d/web" : 10.244.0.4 . 80 }`},
	}, {
		name: "one less moves the last slot into the hole",
		from: web(p[:4]...), to: new(web(p[0], p[2], p[3])),
		want: []string{`delete element backends4 { 10.96.0.1 . tcp . 80 . 1 comment "d/web" : 10.244.0.2 . 80 }
delete element backends4 { 10.96.0.1 . tcp . 80 . 3 comment "d/web" : 10.244.0.4 . 80 }
add element backends4 { 10.96.0.1 . tcp . 80 . 1 comment "d/web" : 10.244.0.4 . 80 }`},
	}, {
		name: "the last one less is one element",
		from: web(p[:4]...), to: new(web(p[:3]...)),
		want: []string{`delete element backends4 { 10.96.0.1 . tcp . 80 . 3 comment "d/web" : 10.244.0.4 . 80 }`},
	}, {
		name: "a replaced one keeps the slot",
		from: web(p[:4]...), to: new(web(p[0], p[9], p[2], p[3])),
		want: []string{`delete element backends4 { 10.96.0.1 . tcp . 80 . 1 comment "d/web" : 10.244.0.2 . 80 }
add element backends4 { 10.96.0.1 . tcp . 80 . 1 comment "d/web" : 10.244.0.10 . 80 }`},
	}, {
		name: "growing out of the class changes the verdict, chains come before and go afterwards",
		from: web(p[:2]...), to: new(web(p[:3]...)),
		want: []string{chainsOnly, `delete element vips4 { 10.96.0.1 . tcp . 80 comment "d/web" : goto cluster4-2 }
add element backends4 { 10.96.0.1 . tcp . 80 . 2 comment "d/web" : 10.244.0.3 . 80 }
add element vips4 { 10.96.0.1 . tcp . 80 comment "d/web" : goto cluster4-4 }`,
			"delete chain cluster4-2\ndelete chain pick4-2"},
	}, {
		name: "half a class is no reason to shrink",
		from: web(p[:8]...), to: new(web(p[:2]...)),
		want: []string{strings.Join([]string{
			deleteSlot(7), deleteSlot(6), deleteSlot(5),
			deleteSlot(4), deleteSlot(3), deleteSlot(2)}, "\n")},
	}, {
		name: "less than a quarter is",
		from: web(p[:8]...), to: new(web(p[:1]...)),
		want: []string{chainsOnly, strings.Join([]string{
			`delete element vips4 { 10.96.0.1 . tcp . 80 comment "d/web" : goto cluster4-8 }`,
			deleteSlot(7), deleteSlot(6), deleteSlot(5), deleteSlot(4),
			deleteSlot(3), deleteSlot(2), deleteSlot(1),
			`add element vips4 { 10.96.0.1 . tcp . 80 comment "d/web" : goto cluster4-1 }`}, "\n"),
			"delete chain cluster4-8\ndelete chain pick4-8\ndelete chain draw4-4\ndelete chain draw4-8"},
	}, {
		name: "the last backend gone is one element, and its slot refuses",
		from: web(p[:1]...), to: new(web()),
		want: []string{deleteSlot(0)},
	}, {
		name: "all backends gone of a class that one would not keep is a reject",
		from: web(p[:5]...), to: new(web()),
		want: []string{strings.Join([]string{
			`delete element vips4 { 10.96.0.1 . tcp . 80 comment "d/web" : goto cluster4-8 }`,
			deleteSlot(4), deleteSlot(3), deleteSlot(2), deleteSlot(1), deleteSlot(0),
			`add element vips4 { 10.96.0.1 . tcp . 80 comment "d/web" : goto refuse }`}, "\n"),
			"delete chain cluster4-8\ndelete chain pick4-8\ndelete chain draw4-1\ndelete chain draw4-4\ndelete chain draw4-8"},
	}, {
		name: "deleted",
		from: web(p[:1]...),
		want: []string{`delete element vips4 { 10.96.0.1 . tcp . 80 comment "d/web" : goto cluster4-1 }
` + deleteSlot(0) + `
delete element cluster-ips4 { 10.96.0.1 }`,
			"delete chain cluster4-1\ndelete chain pick4-1\ndelete chain draw4-1"},
	}, {
		name: "nothing changed, in another order",
		from: web(p[:3]...), to: new(web(p[2], p[0], p[1], p[0])),
	}} {
		t.Run(tt.name, func(t *testing.T) {
			s := settled(key, tt.from)
			if tt.to == nil {
				s.Delete(key)
			} else {
				s.Set(key, *tt.to)
			}
			if diff := cmp.Diff(tt.want, dry(s)); diff != "" {
				t.Errorf("operations (-want +got):\n%s", diff)
			}
		})
	}
}

// chainsOnly is a batch of new chains, of which dry writes nothing.
const chainsOnly = ""

func deleteSlot(i int) string {
	return fmt.Sprintf(`delete element backends4 { 10.96.0.1 . tcp . 80 . %d comment "d/web" : 10.244.0.%d . 80 }`, i, i+1)
}

// TestNextIsPure asks twice and expects the same answer, until Acked.
func TestNextIsPure(t *testing.T) {
	s := NewState()
	s.Configure(nattest.Settings())
	nattest.Variety(s)
	for i := 0; ; i++ {
		b := s.Next(5)
		if b == nil {
			break
		}
		if again := s.Next(5); again.String() != b.String() {
			t.Fatalf("batch %d differs when asked for again (-first +second):\n%s", i, cmp.Diff(b.String(), again.String()))
		}
		if ops := strings.Count(b.String(), " element "); ops > 5 {
			t.Errorf("batch %d has %d elements, limit 5:\n%s", i, ops, b)
		}
		s.Acked(b)
	}
	if n := s.Pending(); n != 0 {
		t.Errorf("%d frontends pending after the last batch, want 0", n)
	}
}

// TestNeverHalfMade commits a large frontend in small batches and checks after each of
// them which elements a packet could meet.
func TestNeverHalfMade(t *testing.T) {
	key := nattest.Addr("10.96.0.1:80", inet.TCP)
	s := NewState()
	s.Configure(nattest.Settings())
	step := func(n int) {
		t.Helper()
		if n == 0 {
			s.Delete(key)
		} else {
			s.Set(key, nat.Frontend{Policy: nat.Internal, Owner: "d/web", Backends: nattest.Pods(n)})
		}
		for b := s.Next(7); b != nil; b = s.Next(7) {
			s.Acked(b)
			f := s.have.frontends[key]
			if f == nil || f.verdict == "" {
				continue
			}
			if len(f.slots) == 0 || f.slots[0].isEmpty() {
				t.Fatalf("to %d backends: verdict %s without a backend in slot 0", n, f.verdict)
			}
			for _, c := range ruleset.ChainsOf(f.verdict, &s.settings) {
				if s.have.chains[c.Name] != c.Fingerprint() {
					t.Fatalf("to %d backends: verdict %s before chain %s", n, f.verdict, c.Name)
				}
			}
		}
	}
	for _, n := range []int{100, 3, 1, 64, 65, 0, 40, 300, 5, 0} {
		step(n)
	}
	if n := len(s.have.frontends); n != 0 {
		t.Errorf("%d frontends left, want 0", n)
	}
}

// TestRefuse sets a frontend aside and takes it up again when it changes.
func TestRefuse(t *testing.T) {
	key := nattest.Addr("10.96.0.1:80", inet.TCP)
	s := NewState()
	s.Configure(nattest.Settings())
	dry(s)
	f := nat.Frontend{Policy: nat.Internal, Owner: "d/web", Backends: nattest.Pods(1)}
	s.Set(key, f)
	s.Refuse(key)
	if b := s.Next(0); b != nil {
		t.Errorf("a refused frontend is still pending:\n%s", b)
	}
	if s.Pending() != 1 {
		t.Errorf("Pending() = %d, want 1", s.Pending())
	}
	f.Backends = nattest.Pods(2)
	s.Set(key, f)
	if len(dry(s)) != 1 || s.Pending() != 0 {
		t.Error("a changed frontend was not tried again")
	}
}

func TestForget(t *testing.T) {
	key := nattest.Addr("10.96.0.1:53", inet.UDP)
	p := nattest.Pods(5)
	sticky := nat.Frontend{Policy: nat.Internal, Owner: "d/dns", Affinity: time.Hour, Backends: p[:4]}
	plain := sticky
	plain.Affinity = 0
	changed := sticky
	changed.Backends = []nat.Backend{p[0], p[2], p[4]}
	local := sticky
	local.Policy, local.LocalBackends = nat.Local, []netip.AddrPort{p[0].AddrPort(), p[1].AddrPort()}
	fewer := local
	fewer.LocalBackends = local.LocalBackends[:1]
	none := local
	none.LocalBackends = nil
	gone := fewer
	gone.Backends = p[:1]
	for _, tt := range []struct {
		name     string
		from, to nat.Frontend
		want     []nat.Pair
	}{
		{"backends", sticky, changed, []nat.Pair{{Frontend: key, Backend: p[1].AddrPort()}, {Frontend: key, Backend: p[3].AddrPort()}}},
		{"no longer sticky", sticky, plain, []nat.Pair{{Frontend: key}}},
		{"no backend", sticky, nat.Frontend{Policy: nat.Reject, Owner: "d/dns"}, []nat.Pair{{Frontend: key}}},
		{"never sticky", plain, changed, nil},
		{"cluster to local", sticky, local, nil},
		{"leaves the local ones only", local, fewer, []nat.Pair{{Frontend: key, Backend: p[1].AddrPort(), Local: true}}},
		{"no local one", local, none, []nat.Pair{{Frontend: key, Backend: p[0].AddrPort(), Local: true}, {Frontend: key, Backend: p[1].AddrPort(), Local: true}}},
		{"leaves both", local, gone, []nat.Pair{
			{Frontend: key, Backend: p[1].AddrPort()}, {Frontend: key, Backend: p[2].AddrPort()}, {Frontend: key, Backend: p[3].AddrPort()},
			{Frontend: key, Backend: p[1].AddrPort(), Local: true},
		}},
		{"local to cluster", local, sticky, []nat.Pair{{Frontend: key, Local: true}}},
		{"local, no longer sticky", local, plain, []nat.Pair{{Frontend: key}, {Frontend: key, Local: true}}},
		{"more", changed, sticky, []nat.Pair{{Frontend: key, Backend: p[4].AddrPort()}}},
	} {
		s := settled(key, tt.from)
		s.Set(key, tt.to)
		step := s.Next(0)
		if len(step.Keys()) == 0 { // chains come first
			s.Acked(step)
			step = s.Next(0)
		}
		got := step.Unstick()
		if diff := cmp.Diff(tt.want, got, cmp.Comparer(func(a, b nat.Pair) bool { return a == b })); diff != "" {
			t.Errorf("%s: Forget (-want +got):\n%s", tt.name, diff)
		}
	}
}
