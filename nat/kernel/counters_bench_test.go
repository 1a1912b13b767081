// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel_test

import (
	"bufio"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"fairlead/internal/inet"
	"fairlead/internal/netns"
	"fairlead/internal/nstest"
	"fairlead/nat"
	"fairlead/nat/nattest"
	"fairlead/nat/plan"
	"fairlead/nat/ruleset"
)

// BenchmarkCountersMemory programs a cluster without counters and with them, and
// reports what the kernel's memory grew by: all of it, and what each CPU has its
// own of. Nothing else should run on the machine.
func BenchmarkCountersMemory(b *testing.B) {
	const services, each = 10000, 10
	for _, on := range []bool{false, true} {
		b.Run(fmt.Sprintf("counters=%v/backends=%d", on, services*each), func(b *testing.B) {
			for b.Loop() {
				table := open(b, nstest.New(b))
				s := fillState(services, each)
				set := nattest.Settings()
				set.Cluster = nattest.Prefixes("10.128.0.0/9")
				set.BackendCounters = on
				s.Configure(set)
				batches := allBatches(s)
				runtime.GC()
				before := kernelMemory(b)
				begin := time.Now()
				for _, batch := range batches {
					if err := table.Commit(b.Context(), batch); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(time.Since(begin).Seconds(), "commit-s")
				after := kernelMemory(b)
				for name, was := range before {
					b.ReportMetric(float64(after[name]-was)*1024/services/each, strings.ToLower(name)+"-B/backend")
				}
				begin = time.Now()
				counters, err := table.BackendCounters(b.Context())
				if err != nil || on && len(counters) != services*each {
					b.Fatalf("%d counters, %v", len(counters), err)
				}
				b.ReportMetric(time.Since(begin).Seconds(), "scrape-s")
				if err := table.Delete(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// allBatches returns all batches for an empty kernel.
func allBatches(s *plan.State) []ruleset.Batch {
	var out []ruleset.Batch
	for batch := s.Next(0); batch != nil; batch = s.Next(0) {
		s.Acked(batch)
		out = append(out, batch.Batch)
	}
	return out
}

// kernelMemory returns lines of /proc/meminfo, in KiB.
func kernelMemory(b *testing.B) map[string]int64 {
	b.Helper()
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	out := map[string]int64{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		name, rest, _ := strings.Cut(lines.Text(), ":")
		var n int64
		if _, err := fmt.Sscan(rest, &n); err == nil && (name == "Percpu" || name == "Slab") {
			out[name] = n
		}
	}
	return out
}

// BenchmarkCountersConnect makes connections through a VIP, in turns without
// counters and with them, and reports the ratio of the medians of the rates.
func BenchmarkCountersConnect(b *testing.B) {
	const perTurn, turns = 500, 40
	ns := nstest.New(b)
	for _, args := range [][]string{
		{"link", "set", "lo", "up"}, {"address", "add", "10.244.0.1/32", "dev", "lo"}, {"route", "add", "10.96.0.0/16", "dev", "lo"},
	} {
		if out, err := nstest.Command(b, ns, "ip", args...).CombinedOutput(); err != nil {
			b.Fatalf("ip %v: %v\n%s", args, err, out)
		}
	}
	nstest.Sink(b, ns)
	table := open(b, ns)
	s := plan.NewState()
	set := nattest.Settings()
	s.Configure(set)
	vip := netip.MustParseAddrPort("10.96.0.1:80")
	s.Set(inet.Addr{IP: vip.Addr(), Port: vip.Port(), Proto: inet.TCP}, nat.Frontend{Policy: nat.Internal, Owner: "default/web", Backends: nattest.Backends("10.244.0.1:80")})
	for b.Loop() {
		times := map[bool][]time.Duration{}
		for turn := range turns {
			set.BackendCounters = turn%4 == 1 || turn%4 == 2
			s.Configure(set)
			settle(b, s, table)
			took := connectTurn(b, ns, vip, perTurn)
			times[set.BackendCounters] = append(times[set.BackendCounters], took)
		}
		off, on := median(times[false]), median(times[true])
		b.ReportMetric(perTurn/off.Seconds(), "off-conns/s")
		b.ReportMetric(perTurn/on.Seconds(), "on-conns/s")
		b.ReportMetric(off.Seconds()/on.Seconds(), "on/off")
	}
}

func connectTurn(b *testing.B, ns *netns.NS, to netip.AddrPort, n int) (took time.Duration) {
	b.Helper()
	if err := ns.Do(func() (err error) { took, err = nstest.Connects(to, n); return err }); err != nil {
		b.Fatal(err)
	}
	return took
}

func median(ds []time.Duration) time.Duration {
	slices.Sort(ds)
	return ds[len(ds)/2]
}
