// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package keeper

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"fairlead/internal/inet"
	"fairlead/overlay"

	"github.com/vishvananda/netlink"
)

// TestDrift lets somebody else work on what is ours. Each time all of it is
// back within a second, and then there is peace: no more writes, no more looks.
func TestDrift(t *testing.T) {
	mac2, mac3 := mac("node-2", inet.IPv4).String(), mac("node-3", inet.IPv6).String()
	var cases sync.WaitGroup // most of their time they wait
	for _, tt := range []struct {
		name     string
		commands string
	}{
		{"route deleted", "ip route del 10.128.2.0/24"},
		{"IPv6 route deleted", "ip -6 route del fd00:10:244:2::/64"},
		{"route changed", "ip route change 10.128.2.0/24 via 192.168.50.77 dev eth0 proto 102 onlink"},
		{"IPv6 route changed", "ip -6 route change fd00:10:244:2::/64 via fd00:50::77 dev eth0 proto 102"},
		{"route added", "ip route add 10.128.77.0/24 via 192.168.50.77 dev eth0 proto 102 onlink"},
		{"second route to the same", "ip route append 10.128.2.0/24 via 192.168.50.77 dev eth0 proto 102 onlink"},
		{"IPv6 multipath", "ip -6 route append fd00:10:244:2::/64 via fd00:50::77 dev eth0 proto 102"},
		{"another metric", "ip route add 10.128.2.0/24 via 10.128.2.0 dev fairlead.1 onlink metric 5 proto 102"},
		{"neighbour deleted", "ip neigh del 10.128.2.0 dev fairlead.1"},
		{"IPv6 neighbour deleted", "ip neigh del fe80::c09c:15ff:fe9b:18c6 dev fairlead-v6.1"},
		{"neighbour changed", "ip neigh replace 10.128.2.0 lladdr 02:00:00:00:00:01 dev fairlead.1 nud permanent"},
		{"neighbour no longer permanent", "ip neigh replace 10.128.2.0 lladdr " + mac2 + " dev fairlead.1 nud stale"},
		{"neighbour added", "ip neigh add 10.128.77.0 lladdr 02:00:00:00:00:01 dev fairlead.1 nud permanent"},
		{"neighbours flushed", "ip neigh flush dev fairlead.1 nud permanent"},
		{"FDB entry deleted", "bridge fdb del " + mac2 + " dev fairlead.1"},
		{"FDB entry changed", "bridge fdb replace " + mac3 + " dev fairlead-v6.1 dst fd00:50::77 self permanent"},
		{"FDB entry for another port", "bridge fdb replace " + mac2 + " dev fairlead.1 dst 192.168.50.2 port 1234 self permanent"},
		{"FDB entry added", "bridge fdb add 02:00:00:00:00:01 dev fairlead.1 dst 192.168.50.77 self permanent"},
		{"flooding", "bridge fdb append 00:00:00:00:00:00 dev fairlead.1 dst 192.168.50.77 self permanent\nbridge fdb append 00:00:00:00:00:00 dev fairlead.1 dst 192.168.50.78 self permanent"},
		{"address deleted", "ip addr del 10.128.1.0/32 dev fairlead.1"},
		{"IPv6 address deleted", "ip addr del fd00:10:244:1::/128 dev fairlead-v6.1"},
		{"address added", "ip addr add 10.128.1.77/32 dev fairlead.1"},
		{"IPv4 link-local address added", "ip addr add 169.254.77.7/16 dev fairlead.1"},
		{"IPv4 link-local route added", "ip route add 169.254.0.0/16 dev fairlead.1 metric 1000 proto dhcp scope link"},
		{"route to the metadata service added", "ip route add 169.254.169.254/32 via 10.128.2.0 dev fairlead.1 onlink"},
		{"link-local address on the IPv6 device", "ip addr add 169.254.78.7/16 dev fairlead-v6.1"},
		{"route of an earlier version", "ip route add 192.168.50.2/32 via 10.128.2.0 dev fairlead.1 onlink table 8472 proto 102"},
		{"IPv6 route of an earlier version", "ip -6 route add fd00:50::77/128 dev eth0 table 8472 proto 102"},
		{"rule of an earlier version", "ip rule add from 10.128.1.0/24 fwmark 0x2000/0x2000 lookup 8472 priority 8472 protocol 102"},
		{"IPv6 rule of an earlier version", "ip -6 rule add from fd00:10:244:1::/64 fwmark 0x2000/0x2000 lookup 8472 priority 8472 protocol 102"},
		{"rule added", "ip rule add from 10.99.0.0/16 lookup 100 priority 99 protocol 102"},
		{"such a rule for an interface", "ip rule add iif eth0 from 10.128.1.0/24 fwmark 0x2000/0x2000 lookup 8472 priority 8472 protocol 102"},
		{"such a rule with another mark", "ip rule add from 10.128.1.0/24 fwmark 0x1/0x1 lookup 8472 priority 8472 protocol 102"},
		{"device deleted", "ip link del fairlead.1"},
		{"IPv6 device deleted", "ip link del fairlead-v6.1"},
		{"device down", "ip link set fairlead.1 down"},
		{"IPv6 device down", "ip link set fairlead-v6.1 down"},
		{"device MTU", "ip link set fairlead.1 mtu 1200"},
		{"IPv6 device MTU", "ip link set fairlead-v6.1 mtu 1200"},
		{"device MAC", "ip link set fairlead.1 address 02:00:00:00:00:01"},
		{"device local address", "ip link set fairlead.1 type vxlan local 192.168.50.77"},
		{"device learning", "ip link set fairlead.1 type vxlan learning"},
		{"device alias", "ip link set fairlead.1 alias whatever"},
		{"device link-local", "ip link set fairlead-v6.1 addrgenmode eui64"},
	} {
		cases.Go(func() { t.Run(tt.name, func(t *testing.T) { drift(t, tt.commands) }) })
	}
	cases.Wait()
}

func drift(t *testing.T, commands string) {
	t.Helper()
	h := newHost(t)
	k := start(t, h.ns, Options{Resync: time.Hour})
	k.sync(t, node(1), nodes(2, 4)...)
	plan := k.want()
	k.quiet(t)
	t.Cleanup(func() {
		if r, _, _, _ := k.last(); t.Failed() {
			t.Logf("last report: %d written, error %v", r.Written, r.Err)
		}
	})
	for line := range strings.Lines(commands) {
		h.run(t, strings.Fields(line)...)
	}
	// The change may be repaired before we see it, but not unnoticed.
	h.becomes(t, overlay.Config{}, plan)
	eventually(t, "the repair is reported", func() error {
		if _, _, repaired, _ := k.last(); repaired == 0 {
			return fmt.Errorf("repaired %d", repaired)
		}
		return nil
	})
	h.becomes(t, overlay.Config{}, plan)
	k.quiet(t)
}

// quiet waits until no pass has happened for a while.
func (k *keeper) quiet(t testing.TB) {
	t.Helper()
	_, _, _, before := k.last()
	since := time.Now()
	eventually(t, "peace", func() error {
		if _, _, _, n := k.last(); n != before {
			before, since = n, time.Now()
		}
		if calm := time.Since(since); calm < 3*restRead {
			return fmt.Errorf("the last of %d passes was %v ago", before, calm)
		}
		return nil
	})
}

// TestOthers makes sure that nobody else's things are touched.
func TestOthers(t *testing.T) {
	h := newHost(t)
	for _, line := range []string{
		"ip route add 10.99.0.0/16 via 192.168.50.7",
		"ip route add 10.128.3.0/24 via 192.168.50.7 proto static",
		"ip route add 10.98.0.0/16 via 192.168.50.7 table 100 proto 102",
		"ip rule add from 10.98.0.0/16 lookup 100",
		"ip route add 10.97.0.0/16 via 192.168.50.7 table 8472",
		"ip neigh add 192.168.50.9 lladdr 02:00:00:00:00:01 dev eth0 nud permanent",
		"ip link add flannel.7 type vxlan id 7 dstport 8472 local 192.168.50.1 nolearning",
		"ip link set flannel.7 up",
		"bridge fdb add 02:00:00:00:00:01 dev flannel.7 dst 192.168.50.9 self permanent",
	} {
		h.run(t, strings.Fields(line)...)
	}
	look := func() string {
		return h.run(t, "ip", "route", "show", "proto", "boot") + h.run(t, "ip", "route", "show", "proto", "static") +
			h.run(t, "ip", "route", "show", "table", "100") + h.run(t, "ip", "rule") + h.run(t, "ip", "route", "show", "table", "8472", "proto", "boot") + h.run(t, "ip", "neigh", "show", "dev", "eth0", "nud", "permanent") + h.run(t, "bridge", "fdb", "show", "dev", "flannel.7")
	}
	before := look()
	k := start(t, h.ns, Options{})
	k.Set(node(1), nodes(2, 4))
	var r overlay.Report
	eventually(t, "a pass", func() (err error) {
		if r, _, _, _ = k.last(); len(r.Problems) == 0 {
			err = fmt.Errorf("no problem in %+v", r)
		}
		return err
	})
	// The one route that cannot be had is named, everything else is done.
	want := "route 10.128.3.0/24 via 10.128.3.0 dev fairlead.1 onlink: add: another program has a route to it: file exists"
	if len(r.Problems) != 1 || r.Problems[0].String() != want || r.Err == nil || !r.Ready {
		t.Errorf("ready %v, problems %v, want %q", r.Ready, r.Problems, want)
	}
	if n := strings.Count(h.kernel(t, overlay.Config{}), "route"); n != 5 {
		t.Errorf("%d routes of 5", n)
	}
	for last := 5; last < 7; last++ { // another event does not make it forgotten
		k.Set(node(1), nodes(2, last))
		eventually(t, "the next pass", func() error {
			if r, _, _, _ = k.last(); r.Version != k.version() {
				return fmt.Errorf("version %d, want %d", r.Version, k.version())
			}
			return nil
		})
		if r.Err == nil || len(r.Problems) != 1 {
			t.Errorf("error %v, problems %v", r.Err, r.Problems)
		}
	}
	h.run(t, "ip", "route", "del", "10.128.3.0/24", "proto", "static")
	h.becomes(t, overlay.Config{}, k.want())
	k.stop()
	start(t, h.ns, Options{Config: overlay.Config{Mode: overlay.None}}).sync(t, node(1))
	if got := h.kernel(t, overlay.Config{}); got != "" {
		t.Errorf("left after mode none:\n%s", got)
	}
	if after := look(); after != strings.Replace(before, "10.128.3.0/24 via 192.168.50.7 dev eth0 proto static linkdown \n", "", 1) &&
		after != strings.Replace(before, "10.128.3.0/24 via 192.168.50.7 dev eth0 linkdown \n", "", 1) {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

// TestForeignDevice meets a device with our name that is no VXLAN: the other
// family's works, and the name is taken as soon as it is free.
func TestForeignDevice(t *testing.T) {
	h := newHost(t)
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: overlay.DefaultDevice4}}
	h.must(t, h.links.LinkAdd(bridge))
	k := start(t, h.ns, Options{})
	k.Set(node(1), nodes(2, 4))
	var r overlay.Report
	eventually(t, "a pass", func() error {
		if r, _, _, _ = k.last(); r.Err == nil {
			return fmt.Errorf("no error in %+v", r)
		}
		return nil
	})
	want := "device fairlead.1: keep device fairlead.1: it is of kind \"bridge\": the device belongs to another program"
	if len(r.Problems) != 1 || r.Problems[0].String() != want || r.Ready {
		t.Errorf("ready %v, problems %v, want %q", r.Ready, r.Problems, want)
	}
	if out := h.run(t, "ip", "-6", "route", "show", "proto", "102"); strings.Count(out, "\n") != 3 {
		t.Errorf("IPv6 routes:\n%s", out)
	}
	if h.link(t, overlay.DefaultDevice4).Type() != "bridge" {
		t.Error("the foreign device is gone")
	}
	h.must(t, h.links.LinkDel(bridge))
	h.becomes(t, overlay.Config{}, k.want())
}
