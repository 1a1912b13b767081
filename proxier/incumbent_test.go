// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"fairlead/internal/inet"
	"fairlead/proxier/objects"
	"fairlead/proxier/store"
)

// TestHostPortIncumbent: a Pod keeps its host port when the agent restarts, although an older Pod asks for
// it, and commands that resolve the same objects agree. In an empty table the older Pod has it.
func TestHostPortIncumbent(t *testing.T) {
	for _, hostIP := range []netip.Addr{{}, netip.MustParseAddr("192.0.2.1")} {
		t.Run(fmt.Sprint(hostIP), func(t *testing.T) {
			w := newTestWorld(t)
			pod := func(name string, created int64) *objects.Pod {
				return &objects.Pod{
					Key: types.NamespacedName{Namespace: "default", Name: name}, UID: types.UID(name), Node: w.cfg.NodeName, Created: time.Unix(created, 0),
					IPs:   []netip.Addr{netip.AddrFrom4([4]byte{10, 244, 0, byte(created)}), netip.MustParseAddr(fmt.Sprintf("fd00:10:244::%d", created))},
					Ports: []objects.PodPort{{Field: "ports", Proto: inet.TCP, HostIP: hostIP, HostPort: 8080, Port: 80}},
				}
			}
			set := func(pods ...*objects.Pod) {
				w.store.Update(func(tx *store.Tx) {
					for _, p := range pods {
						tx.SetPod(p)
					}
				})
			}
			sync := func() string {
				t.Helper()
				ops, err := w.sync()
				if err != nil {
					t.Fatal(err)
				}
				return ops
			}
			old, young := pod("old", 1), pod("young", 2)
			set(young)
			sync()
			set(old)
			sync()
			w.restart()
			set(old, young)
			if ops := sync(); ops != "" {
				t.Errorf("the restart changed the table:\n%s", ops)
			}

			found, err := w.table.Load(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			w.store = copyOf(w.store)
			set(old, young)
			if diff := NewWanted(w.cfg, w.store, found).Mismatches(found); len(diff) > 0 {
				t.Errorf("commands see differences: %v", diff)
			}

			if err := w.table.Delete(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.restart()
			set(old, young)
			sync()
			for a, owner := range w.p.desired.state.HostPortOwners() {
				if owner != "default/old" {
					t.Errorf("%s belongs to %s in a new table, want default/old", a, owner)
				}
			}
		})
	}
}
