// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"context"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"

	"fairlead/internal/inet"
	"fairlead/internal/worker"
	"fairlead/nat"
	"fairlead/nat/ruleset"
	"fairlead/proxier/objects"
	"fairlead/proxier/store"
)

// attack is what one tenant does while others change endpoints. Each call of step makes
// one of its writes; it makes them one after the other, as fast as pause allows.
type attack struct {
	name  string
	pause time.Duration
	step  func(s *store.Store, i int)
}

func attacks() []attack {
	return []attack{
		{"nothing", time.Second, func(*store.Store, int) {}},
		{"ranges", 300 * time.Millisecond, putRanges},
		{"services", 0, putOneOfMany},
		{"endpoints", 10 * time.Millisecond, churnEndpoint},
		{"claims", 10 * time.Millisecond, contestClaim},
		{"frontends", 300 * time.Millisecond, putFrontends},
		{"endpoints of a huge Service", 10 * time.Millisecond, churnHuge},
		{"removal from a huge Service", 500 * time.Millisecond, func(s *store.Store, i int) { removeFromHuge(s, i, 0) }},
		{"removal from a huge sticky Service", 500 * time.Millisecond, func(s *store.Store, i int) { removeFromHuge(s, i, time.Hour) }},
	}
}

// BenchmarkFairness measures how long endpoint changes of others take from the store to the
// kernel's acknowledgement while one tenant does its worst. An operation is one such change.
// cpu-ms is the processor time that the loop used meanwhile, in the kernel as well: it says
// what else came before the change, and depends less on what else the machine does.
// They come every 10 ms, however long the earlier ones take, and all of them count. Use
// -benchtime=1000x.
func BenchmarkFairness(b *testing.B) {
	for _, a := range attacks() {
		b.Run(a.name, func(b *testing.B) {
			w := benchWorld(b, victimServices)
			prepare(w.store)
			table := newStopwatch(w.table.Table)
			w.p = New(w.cfg, w.store, Deps{Table: table, Metrics: w.p.metrics})
			ctx, cancel := context.WithCancel(klog.NewContext(b.Context(), klog.Logger{}))
			var wg sync.WaitGroup
			table.follow(&wg, func() { _ = w.p.Run(ctx) })
			table.awaitStart(b, w)
			wg.Go(func() { a.run(ctx, w.store) })
			pauseFor(ctx, 2*a.pause)
			table.took, table.used = nil, nil
			b.ResetTimer()
			every := time.NewTicker(10 * time.Millisecond)
			for i := range b.N {
				table.change(w.store, i+1)
				<-every.C
			}
			table.wait(b)
			b.StopTimer()
			every.Stop()
			cancel()
			wg.Wait()
			if table.report(b); len(table.took) != b.N {
				b.Fatalf("%d changes are in the kernel, want %d", len(table.took), b.N)
			}
			table.check(b, w, b.N)
		})
	}
}

func (a *attack) run(ctx context.Context, s *store.Store) {
	for i := 0; ctx.Err() == nil; i++ {
		a.step(s, i)
		pauseFor(ctx, a.pause)
	}
}

func pauseFor(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

const victimServices = 1000

// backend is an element of a Service's list of endpoints.
type backend struct {
	frontend inet.Addr
	to       netip.AddrPort
}

// stopwatch is a table that measures until the kernel has acknowledged an element.
type stopwatch struct {
	Table
	mu    sync.Mutex
	began map[backend]moment
	took  []time.Duration
	used  []time.Duration
	clock int32         // of the loop's thread, see clock_gettime
	done  chan struct{} // ready when began is empty
	// watched is set when the loop was told to load the table, because it listens from now on.
	watched worker.Wake
}

func newStopwatch(t Table) *stopwatch {
	return &stopwatch{Table: t, began: map[backend]moment{}, done: make(chan struct{}, 1), watched: worker.NewWake()}
}

func (s *stopwatch) Watch(ctx context.Context, changed func(nat.Writer)) error {
	return s.Table.Watch(ctx, func(w nat.Writer) {
		changed(w)
		s.watched.Set()
	})
}

// awaitStart returns when the loop has done what it does once, before the attack begins: it
// has written all Services, and has loaded the table again because it began to watch it.
func (s *stopwatch) awaitStart(b *testing.B, w *world) {
	b.Helper()
	<-s.watched
	taken := func() bool { return len(w.p.drifted) == 0 }
	if !worker.Await(b.Context(), time.Millisecond, taken) {
		b.Fatal(b.Context().Err())
	}
	s.change(w.store, 0)
	s.wait(b)
}

func (s *stopwatch) Commit(ctx context.Context, batch ruleset.Batch) error {
	err := s.Table.Commit(ctx, batch)
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil || len(s.began) == 0 {
		return err
	}
	for i := range batch {
		e := &batch[i].Element
		if batch[i].Verb != ruleset.AddElement {
			continue
		}
		if start, ok := s.began[backend{e.Key, e.Data}]; ok {
			delete(s.began, backend{e.Key, e.Data})
			s.took = append(s.took, now.Sub(start.Time))
			s.used = append(s.used, now.used-start.used)
		}
	}
	if len(s.began) == 0 {
		select {
		case s.done <- struct{}{}:
		default:
		}
	}
	return nil
}

// victim returns change i of the other tenants' Services.
func victim(i int) (backend, *objects.Slice) {
	svc, slice := benchObjects(i%victimServices, 10)
	slice.Endpoints[3].Addr = netip.AddrFrom4([4]byte{10, 200, byte(i >> 8), byte(i)})
	return backend{inet.Addr{IP: svc.ClusterIPs[0], Port: 80, Proto: inet.TCP}, netip.AddrPortFrom(slice.Endpoints[3].Addr, 8080)}, slice
}

// change replaces an endpoint of one of the other tenants' Services.
func (s *stopwatch) change(st *store.Store, i int) {
	b, slice := victim(i)
	s.mu.Lock()
	s.began[b] = s.now()
	s.mu.Unlock()
	st.Update(func(tx *store.Tx) { tx.SetSlice(slice) })
}

// wait returns when the kernel has all changes.
func (s *stopwatch) wait(b *testing.B) {
	b.Helper()
	late := time.After(time.Minute)
	for {
		s.mu.Lock()
		left := len(s.began)
		s.mu.Unlock()
		if left == 0 {
			return
		}
		select {
		case <-s.done:
		case <-late:
			b.Fatalf("%d changes of other tenants are not in the kernel after a minute", left)
		}
	}
}

func (s *stopwatch) report(b *testing.B) {
	b.Helper()
	slices.Sort(s.took)
	slices.Sort(s.used)
	at := func(list []time.Duration, q float64) float64 {
		return list[int(q*float64(len(list)-1))].Seconds() * 1e3
	}
	b.ReportMetric(at(s.took, 0.5), "p50-ms")
	b.ReportMetric(at(s.took, 0.99), "p99-ms")
	b.ReportMetric(at(s.took, 1), "max-ms")
	b.ReportMetric(at(s.used, 0.5), "p50-cpu-ms")
	b.ReportMetric(at(s.used, 0.99), "p99-cpu-ms")
}

// moment is a time, with the processor time that the loop has used until then.
type moment struct {
	time.Time
	used time.Duration
}

func (s *stopwatch) now() moment {
	var used unix.Timespec
	_ = unix.ClockGettime(s.clock, &used)
	return moment{time.Now(), time.Duration(used.Nano())}
}

// follow runs the loop on a thread of its own, so that its processor time can be read.
func (s *stopwatch) follow(wg *sync.WaitGroup, loop func()) {
	started := make(chan struct{})
	wg.Go(func() {
		runtime.LockOSThread()
		s.clock = ^int32(unix.Gettid())<<3 | 6 // CPUCLOCK_PERTHREAD, CPUCLOCK_SCHED
		close(started)
		loop()
	})
	<-started
}

// check reads the table and looks for the newest changes.
func (s *stopwatch) check(b *testing.B, w *world, last int) {
	b.Helper()
	found, err := w.table.Load(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	have := map[backend]bool{}
	for e := range found.Elements.All() {
		have[backend{e.Key, e.Data}] = true
	}
	for i := max(0, last-victimServices+1); i <= last; i++ {
		if want, _ := victim(i); !have[want] {
			b.Fatalf("the kernel does not have %v", want)
		}
	}
}
