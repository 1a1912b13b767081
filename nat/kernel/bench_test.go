// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"fairlead/internal/inet"
	"fairlead/internal/nstest"
	"fairlead/nat"
	"fairlead/nat/apply"
	"fairlead/nat/kernel"
	"fairlead/nat/nattest"
	"fairlead/nat/plan"
	"fairlead/nat/ruleset"
)

// cluster returns the n-th of many Services, with that many backends.
func clusterService(n, backends int) (inet.Addr, nat.Frontend) {
	var vip [4]byte
	binary.BigEndian.PutUint32(vip[:], 0x0a600000+uint32(n)+1) // 10.96.0.1 and on
	f := nat.Frontend{Policy: nat.Internal, Exclusive: true, Owner: fmt.Sprintf("default/service-%d:http", n)}
	for i := range backends {
		var ip [4]byte
		binary.BigEndian.PutUint32(ip[:], 0x0a800000+uint32(n*backends+i)) // 10.128.0.0 and on
		f.Backends = append(f.Backends, nat.BackendAt(netip.AddrPortFrom(netip.AddrFrom4(ip), 8080), false))
	}
	return inet.Addr{IP: netip.AddrFrom4(vip), Port: 80, Proto: inet.TCP}, f
}

func fillState(services, backends int) *plan.State {
	s := plan.NewState()
	set := nattest.Settings()
	set.Cluster = nattest.Prefixes("10.128.0.0/9")
	s.Configure(set)
	for n := range services {
		s.Set(clusterService(n, backends))
	}
	return s
}

// BenchmarkEndpointChange adds an endpoint to a Service and takes it away
// again: want, diff, commit, ACK. It must not depend on the size of the cluster.
func BenchmarkEndpointChange(b *testing.B) {
	for _, size := range []struct{ services, backends int }{{1000, 10}, {10000, 10}, {100000, 1}, {100000, 10}} {
		b.Run(fmt.Sprintf("services=%d/backends=%d", size.services, size.services*size.backends), func(b *testing.B) {
			table := open(b, nstest.New(b))
			s := fillState(size.services, size.backends)
			settle(b, s, table)
			key, f := clusterService(size.services/2, size.backends)
			extra := nat.BackendAt(netip.MustParseAddrPort("10.255.255.1:8080"), false)
			more := f
			more.Backends = append(append([]nat.Backend(nil), f.Backends...), extra)
			s.Set(key, more) // out of a full class, once
			settle(b, s, table)
			s.Set(key, f)
			settle(b, s, table)
			b.ReportAllocs()
			batches := 0
			for i := 0; b.Loop(); i++ {
				if i%2 == 0 {
					s.Set(key, more)
				} else {
					s.Set(key, f)
				}
				batches += settle(b, s, table)
			}
			b.ReportMetric(float64(batches)/float64(b.N), "commits/op")
		})
	}
}

// BenchmarkNewSize adds a Service that is the first of its size class, in a table with 100,000
// backends, and takes it away again. least-ms is the shortest time that this took, because
// others change the same machine's caches and take its processors.
func BenchmarkNewSize(b *testing.B) {
	table := open(b, nstest.New(b))
	s := fillState(10_000, 10)
	settle(b, s, table)
	key, f := clusterService(10_000, 100)
	least := time.Hour
	for b.Loop() {
		start := time.Now()
		s.Set(key, f)
		settle(b, s, table)
		least = min(least, time.Since(start))
		s.Delete(key)
		settle(b, s, table) // with its chains
	}
	b.ReportMetric(least.Seconds()*1e3, "least-ms")
}

// BenchmarkLastEndpoint takes the only endpoint of a Service away and puts it back, each in a
// transaction. Its verdict stays, so this does not depend on the size of the table.
func BenchmarkLastEndpoint(b *testing.B) {
	benchBetween(b, nat.Reject)
}

// BenchmarkVerdict does so where only other nodes have an endpoint and internalTrafficPolicy is Local.
// The verdict changes, and the kernel walks over all verdicts of the table (nft_table_validate), once
// for each transaction.
func BenchmarkVerdict(b *testing.B) {
	benchBetween(b, nat.Drop)
}

// benchBetween changes a Service from one endpoint to a policy without endpoints and back.
func benchBetween(b *testing.B, policy nat.TrafficPolicy) {
	b.Helper()
	for _, services := range []int{1_000, 11_000, 44_000} {
		b.Run(fmt.Sprintf("services=%d", services), func(b *testing.B) {
			table := open(b, nstest.New(b))
			s := fillState(services, 1)
			settle(b, s, table)
			key, f := clusterService(services/2, 1)
			none := f
			none.Policy, none.Backends = policy, nil
			for b.Loop() {
				s.Set(key, none)
				settle(b, s, table)
				s.Set(key, f)
				settle(b, s, table)
			}
		})
	}
}

// BenchmarkColdStart programs a whole cluster into an empty kernel, from
// frontends in memory.
func BenchmarkColdStart(b *testing.B) {
	for _, services := range []int{1000, 10000} {
		b.Run(fmt.Sprintf("services=%d/backends=%d", services, services*10), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				ns := nstest.New(b)
				table := open(b, ns)
				b.StartTimer()
				settle(b, fillState(services, 10), table)
				b.StopTimer()
				if err := table.Delete(b.Context()); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}

// BenchmarkRestart reads a programmed cluster back and finds nothing to do.
func BenchmarkRestart(b *testing.B) {
	for _, services := range []int{1000, 10000} {
		b.Run(fmt.Sprintf("services=%d/backends=%d", services, services*10), func(b *testing.B) {
			table := open(b, nstest.New(b))
			settle(b, fillState(services, 10), table)
			s := fillState(services, 10)
			b.ReportAllocs()
			for b.Loop() {
				found, err := table.Load(b.Context())
				if err != nil {
					b.Fatal(err)
				}
				s.Adopt(found)
				if batch := s.Next(0); batch != nil && len(batch.Batch) > 0 {
					b.Fatalf("something to do:\n%s", batch)
				}
			}
		})
	}
}

// BenchmarkFlush flushes the ruleset and repairs the table. It reports the time until the
// frontend that others depend on is served, and until all are.
func BenchmarkFlush(b *testing.B) {
	for _, services := range []int{1000, 10000} {
		b.Run(fmt.Sprintf("services=%d/backends=%d", services, services*10), func(b *testing.B) {
			ns := nstest.New(b)
			table := open(b, ns)
			s := fillState(services, 10)
			key, f := clusterService(services, 10)
			f.First = true
			s.Set(key, f)
			watched := &firstServed{Table: table, key: key}
			a := apply.New(watched, s)
			repair := func() {
				a.Distrust()
				for more := true; more; {
					r, err := a.Round(b.Context())
					if err != nil {
						b.Fatal(err)
					}
					more = r.More
				}
			}
			repair()
			var first, all time.Duration
			for b.Loop() {
				b.StopTimer()
				nftCommand(b, ns, "flush ruleset")
				b.StartTimer()
				start := time.Now()
				watched.at = time.Time{}
				repair()
				first += watched.at.Sub(start)
				all += time.Since(start)
			}
			b.ReportMetric(float64(first.Milliseconds())/float64(b.N), "first-ms/op")
			b.ReportMetric(float64(all.Milliseconds())/float64(b.N), "all-ms/op")
		})
	}
}

// firstServed notes when a frontend was first committed.
type firstServed struct {
	*kernel.Table
	key inet.Addr
	at  time.Time
}

func (f *firstServed) Commit(ctx context.Context, b ruleset.Batch) error {
	err := f.Table.Commit(ctx, b)
	if f.at.IsZero() && slices.ContainsFunc(b, func(o ruleset.Op) bool {
		return o.Verb == ruleset.AddElement && o.Element.Key == f.key && o.Element.Set == ruleset.VerdictsOf(f.key)
	}) {
		f.at = time.Now()
	}
	return err
}

// BenchmarkReplace starts on the table of 10,000 Services of another version, whose map of
// backends is declared in another way, so that all elements go into one transaction.
func BenchmarkReplace(b *testing.B) {
	const services = 10000
	ns := nstest.New(b)
	table := open(b, ns)
	settle(b, fillState(services, 10), table)
	var swap time.Duration
	for b.Loop() {
		b.StopTimer()
		damaged, err := table.Load(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		set := ruleset.Set{Kind: ruleset.Backends, Family: inet.IPv4}
		damaged.Sets[set] = false // as if it were: the elements are written again
		timed := &timedTable{Table: table, first: damaged}
		a := apply.New(timed, fillState(services, 10))
		b.StartTimer()
		r, err := a.Round(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		if r.Stepwise != nil {
			b.Skipf("it does not fit into one transaction here: %v", r.Stepwise)
		}
		swap += timed.longest
	}
	b.ReportMetric(float64(swap.Milliseconds())/float64(b.N), "transaction-ms/op")
}

// timedTable gives a snapshot at the first load, and notes the longest transaction.
type timedTable struct {
	*kernel.Table
	first   *ruleset.Snapshot
	longest time.Duration
}

func (t *timedTable) Load(ctx context.Context) (*ruleset.Snapshot, error) {
	if found := t.first; found != nil {
		t.first = nil
		var known ruleset.Elements
		for e := range found.Elements.All() {
			if found.Sets[e.Set] {
				known.Add(e)
			}
		}
		found.Elements = known
		return found, nil
	}
	return t.Table.Load(ctx)
}

func (t *timedTable) Commit(ctx context.Context, b ruleset.Batch) error {
	start := time.Now()
	err := t.Table.Commit(ctx, b)
	t.longest = max(t.longest, time.Since(start))
	return err
}
