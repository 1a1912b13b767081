// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead/internal/nstest"
	"fairlead/overlay"
	"fairlead/proxier/objects"
	"fairlead/proxier/proxiertest"
	"fairlead/proxier/resolve"
	"fairlead/proxier/store"
)

// seen is an Overlay that keeps what it was told last.
type seen struct {
	calls int
	self  string
	peers []string
}

func (s *seen) Set(self overlay.Node, peers []overlay.Node) {
	s.calls++
	s.self, s.peers = describeNode(&self), nil
	for i := range peers {
		s.peers = append(s.peers, describeNode(&peers[i]))
	}
}

func (s *seen) Change(came []overlay.Node, gone []string) {
	s.calls++
	for _, name := range gone {
		s.drop(name)
	}
	for i := range came {
		s.drop(came[i].Name)
		s.peers = append(s.peers, describeNode(&came[i]))
	}
	slices.Sort(s.peers)
}

func (s *seen) drop(name string) {
	s.peers = slices.DeleteFunc(slices.Clone(s.peers), func(peer string) bool { return strings.HasPrefix(peer, name+" ") })
}

func describeNode(n *overlay.Node) string {
	s := n.Name
	for _, ip := range n.Underlay {
		s += " " + ip.String()
	}
	for _, p := range n.PodCIDRs {
		s += " " + p.String()
	}
	return s
}

// TestTellOverlay tells about nodes when they change, once this one is known, and
// whether or not the kernel takes the table.
func TestTellOverlay(t *testing.T) {
	nstest.Need(t)
	w, err := newWorld()
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	var got seen
	w.p.overlay = &got
	w.p.desired.cfg.Overlay = &overlay.Config{}
	node := func(name, ip, cidr string) *objects.Node {
		return &objects.Node{Name: name, Addresses: proxiertest.MustAddrs(ip), Underlay: proxiertest.MustAddrs(ip), PodCIDRs: proxiertest.MustPrefixes(cidr)}
	}
	step := func(name string, fails bool, want seen, f func(*store.Tx)) {
		t.Helper()
		w.store.Update(f)
		if _, err := w.sync(); (err != nil) != fails {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(seen{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	self := w.p.desired.cfg.NodeName
	step("only others", false, seen{}, func(tx *store.Tx) { tx.SetNode(node("other", "192.0.2.2", "10.244.2.0/24")) })
	both := seen{calls: 1, self: self + " 192.0.2.1 10.244.1.0/24", peers: []string{"other 192.0.2.2 10.244.2.0/24"}}
	step("this one", false, both, func(tx *store.Tx) { tx.SetNode(node(self, "192.0.2.1", "10.244.1.0/24")) })
	step("nothing about nodes", false, both, func(tx *store.Tx) {
		tx.SetServiceCIDR(&objects.ServiceCIDR{Name: "a", CIDRs: proxiertest.MustPrefixes("10.96.0.0/16")})
	})
	w.table.fault = 1
	moved := both
	moved.calls, moved.peers = 2, []string{"other 192.0.2.9 10.244.2.0/24"}
	step("while the kernel refuses", true, moved, func(tx *store.Tx) { tx.SetNode(node("other", "192.0.2.9", "10.244.2.0/24")) })
	third := moved
	third.calls, third.peers = 3, append(third.peers, "third 192.0.2.3 10.244.3.0/24")
	step("another joins", false, third, func(tx *store.Tx) { tx.SetNode(node("third", "192.0.2.3", "10.244.3.0/24")) })
	moved.calls = 4
	step("it is gone", false, moved, func(tx *store.Tx) { tx.DeleteNode("third") })
	step("this one is gone", false, moved, func(tx *store.Tx) { tx.DeleteNode(self) })
}

// TestOverlayReport shows problems of the overlay among all others, until they
// are gone.
func TestOverlayReport(t *testing.T) {
	st := store.New()
	d := newDesired(&resolve.Config{NodeName: "node-a"}, st)
	OverlayReport(st, "node-a", &overlay.Report{Problems: []overlay.Problem{
		{Node: "node-b", Field: "podCIDRs", Text: "overlap those of node-c"}, {Field: "MTU", Text: "is small"},
	}})
	want := []string{"Node node-a: MTU: is small", "Node node-b: podCIDRs: overlap those of node-c"}
	if diff := cmp.Diff(want, proxiertest.ProblemTexts(d.book.Problems())); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	OverlayReport(st, "node-a", &overlay.Report{})
	if ps := d.book.Problems(); len(ps) > 0 {
		t.Errorf("problems stay: %v", ps)
	}
}
