// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/klog/v2"

	"fairlead/proxier/objects"
	"fairlead/proxier/proxiertest"
	"fairlead/proxier/status"
	"fairlead/proxier/store"
)

// eventsOf returns what was written, sorted.
func eventsOf(t *testing.T, client kubernetes.Interface) []string {
	t.Helper()
	list, err := client.EventsV1().Events("").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range list.Items {
		r := e.Regarding
		out = append(out, fmt.Sprintf("%s %s in %s: %s %s %s/%s uid=%s field=%s: %s",
			e.Type, e.Reason, e.Namespace, r.APIVersion, r.Kind, r.Namespace, r.Name, r.UID, r.FieldPath, e.Note))
	}
	slices.Sort(out)
	return out
}

// newTestEvents writes to a fake API server until the test ends.
func newTestEvents(t *testing.T) (*status.Events, kubernetes.Interface) {
	t.Helper()
	client := fake.NewClientset()
	ctx, cancel := context.WithCancel(klog.NewContext(t.Context(), klog.Logger{}))
	t.Cleanup(cancel)
	e, err := status.NewEvents(ctx, client, "node-a")
	if err != nil {
		t.Fatal(err)
	}
	return e, client
}

// TestEvents makes an Event of each problem that an object in the cluster has,
// when it appears.
func TestEvents(t *testing.T) {
	w := newTestWorld(t)
	var client kubernetes.Interface
	w.p.events, client = newTestEvents(t)
	web := types.NamespacedName{Namespace: "default", Name: "web"}
	change := func(zone string, problems ...objects.Problem) {
		w.store.Update(func(tx *store.Tx) {
			tx.SetNode(&objects.Node{Name: "node-a", Zone: "z1", Addresses: primaryTestAddrs()})
			tx.SetService(&objects.Service{Key: web, UID: "u-1", ClusterIPs: proxiertest.WebService().ClusterIPs, Ports: proxiertest.WebService().Ports, ExternalIPs: primaryTestAddrs()})
			s := proxiertest.SlicesOf(t, "a1/"+zone)[0]
			s.Key, s.Service, s.UID = web, web, "u-2"
			tx.SetSlice(s)
			tx.SetProblems(objects.KindFile, "x", problems)
		})
		if _, err := w.sync(); err != nil {
			t.Fatal(err)
		}
	}
	change("z1",
		objects.Problem{Kind: objects.KindFile, Name: "/etc/x.yaml", Text: "no object of the cluster"},
		objects.Problem{Kind: objects.KindService, Name: `"default/x\" : drop"`, Field: "metadata.name", Text: "cannot be"},
		objects.Problem{Kind: objects.KindService, Name: "10.96.0.1:80/tcp", Text: "whose it was is not known any more"},
		objects.Problem{Kind: objects.KindService, Name: "default/web:http", UID: "u-1", Field: "spec.ports", Text: "of a port"},
		objects.Problem{Kind: objects.KindService, Name: "default/gone", Field: objects.FieldHealthPort, Text: "listen on :1: address already in use"},
		objects.Problem{Kind: objects.KindService, Name: "default/gone", Field: "spec.ports[0].port", Text: "b"},
		objects.Problem{Kind: objects.KindService, Name: "default/gone", Field: "spec.ports[0].port", Text: "a"},
		objects.Problem{Kind: objects.KindNode, Name: "node-b", Field: "status.addresses", Text: strings.Repeat("long ", 1000)},
	)
	want := []string{
		"Warning FailedToStartServiceHealthcheck in default: v1 Service default/gone uid= field=spec.healthCheckNodePort: spec.healthCheckNodePort: listen on :1: address already in use",
		"Warning ProxyProblem in default: v1 Node /node-b uid=node-b field=status.addresses: " + ("status.addresses: " + strings.Repeat("long ", 1000))[:1024-3] + "...",
		"Warning ProxyProblem in default: v1 Service default/gone uid= field=spec.ports[0].port: spec.ports[0].port: a; b",
		"Warning ProxyProblem in default: v1 Service default/web uid=u-1 field=spec.externalIPs: spec.externalIPs: 192.0.2.1 is an address of Node node-a, whose own ports of these numbers are out of reach",
		"Warning ProxyProblem in default: v1 Service default/web uid=u-1 field=spec.ports: spec.ports: of a port",
	}
	proxiertest.Eventually(t, "first events", func() bool { return len(eventsOf(t, client)) >= len(want) })
	if diff := cmp.Diff(want, eventsOf(t, client)); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}

	change("z9") // the others are gone, which is no event
	want = append(want, `Warning ProxyProblem in default: discovery.k8s.io/v1 EndpointSlice default/web uid=u-2 field=endpoints.hints.forZones: `+
		`endpoints.hints.forZones: 10.244.1.1 is hinted for zone "z9", which no Node is in`)
	slices.Sort(want)
	proxiertest.Eventually(t, "one more", func() bool { return len(eventsOf(t, client)) >= len(want) })
	if diff := cmp.Diff(want, eventsOf(t, client)); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// TestEventsOfRepair: somebody flushes the table.
func TestEventsOfRepair(t *testing.T) {
	w := newTestWorld(t)
	var client kubernetes.Interface
	w.p.events, client = newTestEvents(t)
	for range 2 {
		if _, err := w.sync(); err != nil {
			t.Fatal(err)
		}
		if err := w.table.Delete(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.p.apply.Distrust()
	}
	const want = "Warning TableRepaired in default: v1 Node /node-a uid=node-a field=: repaired the nftables table of fairlead after an unknown program changed it: 1 table (missing)"
	proxiertest.Eventually(t, want, func() bool { return slices.Contains(eventsOf(t, client), want) })
}
