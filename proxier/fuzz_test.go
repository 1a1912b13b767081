// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"fairlead/internal/inet"
	"fairlead/internal/nstest"
	"fairlead/proxier/objects"
	"fairlead/proxier/proxiertest"
	"fairlead/proxier/store"
)

// FuzzIncremental feeds random events through the incremental path, with
// commits that fail now and then, and compares what nft lists at the end with a
// table built from scratch out of the objects that are left.
func FuzzIncremental(f *testing.F) {
	f.Add([]byte("\x00\x05\x03\x10\x15\x43\x00\x01\x25\x07\x33\x91"))
	f.Add([]byte("a service, slices, faults and a restart, as bytes happen to fall"))
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 250, 251, 252, 253, 254, 255, 128, 64, 32, 16, 8, 4, 2, 1, 0})
	f.Add([]byte(strings.Repeat("\x01\x10\x21\x33\x47\x52\x66\x7f", 12)))
	f.Fuzz(func(t *testing.T, script []byte) {
		nstest.Need(t)
		w, err := newWorld()
		if err != nil {
			t.Fatal(err)
		}
		defer w.close()
		for script = script[:min(len(script), 400)]; len(script) >= 2; {
			w.event(t, script[0], script[1])
			script = script[2:]
		}
		w.table.fault = 0
		if _, err := w.sync(); err != nil {
			t.Fatal(err)
		}
		scratch, err := newWorld()
		if err != nil {
			t.Fatal(err)
		}
		defer scratch.close()
		scratch.store = w.store
		scratch.restart()
		scratch.p.desired.inKernel = w.p.desired.state.Owner // an owner keeps its address
		if _, err := scratch.sync(); err != nil {
			t.Fatal(err)
		}
		want, got := scratch.listing(t), w.listing(t)
		if diff := cmp.Diff(want.normalised(), got.normalised()); diff != "" {
			t.Errorf("incremental differs from scratch (-scratch +incremental):\n%s", diff)
		}
		if diff := cmp.Diff(want.chainsOf(got), got.chainsOf(want)); diff != "" {
			t.Errorf("chains differ from scratch (-scratch +incremental):\n%s", diff)
		}
		for _, wrong := range append(got.holes(), got.idle()...) {
			t.Error(wrong)
		}
		if ops, _ := w.sync(); ops != "" {
			t.Errorf("still something to do after a clean sync:\n%s", ops)
		}
		if n := w.p.desired.state.Pending(); n != 0 {
			t.Errorf("%d frontends pending, want 0", n)
		}
	})
}

// event carries out one of the things that happen to a node.
func (w *world) event(t *testing.T, what, which byte) {
	t.Helper()
	key := types.NamespacedName{Namespace: "default", Name: fmt.Sprintf("s%d", which%4)}
	switch what % 9 {
	case 0, 1:
		w.store.Update(func(tx *store.Tx) { tx.SetService(randomService(key, what, which)) })
	case 2:
		w.store.Update(func(tx *store.Tx) { tx.DeleteService(key) })
	case 3, 4, 5:
		w.store.Update(func(tx *store.Tx) { tx.SetSlice(randomSlice(key, what, which)) })
	case 6:
		w.store.Update(func(tx *store.Tx) {
			tx.DeleteSlice(types.NamespacedName{Namespace: "default", Name: fmt.Sprintf("%s-%d", key.Name, which>>2%2)})
		})
	case 7:
		w.table.fault = int(which % 3)
	case 8:
		switch which % 4 {
		case 0:
			w.restart()
		case 1:
			w.store.Update(func(tx *store.Tx) {
				tx.SetNode(&objects.Node{Name: "node-a", Zone: fmt.Sprint("z", which%3), Addresses: []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, which})}})
			})
		case 2:
			if err := w.table.Delete(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.p.apply.Distrust()
		case 3:
			w.store.Update(func(tx *store.Tx) { tx.DeleteNode("node-a") })
		}
	}
	if which&1 == 0 {
		_, _ = w.sync() // may fail; a later one has to make up for it
	}
}

func randomService(key types.NamespacedName, a, b byte) *objects.Service {
	svc := &objects.Service{
		Key: key, Created: time.Unix(int64(b%3), 0),
		ClusterIPs:    []netip.Addr{netip.AddrFrom4([4]byte{10, 96, 0, 1 + b>>3%6})},
		Ports:         []objects.ServicePort{{Name: "a", Proto: inet.TCP, Port: 80}, {Name: "b", Proto: inet.UDP, Port: 53, NodePort: 30000 + uint16(b>>6)}},
		ExternalLocal: a&16 > 0, InternalLocal: a&32 > 0,
	}
	if a&64 > 0 {
		svc.ClusterIPs = append(svc.ClusterIPs, netip.MustParseAddr("fd00:10:96::1"))
		svc.LoadBalancerIPs = []netip.Addr{netip.AddrFrom4([4]byte{203, 0, 113, b % 3})}
		svc.Restricted = b&32 > 0
		svc.SourceRanges = proxiertest.MustPrefixes("192.0.2.0/24", "10.0.0.0/8")[:1+b>>4%2]
	}
	if a&128 > 0 {
		svc.Affinity = time.Duration(1+b%2) * time.Hour
	}
	return svc
}

func randomSlice(service types.NamespacedName, a, b byte) *objects.Slice {
	s := &objects.Slice{
		Key:     types.NamespacedName{Namespace: "default", Name: fmt.Sprintf("%s-%d", service.Name, b>>2%2)},
		Service: service,
		Ports:   []objects.SlicePort{{Name: "a", Proto: inet.TCP, Port: 8080}, {Name: "b", Proto: inet.UDP, Port: 5353}},
	}
	for i := range int(a>>3) % 18 {
		s.Endpoints = append(s.Endpoints, objects.Endpoint{
			Addr: netip.AddrFrom4([4]byte{10, 244, 0, byte(i)*(b>>4%3) + byte(i) + b>>6}), Node: objects.NameOf([]string{"node-a", "node-b"}[i%2]),
			Ready: b&16 == 0 || i > 3, Serving: true, Terminating: b&16 > 0 && i <= 3,
		})
	}
	return s
}
