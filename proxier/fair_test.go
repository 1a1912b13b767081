// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
	kmetrics "k8s.io/component-base/metrics"
	"k8s.io/klog/v2"

	"fairlead/internal/inet"
	"fairlead/internal/nstest"
	"fairlead/nat/ruleset"
	"fairlead/proxier/metrics"
	"fairlead/proxier/objects"
	"fairlead/proxier/store"
)

// attackedTable is a kernel that takes everything. Between any two batches one tenant makes a
// change, and now and then another one does.
type attackedTable struct {
	fakeTable
	between func(b ruleset.Batch)
}

func (a *attackedTable) Commit(ctx context.Context, b ruleset.Batch) error {
	err := a.fakeTable.Commit(ctx, b)
	a.taken.Reset()
	a.between(b)
	return err
}

// victims changes endpoints of others' Services one after the other, and counts the batches
// until the kernel has each.
type victims struct {
	store *store.Store
	n     int              // of the change
	want  *ruleset.Element // that the kernel does not have yet
	since int              // batches
	worst int
}

func (v *victims) change() {
	svc, slice := benchObjects(v.n%100, 10)
	v.n++
	slice.Endpoints[3].Addr = netip.AddrFrom4([4]byte{10, 200, byte(v.n >> 8), byte(v.n)})
	v.want = &ruleset.Element{Key: inet.Addr{IP: svc.ClusterIPs[0], Port: 80, Proto: inet.TCP}, Data: netip.AddrPortFrom(slice.Endpoints[3].Addr, 8080)}
	v.since = 0
	v.store.Update(func(tx *store.Tx) { tx.SetSlice(slice) })
}

// look sees whether a batch has the change.
func (v *victims) look(b ruleset.Batch) {
	if v.want == nil {
		return
	}
	v.since++
	v.worst = max(v.worst, v.since)
	if slices.ContainsFunc(b, func(o ruleset.Op) bool {
		return o.Verb == ruleset.AddElement && o.Element.Key == v.want.Key && o.Element.Data == v.want.Data
	}) {
		v.want = nil
	}
}

// attackedLoop returns a Proxier that serves 200 Services of others on a kernel that takes
// everything.
func attackedLoop(t *testing.T, deps Deps) (*Proxier, *attackedTable, *store.Store) {
	t.Helper()
	st := store.New()
	st.Update(func(tx *store.Tx) {
		for n := range 200 {
			svc, slice := benchObjects(n, 10)
			tx.SetService(svc)
			tx.SetSlice(slice)
		}
	})
	prepare(st)
	table := &attackedTable{between: func(ruleset.Batch) {}}
	deps.Table, deps.Metrics = table, metrics.NewMetrics(func(...kmetrics.Registerable) {})
	p := New(testConfig(), st, deps)
	if err := p.sync(quietly(t)); err != nil {
		t.Fatal(err)
	}
	return p, table, st
}

func quietly(t *testing.T) context.Context {
	t.Helper()
	return klog.NewContext(t.Context(), klog.Logger{})
}

// TestFairInBatches counts, without a clock, how many batches a small change waits while one
// tenant does its worst, and what each batch costs.
func TestFairInBatches(t *testing.T) {
	nstest.Long(t, "one goroutine counts batches; the packet tests run the loop with its goroutines")
	for _, a := range attacks() {
		t.Run(a.name, func(t *testing.T) {
			p, table, st := attackedLoop(t, Deps{})
			v := &victims{store: st}
			batches, steps := 0, 0
			table.between = func(b ruleset.Batch) {
				v.look(b)
				cost := 0
				for i := range b {
					cost += b[i].Cost()
				}
				if cost > 5*ruleset.DefaultLimit {
					t.Errorf("batch %d costs %d", batches, cost)
				}
				if batches++; batches > 150 {
					return
				}
				if v.want == nil {
					v.change()
				}
				for batches%4 == 0 && steps < batches/4*a.burst() {
					a.step(st, steps)
					steps++
				}
			}
			a.step(st, steps)
			steps++
			v.change()
			if err := p.sync(quietly(t)); err != nil {
				t.Fatal(err)
			}
			if v.worst > 3 || v.n < 30 || v.want != nil {
				t.Errorf("%d changes, the slowest one took %d batches, want 3 at most", v.n, v.worst)
			}
		})
	}
}

// burst is how many writes the tenant makes while the kernel takes four batches.
func (a *attack) burst() int {
	if a.pause == 0 {
		return 400
	}
	return 1
}

// wideService has many frontends and endpoints.
func wideService(r *rand.Rand, ns string, n int) (*objects.Service, *objects.Slice) {
	key := types.NamespacedName{Namespace: ns, Name: fmt.Sprint("wide-", n)}
	svc := &objects.Service{Key: key, ClusterIPs: []netip.Addr{netip.AddrFrom4([4]byte{10, 96, ns[0], byte(n)})}}
	slice := &objects.Slice{Key: key, Service: key}
	for i := range 1 + r.IntN(30) {
		p := objects.ServicePort{Name: fmt.Sprint("p", i), Proto: inet.TCP, Port: 1000 + uint16(i)}
		svc.Ports = append(svc.Ports, p)
		slice.Ports = append(slice.Ports, objects.SlicePort{Name: p.Name, Proto: p.Proto, Port: p.Port})
	}
	for i := range r.IntN(20) {
		svc.ExternalIPs = append(svc.ExternalIPs, netip.AddrFrom4([4]byte{198, 51, ns[0], byte(i)}))
	}
	for i := range r.IntN(100) {
		slice.Endpoints = append(slice.Endpoints, objects.Endpoint{Addr: netip.AddrFrom4([4]byte{10, 201, byte(i >> 8), byte(i)}), Ready: r.IntN(9) > 0, Serving: true})
	}
	return svc, slice
}

// TestSlicedResolve changes large Services at random, some of them while they are resolved,
// and compares what is wanted then, and which problems there are, with what a start with the
// same objects yields.
func TestSlicedResolve(t *testing.T) {
	nstest.Long(t, "one goroutine resolves at random; the packet tests run the loop with its goroutines")
	r := rand.New(rand.NewPCG(11, 12))
	st := store.New()
	cfg := testConfig()
	d := newDesired(&cfg, st)
	d.update() // the first one takes all
	suspended := 0
	for round := range 10 {
		for range 1 + r.IntN(4) {
			svc, slice := wideService(r, []string{"a", "b", "c"}[r.IntN(3)], 1)
			st.Update(func(tx *store.Tx) {
				if r.IntN(5) == 0 {
					tx.DeleteService(svc.Key)
					return
				}
				tx.SetService(svc)
				tx.SetSlice(slice)
			})
			d.update()
			suspended += len(d.waiting.jobs)
		}
		for d.update(); d.more(); d.update() {
			suspended += len(d.waiting.jobs)
		}
		whole := newDesired(&cfg, copyOf(st))
		whole.update()
		if got, want := d.state.Text(), whole.state.Text(); got != want {
			t.Fatalf("round %d (-whole +sliced):\n%s", round, cmp.Diff(want, got))
		}
	}
	if suspended < 10 {
		t.Errorf("work was suspended %d times only", suspended)
	}
}
