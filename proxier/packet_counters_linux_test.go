// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	kmetrics "k8s.io/component-base/metrics"

	"fairlead/internal/lab"
	"fairlead/proxier/metrics"
	"fairlead/proxier/proxiertest"
)

// TestPacketBackendCounters has the connections of a Service counted by
// endpoint, through all its addresses, whatever the agent does meanwhile.
func TestPacketBackendCounters(t *testing.T) {
	t.Parallel()
	cfg := defaults()
	cfg.BackendCounters = true
	b := newBed(t, cfg, lab.PTP)
	b.apply(t, serviceObject(1))
	b.apply(t, sliceObjects(1, ready(b.here), ready(b.there))...)

	want := map[string]float64{}
	for family := range ipFamilies {
		label := func(p *lab.Pod) string {
			return "default svc1  " + netip.AddrPortFrom(p.Addrs()[family], targetPort).String()
		}
		labels := map[string]string{"here": label(b.here), "there": label(b.there)}
		for _, l := range labels {
			want[l] = 0
		}
		for _, kind := range []string{"ClusterIP", "NodePort"} {
			for range 10 {
				name, _, _ := strings.Cut(b.dial(t.Context(), b.pod(), b.frontend(kind, 1, family)), " ")
				want[labels[name]]++
			}
		}
	}
	scrape := func() map[string]float64 {
		registry := kmetrics.NewKubeRegistry()
		metrics.CountConnections(t.Context(), registry.MustRegister, b.agent.table.(metrics.Counters))
		return proxiertest.Connections(t, registry)
	}
	if diff := cmp.Diff(want, scrape()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	b.restart(t, cfg)
	if diff := cmp.Diff(want, scrape()); diff != "" {
		t.Errorf("after a restart (-want +got):\n%s", diff)
	}
	b.restart(t, defaults())
	if got := scrape(); len(got) > 0 {
		t.Errorf("without counters: %v", got)
	}
}
