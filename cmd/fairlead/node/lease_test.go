// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"

	"fairlead/internal/flannel"
	"fairlead/internal/inet"
	"fairlead/overlay"
	"fairlead/proxier/objects"
	"fairlead/proxier/resolve"
	"fairlead/proxier/store"
)

// leaseNetwork is a node whose overlay is ready over IPv4 and IPv6.
func leaseNetwork(have *flannel.Lease) *Network {
	cfg := &resolve.Config{NodeName: "node-a", FlannelCompat: true, Overlay: &overlay.Config{Device4: "flannel.1", Device6: "flannel-v6.1"}}
	n := &Network{proxy: cfg, store: store.New()}
	n.report.Store(&overlay.Report{Ready: true, Devices: []string{"flannel.1", "flannel-v6.1"}})
	n.store.Update(func(tx *store.Tx) {
		tx.SetNode(&objects.Node{
			Name: "node-a", PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.244.1.0/24")}, Flannel: have,
			Underlay: []netip.Addr{netip.MustParseAddr("192.168.50.1"), netip.MustParseAddr("192.168.60.1"), netip.MustParseAddr("fd00:50::1")},
		})
	})
	return n
}

// TestLease: the MAC that flannel gave stays, and what flannel wrote is not
// written again.
func TestLease(t *testing.T) {
	fresh, missing := leaseNetwork(nil).lease()
	self := overlay.Node{Name: "node-a"}
	if want := [2][6]byte{self.VTEP(inet.IPv4), self.VTEP(inet.IPv6)}; !missing || fresh.MACs != want {
		t.Errorf("without annotations: %+v, missing %v, want the MACs %v", fresh, missing, want)
	}
	if got := fresh.Public; got[0].String() != "192.168.50.1" || got[1].String() != "fd00:50::1" {
		t.Errorf("without annotations: addresses %v", got)
	}
	flannels := fresh
	flannels.MACs = [2][6]byte{{2, 1}, {2, 2}}
	if got, missing := leaseNetwork(&flannels).lease(); missing || got.MACs != flannels.MACs {
		t.Errorf("after flannel: %+v, missing %v", got, missing)
	}
	half := flannels
	half.MACs[1], half.Public[1], half.VNI[1] = [6]byte{}, netip.Addr{}, 0
	if got, missing := leaseNetwork(&half).lease(); !missing || got.MACs[0] != flannels.MACs[0] || got.MACs[1] != self.VTEP(inet.IPv6) {
		t.Errorf("after flannel with IPv4 only: %+v, missing %v", got, missing)
	}
	nat := flannels
	nat.Overwrite[0] = netip.MustParseAddr("203.0.113.1")
	if got, missing := leaseNetwork(&nat).lease(); !missing || got.Public[0] != nat.Overwrite[0] {
		t.Errorf("behind a NAT: %+v, missing %v", got, missing)
	}
	n := leaseNetwork(nil)
	n.report.Store(&overlay.Report{})
	if got, missing := n.lease(); missing {
		t.Errorf("without devices: %+v is missing", got)
	}
}

func TestPatchLease(t *testing.T) {
	client := fake.NewClientset(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-a", Annotations: map[string]string{"mine": "1", "stale": "1"}}})
	client.PrependReactor("patch", "nodes", func(a k8stesting.Action) (bool, runtime.Object, error) {
		if a.GetSubresource() != "status" {
			t.Errorf("subresource %q is patched, want status", a.GetSubresource())
		}
		return false, nil, nil
	})
	want, _ := leaseNetwork(nil).lease()
	patch := want.Annotations()
	patch["stale"] = ""
	if err := patchAnnotations(t.Context(), client, "node-a", patch); err != nil {
		t.Fatal(err)
	}
	node, err := client.CoreV1().Nodes().Get(t.Context(), "node-a", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	all := want.Annotations()
	all["mine"] = "1"
	if diff := cmp.Diff(all, node.Annotations); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
}
