// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/component-base/metrics"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/ktesting"
)

// TestStrangeHints reports zones that no node is in, each once a slice.
func TestStrangeHints(t *testing.T) {
	from := []*Slice{
		{Key: types.NamespacedName{Namespace: "default", Name: "web-1"}, Endpoints: endpoints(t, "a1/z1 a2/z9 b3/z9/z8 b4")},
		{Key: types.NamespacedName{Namespace: "default", Name: "web-2"}, Endpoints: endpoints(t, "b5/z9")},
	}
	for _, tt := range []struct {
		zones []string
		want  []string
	}{
		{nil, nil}, // nobody knows
		{[]string{"z1", "z8", "z9"}, nil},
		{[]string{"z1"}, []string{
			`EndpointSlice default/web-1: endpoints.hints.forZones: 10.244.1.2 is hinted for zone "z9", which no Node is in`,
			`EndpointSlice default/web-1: endpoints.hints.forZones: 10.244.2.3 is hinted for zone "z8", which no Node is in`,
			`EndpointSlice default/web-2: endpoints.hints.forZones: 10.244.2.5 is hinted for zone "z9", which no Node is in`,
		}},
	} {
		zones := map[string]struct{}{}
		for _, z := range tt.zones {
			zones[z] = struct{}{}
		}
		if diff := cmp.Diff(tt.want, problemTexts(strangeHints(from, zones))); diff != "" {
			t.Errorf("zones %v (-want +got):\n%s", tt.zones, diff)
		}
	}
}

// TestTopologyTold looks at what is logged, counted and reported when hints
// come, change and go: each change once, and only for those who ask for -v=2.
func TestTopologyTold(t *testing.T) {
	registry := metrics.NewKubeRegistry()
	w := newTestWorld(t)
	w.p.metrics = NewMetrics(registry.MustRegister)
	key := types.NamespacedName{Namespace: "default", Name: "web"}
	zone := "z1"
	for _, step := range []struct {
		name, eps, zone string
		log             string
		metric          string
		problems        []string
	}{
		{name: "no hints", eps: "a1 b2"},
		{name: "followed", eps: "a1/z1 b2/z1"},
		{name: "one without", eps: "a1/z1 b2", log: `Topology hints are not followed service="default/web" level="zone" reason="an endpoint has no hint" endpoint="10.244.2.2:8080"`,
			metric: "level=zone reason=an endpoint has no hint 1"},
		{name: "another without, too", eps: "a1/z1 b2 b3", metric: "level=zone reason=an endpoint has no hint 1"},
		{name: "for others", eps: "a1/z2 b2/z2", log: `Topology hints are not followed service="default/web" level="zone" reason="no endpoint is hinted for this node or zone"`,
			metric: "level=zone reason=no endpoint is hinted for this node or zone 1"},
		{name: "for nobody", eps: "a1/z1 b2/z7", log: `Topology hints are followed, or gone service="default/web"`,
			problems: []string{`EndpointSlice default/web: endpoints.hints.forZones: 10.244.2.2 is hinted for zone "z7", which no Node is in`}},
		{name: "no zone", eps: "a1/z1 b2/z2", zone: "-", log: `Topology hints are not followed service="default/web" level="zone" reason="this node has no zone label"`,
			metric:   "level=zone reason=this node has no zone label 1",
			problems: []string{`EndpointSlice default/web: endpoints.hints.forZones: 10.244.1.1 is hinted for zone "z1", which no Node is in`}},
		{name: "gone", zone: "z1", eps: "", log: `Topology hints are followed, or gone service="default/web"`},
	} {
		if step.zone != "" {
			zone = strings.Trim(step.zone, "-")
		}
		w.store.Update(func(tx *Tx) {
			tx.SetNode(&Node{Name: "node-a", Zone: zone, Addresses: primaryTestAddrs()})
			tx.SetNode(&Node{Name: "node-b", Zone: "z2"})
			tx.SetService(&Service{Key: key, ClusterIPs: testService().ClusterIPs, Ports: testService().Ports})
			s := testSlices(t, step.eps)[0]
			s.Key, s.Service = key, key
			tx.SetSlice(s)
		})
		logger := ktesting.NewLogger(ktesting.NopTL{}, ktesting.NewConfig(ktesting.Verbosity(2), ktesting.BufferLogs(true)))
		if err := w.p.sync(klog.NewContext(t.Context(), logger)); err != nil {
			t.Fatal(err)
		}
		var log strings.Builder
		for _, e := range logger.GetSink().(ktesting.Underlier).GetBuffer().Data() {
			if !strings.HasPrefix(e.Message, "Topology") {
				continue
			}
			if e.Verbosity != 2 {
				t.Errorf("%s: logged at -v=%d, want 2", step.name, e.Verbosity)
			}
			fmt.Fprint(&log, e.Message)
			for i := 0; i+1 < len(e.ParameterKVList); i += 2 {
				fmt.Fprintf(&log, " %v=%q", e.ParameterKVList[i], fmt.Sprint(e.ParameterKVList[i+1]))
			}
		}
		if log.String() != step.log {
			t.Errorf("%s: logged %s, want %s", step.name, &log, step.log)
		}
		got := ""
		for _, line := range scrape(t, registry) {
			if rest, ok := strings.CutPrefix(line, "fairlead_topology_fallbacks "); ok {
				got += rest
			}
		}
		if got != step.metric {
			t.Errorf("%s: metric %q, want %q", step.name, got, step.metric)
		}
		if diff := cmp.Diff(step.problems, problemTexts(w.p.book.Problems())); diff != "" {
			t.Errorf("%s: problems (-want +got):\n%s", step.name, diff)
		}
	}
}

// TestTriggers takes when a slice was changed once for each change, whatever
// becomes of its Service meanwhile, and none from before the start.
func TestTriggers(t *testing.T) {
	start := time.Now()
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Hour) }
	web := types.NamespacedName{Namespace: "default", Name: "web"}
	store := NewStore()
	set := func(name string, changed time.Time, eps string) func(*Tx) {
		return func(tx *Tx) {
			s := testSlices(t, eps)[0]
			s.Key, s.Service, s.Changed = types.NamespacedName{Namespace: "default", Name: name}, web, changed
			tx.SetSlice(s)
		}
	}
	service := func(tx *Tx) { tx.SetService(&Service{Key: web}) }
	for _, step := range []struct {
		name   string
		change []func(*Tx)
		want   []time.Time
	}{
		{name: "from before", change: []func(*Tx){service, set("a", time.Time{}, "a1"), set("b", at(-1), "a1")}},
		{name: "a change", change: []func(*Tx){set("a", at(3), "a1 a2")}, want: []time.Time{at(3)}},
		{name: "nothing changed", change: []func(*Tx){set("a", at(4), "a1 a2")}},
		{name: "an older one, of another slice", change: []func(*Tx){set("b", at(2), "b1")}, want: []time.Time{at(2)}},
		{name: "a change that does not say when", change: []func(*Tx){set("a", at(3), "a1")}},
		{name: "two at once", change: []func(*Tx){set("a", at(5), "a2"), set("b", at(6), "b2")}, want: []time.Time{at(5), at(6)}},
		{name: "the Service goes", change: []func(*Tx){func(tx *Tx) { tx.DeleteService(web) }}},
		{name: "and comes back", change: []func(*Tx){service}},
	} {
		for _, change := range step.change {
			store.Update(change)
		}
		if diff := cmp.Diff(step.want, store.TakeDirty().Triggers); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.name, diff)
		}
	}
}

// TestTallyIsWhole scrapes while values change: never fewer than there are.
func TestTallyIsWhole(t *testing.T) {
	registry := metrics.NewKubeRegistry()
	m := NewMetrics(registry.MustRegister)
	problems := map[string]int{kindService: 500, kindSlice: 500}
	m.report(problems)
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				m.report(problems)
			}
		}
	})
	want := []string{"fairlead_problems kind=EndpointSlice 500", "fairlead_problems kind=Service 500"}
	for range 200 {
		got := slices.DeleteFunc(scrape(t, registry), func(s string) bool { return !strings.HasPrefix(s, "fairlead_problems ") })
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
			break
		}
	}
	close(stop)
	writer.Wait()
}
