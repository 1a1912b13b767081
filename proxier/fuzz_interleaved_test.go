// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead/internal/healthcheck"
	"fairlead/internal/inet"
	"fairlead/internal/nstest"
	nftlisting "fairlead/nat/listing"
	"fairlead/overlay"
	"fairlead/proxier/metrics"
	"fairlead/proxier/objects"
	"fairlead/proxier/proxiertest"
	"fairlead/proxier/resolve"
	"fairlead/proxier/store"
)

// FuzzInterleaved is FuzzIncremental with objects of all kinds, which change between the
// commits of a sync as well. It compares not only the table with one that is built from
// scratch, but also what others are told: stale flows, health checks, metrics and problems.
func FuzzInterleaved(f *testing.F) {
	f.Add([]byte("\x00a Service, its slices, and so on, as bytes happen to fall"))
	f.Add([]byte("\x07" + strings.Repeat("\x0a\x01\x02\x03\x04\x05\x06\x0b\x11\x12\x13\x14\x15\x16", 8)))
	f.Add([]byte("\x01" + strings.Repeat("large and small \x10\x33\x07\x01\x0d\x4d", 6)))
	f.Add([]byte("\x06" + strings.Repeat("\x00\x11\x03\xff\x0e\xc2\x0c\x05\x08\x09", 9)))
	f.Fuzz(func(t *testing.T, script []byte) {
		nstest.Need(t)
		runInterleaved(t, script)
	})
}

// TestInterleaved runs random scripts, the same ones each time. The fuzzing engine needs minutes for
// as many, because it measures the coverage of the whole program.
func TestInterleaved(t *testing.T) {
	nstest.Need(t)
	nstest.Long(t, "one goroutine runs what FuzzInterleaved does")
	const scripts, length = 60, 300
	r := rand.NewChaCha8([32]byte{})
	for i := range scripts {
		script := make([]byte, length)
		_, _ = r.Read(script) // never fails
		t.Run(fmt.Sprint(i), func(t *testing.T) { runInterleaved(t, script) })
	}
}

// runInterleaved carries out a script and compares where it led to.
func runInterleaved(t *testing.T, script []byte) {
	t.Helper()
	s := &interleaved{script: script[:min(len(script), 300)], pods: map[int]*objects.Pod{}}
	cfg := s.config()
	s.observed = newInterleaved(t, cfg)
	defer s.close()
	s.table.quiet = true // to print large batches takes most of the time
	for len(s.script) > 0 {
		s.step(t)
	}
	s.table.fault, s.table.before = 0, nil
	if _, err := s.sync(); err != nil {
		t.Fatal(err)
	}
	scratch := newInterleaved(t, cfg)
	defer scratch.close()
	scratch.store = s.store
	scratch.begin()
	scratch.p.desired.inKernel = s.p.desired.state.Owner           // an owner keeps its address
	scratch.p.desired.podsThere = s.p.desired.state.HostPortOwners // and so does a Pod
	s.putPods(scratch.store)
	if _, err := scratch.sync(); err != nil {
		t.Fatal(err)
	}
	s.table.quiet = false
	s.compare(t, scratch)
}

// observed is a world with others who are told what changed.
type observed struct {
	*world
	flows  *toldFlows
	health *askedHealth
}

func newInterleaved(t *testing.T, cfg resolve.Config) *observed {
	t.Helper()
	w, err := newWorld()
	if err != nil {
		t.Fatal(err)
	}
	w.cfg = cfg
	o := &observed{world: w}
	o.begin()
	return o
}

// begin is restart for all of them.
func (o *observed) begin() {
	o.restart()
	o.flows = &toldFlows{}
	o.health = &askedHealth{ports: map[healthcheck.Name]uint16{}, local: map[healthcheck.Name]int{}}
	o.p.flows, o.p.health = o.flows, o.health
}

// toldFlows knows the endpoints of each frontend as the cleaner of flows does.
type toldFlows map[inet.Addr][2][]netip.AddrPort

func (f *toldFlows) Set(a inet.Addr, serving, existing inet.AddrPorts) {
	(*f)[a] = [2][]netip.AddrPort{serving.List(), existing.List()}
}
func (f *toldFlows) Delete(a inet.Addr)                  { delete(*f, a) }
func (f *toldFlows) SweepAll(func(_, _ netip.Addr) bool) {}
func (f *toldFlows) Loosen()                             {}

// compare fails the test where increments have led elsewhere than one step from nothing.
func (o *observed) compare(t *testing.T, scratch *observed) {
	t.Helper()
	differ := func(what string, want, got any) {
		t.Helper()
		if diff := cmp.Diff(want, got, proxiertest.Values); diff != "" {
			t.Errorf("%s: incremental differs from scratch (-scratch +incremental):\n%s", what, diff)
		}
	}
	want, got := scratch.read(t), o.read(t)
	differ("elements", want.normalised(), got.normalised())
	differ("chains", want.chainsOf(got), got.chainsOf(want))
	differ("flows", scratch.flows.text(), o.flows.text())
	differ("ports of health checks", scratch.health.ports, o.health.ports)
	differ("health checks", scratch.health.local, o.health.local)
	differ("problems", scratch.problems(), o.problems())
	differ("metrics", scratch.numbers(), o.numbers())
	for _, wrong := range append(got.holes(), got.idle()...) {
		t.Error(wrong)
	}
	if ops, _ := o.sync(); ops != "" {
		t.Errorf("still something to do after a clean sync:\n%s", ops)
	}
	d := o.p.desired
	if left := len(d.flows.of) + len(d.waiting.waits) + len(d.waiting.jobs) + len(d.checked) + len(d.settled) + d.state.Pending(); left != 0 || d.more() {
		t.Errorf("%d things are left over after a clean sync, want 0: flows %v, checked %v", left, d.flows.of, d.checked)
	}
	o.p.apply.Distrust()
	if ops, err := o.sync(); err != nil || ops != "" {
		t.Errorf("the table read back differs: %v\n%s", err, ops)
	}
}

// read is listing without nft, which takes minutes for the elements of a large Service.
func (o *observed) read(t *testing.T) listing {
	t.Helper()
	found, err := o.table.Table.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return parseListing((&nftlisting.Table{Found: found}).Text(nftlisting.Options{Full: true}))
}

func (f *toldFlows) text() []string {
	var out []string
	for a, lists := range *f {
		out = append(out, fmt.Sprint(a, " ", lists))
	}
	slices.Sort(out)
	return out
}

// problems leaves out by which rule an owner comes first, because that is history.
func (o *observed) problems() []string {
	var out []string
	for _, text := range proxiertest.ProblemTexts(o.store.Book().Problems()) {
		text, _, _ = strings.Cut(text, ", which ")
		out = append(out, text)
	}
	return slices.Compact(out) // a NodePort may be lost over IPv4 for one reason and over IPv6 for another
}

func (o *observed) numbers() metrics.Wanted { return *o.p.desired.wanted() }

// interleaved reads events from a script.
type interleaved struct {
	*observed
	script []byte
	pods   map[int]*objects.Pod
	born   int64 // objects so far
}

// next returns the next byte of the script, 0 at its end.
func (s *interleaved) next() int {
	if len(s.script) == 0 {
		return 0
	}
	b := s.script[0]
	s.script = s.script[1:]
	return int(b)
}

// config reads which features are on.
func (s *interleaved) config() resolve.Config {
	cfg, b := testConfig(), s.next()
	if b&1 > 0 {
		cfg.Overlay, cfg.Masquerade, cfg.KeepNodes = &overlay.Config{Mode: overlay.VXLAN}, true, true
	}
	if b&2 > 0 {
		cfg.ClusterCIDRs = nil // those of the nodes
	}
	cfg.BackendCounters = b&4 > 0
	return cfg
}

// step is one thing that happens to a node, and perhaps a sync in which others happen.
func (s *interleaved) step(t *testing.T) {
	t.Helper()
	switch what := s.next() % (changes + 4); what {
	case changes:
		s.table.fault = s.next() % 3
	case changes + 1:
		s.begin()
		s.putPods(s.store)
	case changes + 2:
		if err := s.table.Delete(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.p.apply.Distrust()
	case changes + 3:
		s.p.apply.Distrust()
	default:
		s.update(what)
	}
	how := s.next()
	if how%3 == 0 {
		return
	}
	s.table.before = func() {
		if how%3 == 2 && len(s.script) > 0 {
			s.update(s.next() % changes)
		}
	}
	_, _ = s.sync() // may fail; a later one has to make up for it
}

// changes is how many cases change and adjust have.
const (
	changes     = 29
	firstAdjust = 20
)

// update is one update of the store.
func (s *interleaved) update(what int) {
	if what >= firstAdjust {
		s.adjust(what)
		return
	}
	s.store.Update(func(tx *store.Tx) { s.change(tx, what) })
}

// change changes objects, those of one kind mostly.
func (s *interleaved) change(tx *store.Tx, what int) {
	which := s.next()
	key := s.key(which)
	switch what {
	case 0, 1, 2:
		tx.SetService(s.service(key))
	case 3:
		tx.DeleteService(key)
	case 4, 5, 6, 7:
		tx.SetSlice(s.slice(key, key))
	case 8:
		tx.SetSlice(s.slice(key, s.key(s.next()))) // moves to another Service
	case 9:
		tx.DeleteSlice(s.slice(key, key).Key)
	case 10: // the same endpoints in two slices, in different conditions
		one := s.slice(key, key)
		other := *one
		other.Key.Name += "-mirror"
		other.Endpoints = slices.Clone(one.Endpoints)
		for i := range other.Endpoints {
			s.condition(&other.Endpoints[i])
		}
		tx.SetSlice(one)
		tx.SetSlice(&other)
	case 11: // another Service of the same name in one update, as an agent sees it that lists again
		tx.DeleteService(key)
		tx.DeleteSlice(s.slice(key, key).Key)
		tx.SetService(s.service(key))
		tx.SetSlice(s.slice(key, key))
	case 12: // sticky, not sticky, sticky
		for range 3 {
			tx.SetService(s.service(key))
		}
	case 13:
		key = largeKey()
		tx.SetService(s.large(key))
		tx.SetSlice(s.largeSlice(key))
	case 14:
		tx.DeleteService(largeKey())
	case 15, 16:
		tx.SetNode(s.node(which))
	case 17:
		tx.DeleteNode(nodeNames[which%len(nodeNames)])
	case 18:
		s.pod(tx, which%4)
	case 19:
		s.cidr(tx, which)
	}
}
