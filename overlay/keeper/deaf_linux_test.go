// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package keeper

import (
	"context"
	"strings"
	"testing"
	"time"

	"fairlead/internal/inet"
	"fairlead/internal/netns"
	"fairlead/overlay"
	"fairlead/overlay/kernel"
)

// TestDeaf has another program change one entry of each kind while no event arrives. The
// regular look finds it.
func TestDeaf(t *testing.T) {
	for name, command := range map[string]string{
		"route": "ip route del 10.128.2.0/24", "neighbour": "ip neigh del 10.128.2.0 dev fairlead.1",
		"FDB entry": "bridge fdb del " + mac("node-2", inet.IPv4).String() + " dev fairlead.1",
		"address":   "ip addr del 10.128.1.0/32 dev fairlead.1", "rule": "ip -6 rule add from fd00:99::/64 lookup 8472 priority 8472 protocol 102",
		"device": "ip link del fairlead-v6.1", "device MTU": "ip link set fairlead.1 mtu 1200", "added route": "ip route add 10.128.77.0/24 via 192.168.50.77 dev eth0 proto 102 onlink",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			k := startWith(t, h.ns, Options{Resync: 200 * time.Millisecond}, func(k *Keeper) {
				k.events = func(ctx context.Context, _ *netns.NS, _ func() *kernel.Interest, _ func([]kernel.Event), lost func()) error {
					lost() // as at each start of a watch
					<-ctx.Done()
					return nil
				}
			})
			k.sync(t, node(1), nodes(2, 4)...)
			plan := k.want()
			h.becomes(t, overlay.Config{}, plan)
			h.run(t, strings.Fields(command)...)
			h.becomes(t, overlay.Config{}, plan)
		})
	}
}
