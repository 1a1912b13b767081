// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"

	"fairlead/internal/healthcheck"
	"fairlead/internal/inet"
	"fairlead/internal/nstest"
	"fairlead/nat/ruleset"
	"fairlead/proxier/objects"
	"fairlead/proxier/store"
)

// TestEpochs compares epochs with a list of all changes.
func TestEpochs(t *testing.T) {
	e := epochs[int]{of: map[int]uint64{}}
	e.next()
	closed, open := map[int]bool{}, map[int]bool{}
	r := rand.New(rand.NewPCG(5, 6))
	turns := 0
	for range 20_000 {
		switch key := r.IntN(50); r.IntN(2) {
		case 0:
			e.add(key)
			open[key] = true
			delete(closed, key)
		case 1:
			e.done(key)
			delete(open, key)
			delete(closed, key)
		}
		if e.left != len(closed) || len(e.of) != len(closed)+len(open) {
			t.Fatalf("%d of %d are left, want %d of %d", e.left, len(e.of), len(closed), len(closed)+len(open))
		}
		if e.left == 0 && r.IntN(20) == 0 {
			turns++
			e.next()
			closed, open = open, map[int]bool{}
		}
	}
	if turns < 10 {
		t.Errorf("%d epochs only", turns)
	}
}

// local returns a Service with a healthCheckNodePort and n endpoints on this node, and with an
// external IP that another Service has if asked to.
func local(n int, contested bool) (*objects.Service, *objects.Slice) {
	key := types.NamespacedName{Namespace: "victim", Name: "dns"}
	svc := &objects.Service{
		Key: key, ClusterIPs: []netip.Addr{netip.MustParseAddr("10.96.250.1")}, HealthCheckNodePort: 30_999, ExternalLocal: true,
		Ports: []objects.ServicePort{{Name: "dns", Proto: inet.UDP, Port: 53}},
	}
	if contested {
		svc.ExternalIPs = []netip.Addr{netip.MustParseAddr("198.51.100.7")}
	}
	slice := &objects.Slice{Key: key, Service: key, Ports: []objects.SlicePort{{Name: "dns", Proto: inet.UDP, Port: 53}}}
	for i := range n {
		slice.Endpoints = append(slice.Endpoints, objects.Endpoint{Addr: netip.AddrFrom4([4]byte{10, 244, 9, byte(i)}), Ready: true, Serving: true, Node: objects.NameOf("node-a")})
	}
	return svc, slice
}

// TestPublishesMeanwhile lets one tenant change something between any two batches, so that
// there is always something left to do. What follows the commit of another tenant's change
// comes within a few batches all the same: its flows, its health check, its problems. The
// agent is ready, and not behind.
func TestPublishesMeanwhile(t *testing.T) {
	nstest.Long(t, "one goroutine between batches; the packet tests run the loop with its goroutines")
	var flows told
	health := &askedHealth{ports: map[healthcheck.Name]uint16{}, local: map[healthcheck.Name]int{}}
	p, table, st := attackedLoop(t, Deps{Flows: &flows, Health: health})
	p.ready.Store(false) // as at the start
	st.Update(func(tx *store.Tx) {
		svc, slice := local(1, true)
		owner := *svc
		owner.Key.Name, owner.ClusterIPs, owner.HealthCheckNodePort = "owner", []netip.Addr{netip.MustParseAddr("10.96.250.2")}, 0
		tx.SetService(&owner)
		tx.SetService(svc)
		tx.SetSlice(slice)
	})
	var problems strings.Builder
	log := funcr.New(func(_, args string) { problems.WriteString(args + "\n") }, funcr.Options{})

	const change, batches = 20, 200
	evil, batch := 0, 0
	seen := map[string]int{}
	note := func(what string, is bool) {
		if _, before := seen[what]; is && !before && batch > change {
			seen[what] = batch - change
		}
	}
	var synced time.Time
	passed := 0
	table.between = func(ruleset.Batch) {
		if batch++; batch > batches {
			return
		}
		for range 150 { // more than a batch
			putOneOfMany(st, evil)
			evil++
		}
		if batch%10 == 0 {
			putRanges(st, batch/10)
		}
		if batch == change {
			flows, synced = nil, p.LastSync()
			problems.Reset()
			st.Update(func(tx *store.Tx) {
				svc, slice := local(3, false)
				tx.SetService(svc)
				tx.SetSlice(slice)
			})
		}
		all := strings.Join(flows, "\n")
		note("flows", strings.Contains(all, "set 10.96.250.1:53/udp [10.244.9.0:53 10.244.9.1:53 10.244.9.2:53]"))
		note("health check", health.local[healthcheck.Name{Namespace: "victim", Name: "dns"}] == 3)
		note("problem is gone", strings.Contains(problems.String(), "Problem is gone"))
		note("ready", p.Ready())
		if at := p.LastSync(); at != synced {
			synced = at
			passed++
		}
	}
	if err := p.sync(klog.NewContext(t.Context(), log)); err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{"flows", "health check", "problem is gone", "ready"} {
		if n, ok := seen[what]; !ok || n > 6 {
			t.Errorf("%s: after %d batches (%v), want 6 at most", what, n, ok)
		}
	}
	if batch < batches || passed < 3 {
		t.Errorf("in %d batches all changes before some time were there %d times", batch, passed)
	}
	if len(p.desired.flows.of)+len(p.desired.triggers)+len(p.desired.checked)+len(p.desired.progress.services.of)+len(p.desired.progress.frontends.of) > 0 {
		t.Error("something is kept after the end: " + fmt.Sprint(len(p.desired.flows.of), len(p.desired.triggers), len(p.desired.checked)))
	}
}
