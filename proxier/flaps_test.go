// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"fairlead/internal/nstest"
	"fairlead/nat/ruleset"
	"fairlead/proxier/objects"
	"fairlead/proxier/store"
)

// flapping is a Service of up to 5,000 endpoints, all of which change at once.
type flapping struct {
	*rand.Rand
	svc    *objects.Service
	script []string
}

const flappingSlices = 5 // of 1,000 endpoints

// conditions are those of endpoint id in some state of the pods, as the controller of EndpointSlices
// writes them without publishNotReadyAddresses.
func conditions(state string, id int) objects.Endpoint {
	ep := objects.Endpoint{Serving: true}
	switch state {
	case "unready":
		ep.Serving = false
	case "terminating":
		ep.Terminating = true
	case "mixed":
		ep.Serving, ep.Terminating = id%3 > 0, id%4 == 1
	}
	ep.Ready = ep.Serving && !ep.Terminating
	return ep
}

// flap writes the next state. Most are all endpoints or none.
func (f *flapping) flap(st *store.Store) {
	state := []string{"none", "ready", "none", "ready", "unready", "terminating", "mixed", "one"}[f.IntN(8)]
	published := f.IntN(3) == 0
	if f.IntN(3) == 0 { // also while there is no endpoint
		svc := *f.svc
		svc.ExternalLocal, svc.InternalLocal = f.IntN(2) > 0, f.IntN(4) == 0
		svc.Affinity = time.Duration(f.IntN(2)) * time.Hour
		f.svc = &svc
	}
	f.script = append(f.script, fmt.Sprintf("%s, published %v, Local %v %v, affinity %s", state, published, f.svc.ExternalLocal, f.svc.InternalLocal, f.svc.Affinity))
	keep := everyone
	switch state {
	case "none":
		keep = func(int) bool { return false }
	case "one":
		keep = func(id int) bool { return id == 2500 }
	}
	st.Update(func(tx *store.Tx) { tx.SetService(f.svc) })
	for part := range flappingSlices {
		slice := hugeSlice(part, 1000, keep)
		if f.IntN(4) == 0 && len(slice.Endpoints) == 0 {
			st.Update(func(tx *store.Tx) { tx.DeleteSlice(slice.Key) })
			continue
		}
		for i := range slice.Endpoints {
			ep := &slice.Endpoints[i]
			is := conditions(state, i)
			ep.Ready, ep.Serving, ep.Terminating = is.Ready || published, is.Serving, is.Terminating
			ep.Node = objects.NameOf(nodeNames[i%3])
		}
		st.Update(func(tx *store.Tx) { tx.SetSlice(slice) })
	}
}

// TestFlaps: one Service loses its 5,000 endpoints and gets them back again and again, by slices, by
// conditions and by publishNotReadyAddresses, while others change. The kernel has what a start with the
// last state would write, nothing is left over, and the others wait for no more than three batches.
func TestFlaps(t *testing.T) {
	nstest.Need(t)
	nstest.Long(t, "one goroutine runs what TestLargeService and TestFairInBatches do")
	for seed := range 2 {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			cfg := testConfig()
			o := newInterleaved(t, cfg)
			defer o.close()
			o.table.quiet = true
			f := &flapping{Rand: rand.New(rand.NewPCG(uint64(seed), 5000)), svc: evilService(0)}
			f.svc.Ports[0].NodePort = 30000
			o.store.Update(func(tx *store.Tx) {
				for n := range 100 {
					svc, slice := benchObjects(n, 10)
					tx.SetService(svc)
					tx.SetSlice(slice)
				}
			})
			v := &victims{store: o.store}
			more := 0 // flaps that come during a sync
			o.table.before = func() {
				if v.want == nil {
					v.change()
				}
				if more > 0 && f.IntN(8) == 0 {
					more--
					f.flap(o.store)
				}
			}
			o.table.poker = func(b ruleset.Batch) error { v.look(b); return nil }
			for round := range 16 {
				v.n = v.n % 20_000
				more = f.IntN(3)
				f.flap(o.store)
				v.change()
				end := 60 // batches, then the victims rest
				before := o.table.before
				o.table.before = func() {
					if end--; end > 0 {
						before()
					}
				}
				if _, err := o.sync(); err != nil {
					t.Fatal(err)
				}
				o.table.before = before
				if v.want != nil || v.worst > 3 {
					t.Fatalf("others wait for %d batches, still %v", v.worst, v.want)
				}
				if round%2 == 0 {
					continue
				}
				f.compare(t, o)
				if t.Failed() {
					t.Fatalf("after\n%s", strings.Join(f.script, "\n"))
				}
			}
			t.Logf("%d changes of others, the slowest took %d batches", v.n, v.worst)
		})
	}
}

// compare compares with a start that sees the last state only.
func (f *flapping) compare(t *testing.T, o *observed) {
	t.Helper()
	before, poker := o.table.before, o.table.poker
	o.table.before, o.table.poker = nil, nil
	defer func() { o.table.before, o.table.poker = before, poker }()
	scratch := newInterleaved(t, o.cfg)
	defer scratch.close()
	scratch.store = o.store
	scratch.begin()
	scratch.p.desired.inKernel = o.p.desired.state.Owner
	if _, err := scratch.sync(); err != nil {
		t.Fatal(err)
	}
	o.compare(t, scratch)
}
