// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package cni

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"fairlead/internal/netns"
	"fairlead/internal/nstest"
)

// BenchmarkPlugin compares the links that the real plugins make, between two
// pods of one node: connections one after the other, and a stream, to the pod and
// through a Service. The two take turns, so that other load on the machine hits both.
// It reports the medians of all turns. ADR 12 has the numbers:
//
//	go test ./internal/cni -run '^$' -bench Plugin -benchtime 500x
func BenchmarkPlugin(b *testing.B) {
	ways := map[Plugin]*way{}
	for _, plugin := range []Plugin{PTP, Bridge} {
		r := newEngine(b, Config{Plugin: plugin, PodCIDRs: prefixes("10.244.1.0/24", "fd00:10:244:1::/64"), MTU: 1450})
		client, server := r.add(b.Context(), b, "client"), r.add(b.Context(), b, "server")
		nstest.Sink(b, server.NS)
		vips := service(b, r, server)
		ways[plugin] = &way{client.NS, map[string]netip.Addr{
			"pod4": server.addrs[0], "pod6": server.addrs[1], "service4": vips[0], "service6": vips[1],
		}}
	}
	for _, to := range []string{"pod4", "pod6", "service4", "service6"} {
		b.Run("connect/"+to, func(b *testing.B) { turns(b, ways, to, connects, perTurn, "conn/s") })
		b.Run("stream/"+to, func(b *testing.B) { turns(b, ways, to, stream, float64(turnBytes)/1e6, "MB/s") })
	}
}

const (
	perTurn   = 20      // connections
	turnBytes = 4 << 20 // of a stream
)

// way is a pod and the address that it dials.
type way struct {
	client  *netns.NS
	targets map[string]netip.Addr
}

// turns has each plugin do its work b.N times, and reports units of work per
// second.
func turns(b *testing.B, ways map[Plugin]*way, to string, work func(netip.AddrPort) (time.Duration, error), units float64, unit string) {
	b.Helper()
	took := map[Plugin][]float64{}
	order := []Plugin{PTP, Bridge}
	for b.Loop() {
		slices.Reverse(order)
		for _, plugin := range order {
			w := ways[plugin]
			err := w.client.Do(func() error {
				d, err := work(netip.AddrPortFrom(w.targets[to], 80))
				took[plugin] = append(took[plugin], d.Seconds())
				return err
			})
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	median := func(plugin Plugin) float64 {
		slices.Sort(took[plugin])
		return took[plugin][len(took[plugin])/2]
	}
	b.ReportMetric(units/median(PTP), "ptp-"+unit)
	b.ReportMetric(units/median(Bridge), "bridge-"+unit)
	b.ReportMetric(median(Bridge)/median(PTP), "ptp/bridge")
	b.ReportMetric(0, "ns/op")
}

// service translates port 80 of a virtual address of each family, and returns
// the addresses. Connection tracking is on for all traffic, as on every node.
func service(b *testing.B, r *engine, server *pod) []netip.Addr {
	b.Helper()
	vips := []netip.Addr{netip.MustParseAddr("10.96.0.10"), netip.MustParseAddr("fd00:10:96::10")}
	cmd := nstest.Command(b, r.node, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(fmt.Sprintf(`
		table inet bench {
			chain nat {
				type nat hook prerouting priority dstnat;
				ip daddr %s tcp dport 80 dnat ip to %s:80
				ip6 daddr %s tcp dport 80 dnat ip6 to [%s]:80
			}
		}`, vips[0], server.addrs[0], vips[1], server.addrs[1]))
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("nft: %v: %s", err, out)
	}
	return vips
}

func connects(to netip.AddrPort) (time.Duration, error) { return nstest.Connects(to, perTurn) }

func stream(to netip.AddrPort) (time.Duration, error) { return nstest.Stream(to, turnBytes) }
