// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package cni

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"testing"

	"github.com/containernetworking/cni/libcni"
)

// delegate is what flannel's plugin (flannel-io/cni-plugin 1.9) gives to the bridge
// plugin, in place of itself.
const delegate = `{"cniVersion": "0.3.1", "name": "cbr0", "plugins": [{
	"type": "bridge", "hairpinMode": true, "isDefaultGateway": true, "isGateway": true, "ipMasq": false, "mtu": 1450,
	"ipam": {
		"type": "host-local", "dataDir": %q,
		"ranges": [[{"subnet": "10.244.1.0/24"}], [{"subnet": "fd00:10:244:1::/64"}]],
		"routes": [{"dst": "10.244.0.0/16"}, {"dst": "fd00:10:244::/48"}]
	}
}]}`

// TestAfterFlannel: pods that flannel's plugin has connected stay, and those that
// come later reach them and get other addresses.
func TestAfterFlannel(t *testing.T) {
	ours := newEngine(t, Config{Name: FlannelName, Plugin: Bridge, PodCIDRs: prefixes("10.244.1.0/24", "fd00:10:244:1::/64"), MTU: 1450})
	list, err := libcni.NetworkConfFromBytes([]byte(fmt.Sprintf(delegate, filepath.Dir(ours.data))))
	if err != nil {
		t.Fatal(err)
	}
	theirs := &engine{node: ours.node, list: list, cni: ours.cni, data: ours.data}
	a := theirs.add(t.Context(), t, "a")
	serve(t, a.NS)
	b := ours.add(t.Context(), t, "b")
	serve(t, b.NS)
	c := theirs.add(t.Context(), t, "c") // back again
	for i := range a.addrs {
		if all := []netip.Addr{a.addrs[i], b.addrs[i], c.addrs[i]}; slices.Contains(all[1:], all[0]) || all[1] == all[2] {
			t.Errorf("addresses %v", all)
		}
		for _, way := range [][2]*pod{{a, b}, {b, a}, {c, b}} {
			from, to := way[0].addrs[i], way[1].addrs[i]
			if got, err := dial(way[0].NS, netip.AddrPortFrom(to, 80)); got != from.String() {
				t.Errorf("%s to %s: %q, %v", from, to, got, err)
			}
		}
	}
	theirs.del(t.Context(), t, a)
	checkGone(t, ours, a)
	ours.del(t.Context(), t, b)
	checkGone(t, ours, b)
	ours.del(t.Context(), t, c) // the runtime may have forgotten by what it was added
	checkGone(t, ours, c)
}
