// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"flag"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	kmetrics "k8s.io/component-base/metrics"

	"k8s.io/apimachinery/pkg/types"

	"fairlead/internal/healthcheck"
	"fairlead/internal/inet"
	"fairlead/internal/nl/nltest"
	"fairlead/internal/nstest"
	"fairlead/nat/kernel"
	"fairlead/nat/nattest"
	"fairlead/nat/ruleset"
	"fairlead/proxier/metrics"
	"fairlead/proxier/objects"
	"fairlead/proxier/store"
)

var everyCall = flag.Bool("every-call", false, "make system calls fail in each way and at each call, instead of some")

// witness is told of flows and health by the loop, and looks then whether the kernel has what
// it is told.
type witness struct {
	t     *testing.T
	clean *kernel.Table // calls of its socket never fail; of the test's goroutine
	mu    sync.Mutex
	look  *kernel.Table  // the same, under mu
	want  netip.AddrPort // the only endpoint
	flows int            // how often flows were told of it
}

// has reports whether the kernel sends the Service to an endpoint. The caller holds mu.
func (w *witness) has(b netip.AddrPort) bool {
	key := nattest.Addr("10.96.0.10:53", inet.UDP)
	entries, err := w.look.LoadEntries(w.t.Context(), ruleset.BackendsOf(key))
	if err != nil && w.t.Context().Err() == nil {
		w.t.Error(err)
	}
	return slices.ContainsFunc(entries, func(e ruleset.Entry) bool { return e.Key == key && e.Data == b })
}

// Set implements Flows.
func (w *witness) Set(frontend inet.Addr, serving, _ inet.AddrPorts) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, b := range serving.List() {
		if !w.has(b) {
			w.t.Errorf("flows of %s are told of %s, which the kernel does not have", frontend, b)
		}
		if b == w.want {
			w.flows++
		}
	}
}

func (w *witness) Delete(inet.Addr)                    {}
func (w *witness) SweepAll(func(_, _ netip.Addr) bool) {}
func (w *witness) Loosen()                             {}

// reports is a Health with the same duty.
type reports struct{ *witness }

func (r reports) Set(healthcheck.Name, uint16) {}

// SetLocal implements Health.
func (r reports) SetLocal(_ healthcheck.Name, local int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if local > 0 && !r.has(r.want) {
		r.t.Errorf("a load balancer is told of %s, which the kernel does not have", r.want)
	}
}

func (r reports) Delete(healthcheck.Name) {}
func (r reports) Serve([]netip.Prefix)    {}

// change gives the Service another endpoint.
func (w *witness) change(s *store.Store, n int) {
	key := types.NamespacedName{Namespace: "default", Name: "dns"}
	ip := netip.AddrFrom4([4]byte{10, 244, byte(1 + n/250), byte(1 + n%250)})
	w.mu.Lock()
	w.want, w.flows = netip.AddrPortFrom(ip, 53), 0
	w.mu.Unlock()
	s.Update(func(tx *store.Tx) {
		tx.SetService(&objects.Service{Key: key, ClusterIPs: []netip.Addr{netip.MustParseAddr("10.96.0.10")}, HealthCheckNodePort: 1000,
			Ports: []objects.ServicePort{{Proto: inet.UDP, Port: 53}}})
		tx.SetSlice(&objects.Slice{Key: key, Service: key, Ports: []objects.SlicePort{{Proto: inet.UDP, Port: 53}}, Changed: time.Now(),
			Endpoints: []objects.Endpoint{{Addr: ip, Ready: true, Serving: true, Node: objects.NameOf("node-a")}}})
	})
}

// done returns what is missing after a change, empty for nothing.
func (w *witness) done(programmed uint64) string {
	w.mu.Lock()
	flows, has := w.flows, w.has(w.want)
	w.mu.Unlock()
	found, err := w.clean.Load(w.t.Context())
	switch {
	case err != nil:
		return err.Error()
	case !has:
		return "the endpoint is not in the kernel"
	case found.Chains["services"] == nil || len(found.Chains["services"].Rules) == 0:
		return "the chain is not repaired"
	case slices.ContainsFunc(slices.Collect(found.Elements.All()), func(e *ruleset.Element) bool { return e.Key.Port == 666 }):
		return "the foreign element is there"
	case flows == 0:
		return "flows are not told"
	case programmed == 0:
		return "the change is not counted as programmed"
	}
	return ""
}

// TestFaultsLoop makes each system call of the running loop fail, in each way: those of the
// sockets that write and read the table, and of those that watch it. Meanwhile endpoints
// change, and another program flushes a chain and adds an element. Each time the change
// reaches the kernel, the damage is found and repaired, flows, health and the metric are told
// of what the kernel took and no earlier, and in the end the table equals a rebuild.
func TestFaultsLoop(t *testing.T) {
	kinds := nltest.Some()
	if *everyCall {
		kinds = nltest.All()
	}
	for _, fault := range kinds {
		if fault.Place == nltest.Enter {
			continue // all sockets are open
		}
		t.Run(strings.ReplaceAll(fault.Name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			faultsLoop(t, fault)
		})
	}
}

func faultsLoop(t *testing.T, fault nltest.Fault) {
	t.Helper()
	var faults nltest.Faults
	w, err := newWorldWith(&faults)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.close)
	seen := &witness{t: t}
	for _, table := range []**kernel.Table{&seen.clean, &seen.look} {
		if *table, err = kernel.Open(w.ns); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = (*table).Close() })
	}
	registry := kmetrics.NewKubeRegistry()
	w.p = New(w.cfg, w.store, Deps{Table: w.table, Flows: seen, Health: reports{seen}, Metrics: metrics.NewMetrics(registry.MustRegister)})
	w.table.quiet = true
	w.run(t)
	foreign := ruleset.Element{Set: ruleset.Set{Kind: ruleset.VIPs}, Key: nattest.Addr("10.96.9.9:666", inet.TCP), Verdict: ruleset.VerdictDrop}
	struck, n := 1, 1
	for ; struck > 0 && n <= 200 && (*everyCall || n <= nstest.Size(16, 5)); n++ {
		const metric = "kubeproxy_network_programming_duration_seconds"
		before := observations(t, registry, metric)
		faults.Arm(fault, n, 1)
		seen.change(w.store, n)
		if err := seen.clean.Commit(t.Context(), ruleset.Batch{{Verb: ruleset.FlushChain, Name: "services"}, {Verb: ruleset.AddElement, Element: foreign}}); err != nil {
			t.Fatal(err)
		}
		missing := "all"
		for deadline := time.Now().Add(30 * time.Second); missing != "" && time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
			missing = seen.done(observations(t, registry, metric) - before)
		}
		if struck = faults.Disarm(); missing != "" {
			t.Fatalf("call %d: %s", n, missing)
		}
	}
	if n < 4 {
		t.Errorf("the fault struck %d times", n-2)
	}
	same(t, seen.clean)
}

// same compares the table in the kernel with one that is made anew.
func same(t *testing.T, clean *kernel.Table) {
	t.Helper()
	text := func() string {
		found, err := clean.Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var lines []string
		for e := range found.Elements.All() {
			lines = append(lines, e.Set.String()+" "+e.String())
		}
		for name, c := range found.Chains {
			lines = append(lines, fmt.Sprintf("%s %q", name, c.Fingerprint()))
		}
		slices.Sort(lines)
		return strings.Join(lines, "\n") + fmt.Sprint(found.Ranges, found.Strays, found.StraySets)
	}
	got := text()
	if err := clean.Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := ""
	for deadline := time.Now().Add(30 * time.Second); want != got && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		want = text()
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the table differs from a rebuild (-rebuild +got):\n%s", diff)
	}
}
