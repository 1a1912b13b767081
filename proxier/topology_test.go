// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
	kmetrics "k8s.io/component-base/metrics"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/ktesting"

	"fairlead/proxier/metrics"
	"fairlead/proxier/objects"
	"fairlead/proxier/proxiertest"
	"fairlead/proxier/store"
)

// TestTopologyTold looks at what is logged, counted and reported when hints
// come, change and go: each change once, and only for those who ask for -v=2.
func TestTopologyTold(t *testing.T) {
	registry := kmetrics.NewKubeRegistry()
	w := newTestWorld(t)
	w.p.metrics = metrics.NewMetrics(registry.MustRegister)
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
		w.store.Update(func(tx *store.Tx) {
			tx.SetNode(&objects.Node{Name: "node-a", Zone: zone, Addresses: primaryTestAddrs()})
			tx.SetNode(&objects.Node{Name: "node-b", Zone: "z2"})
			tx.SetService(&objects.Service{Key: key, ClusterIPs: proxiertest.WebService().ClusterIPs, Ports: proxiertest.WebService().Ports})
			s := proxiertest.SlicesOf(t, step.eps)[0]
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
		for _, line := range proxiertest.Scrape(t, registry) {
			if rest, ok := strings.CutPrefix(line, "fairlead_topology_fallbacks "); ok {
				got += rest
			}
		}
		if got != step.metric {
			t.Errorf("%s: metric %q, want %q", step.name, got, step.metric)
		}
		if diff := cmp.Diff(step.problems, proxiertest.ProblemTexts(w.p.book.Problems())); diff != "" {
			t.Errorf("%s: problems (-want +got):\n%s", step.name, diff)
		}
	}
}
