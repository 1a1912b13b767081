// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"net/netip"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"fairlead/internal/firewall"
	"fairlead/internal/inet"
	"fairlead/proxier/objects"
	"fairlead/proxier/store"
)

// TestTargets has a tenant whose namespace comes first and who has more ports than are tried. The
// Services of others are tried nevertheless.
func TestTargets(t *testing.T) {
	n := leaseNetwork(nil)
	put := func(tx *store.Tx, namespace, name string, ip byte, ports int) {
		s := &objects.Service{Key: types.NamespacedName{Namespace: namespace, Name: name}, ClusterIPs: []netip.Addr{netip.AddrFrom4([4]byte{10, 96, 0, ip})}}
		for i := range ports {
			s.Ports = append(s.Ports, objects.ServicePort{Name: fmt.Sprint("p", i), Port: uint16(1 + i), Proto: inet.TCP})
		}
		tx.SetService(s)
	}
	const evil = maxTargets + 500
	n.store.Update(func(tx *store.Tx) {
		put(tx, "aaa", "evil", 1, evil)
		put(tx, "default", "kubernetes", 2, 1)
		put(tx, "default", "web", 3, 1)
		put(tx, "kube-system", "dns", 4, 3)
		put(tx, "zzz", "shop", 5, 10)
		put(tx, "zzz", "on-this-node", 6, 10)
	})
	got, of := n.targets(map[netip.Addr]bool{netip.MustParseAddr("10.96.0.6"): true})
	tried := map[string]int{}
	for _, target := range got {
		tried[target.Name]++
	}
	want := map[string]int{"default/kubernetes": 1, "kube-system/dns": 3, "default/web": 1, "zzz/shop": 10, "aaa/evil": maxTargets - 15}
	if fmt.Sprint(tried) != fmt.Sprint(want) || len(got) != maxTargets || of != evil+15 {
		t.Errorf("of %d addresses %d are tried: %v, want %v", of, len(got), tried, want)
	}
	first := firewall.Target{Name: "default/kubernetes", Addr: netip.MustParseAddrPort("10.96.0.2:1"), Proto: byte(inet.TCP)}
	if got[0] != first {
		t.Errorf("the first is %v", got[0])
	}
}
