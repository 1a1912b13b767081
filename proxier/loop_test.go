// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/types"
	kmetrics "k8s.io/component-base/metrics"
	"k8s.io/klog/v2"

	"fairlead/internal/healthcheck"
	"fairlead/internal/inet"
	"fairlead/nat"
	"fairlead/nat/ruleset"
	"fairlead/proxier/metrics"
	"fairlead/proxier/objects"
	"fairlead/proxier/store"
)

// fakeTable is a kernel that says yes, unless told otherwise. Safe for
// concurrent use.
type fakeTable struct {
	mu     sync.Mutex
	answer func(ruleset.Batch) error
	asked  []time.Time // commits, taken or not
	taken  strings.Builder
	loads  int
	poke   func(nat.Writer)
}

func (f *fakeTable) Load(context.Context) (*ruleset.Snapshot, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.loads++
	return &ruleset.Snapshot{}, nil
}

func (f *fakeTable) Commit(_ context.Context, b ruleset.Batch) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, time.Now())
	if len(f.asked) > 10000 {
		return nat.ErrPermission // instead of hanging
	}
	if f.answer != nil {
		if err := f.answer(b); err != nil {
			return err
		}
	}
	f.taken.WriteString(b.String())
	return nil
}

func (f *fakeTable) Watch(ctx context.Context, poke func(nat.Writer)) error {
	f.mu.Lock()
	f.poke = poke
	f.mu.Unlock()
	<-ctx.Done()
	return nil
}

// watcher reports a change by another program.
func (f *fakeTable) watcher() { f.poke(nat.Writer{Name: "nft", PID: 7}) }

// say replaces the answer to commits and returns how many there were.
func (f *fakeTable) say(answer func(ruleset.Batch) error) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer = answer
	return len(f.asked)
}

func (f *fakeTable) has(text string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Contains(f.taken.String(), text)
}

// refusing answers every batch that mentions one of the texts with an error.
func refusing(texts ...string) func(ruleset.Batch) error {
	return func(b ruleset.Batch) error {
		s := b.String()
		if slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(s, text) }) {
			return unix.EINVAL
		}
		return nil
	}
}

// loop is a running Proxier on a fake kernel, in the time of synctest.
type loop struct {
	*Proxier
	table *fakeTable
	store *store.Store
}

func inLoop(t *testing.T, f func(t *testing.T, l *loop)) {
	t.Helper()
	inLoopWith(t, metrics.NewMetrics(func(...kmetrics.Registerable) {}), f)
}

func inLoopWith(t *testing.T, m *metrics.Metrics, f func(t *testing.T, l *loop)) {
	t.Helper()
	inWaitingLoop(t, m, func(t *testing.T, l *loop) {
		t.Helper()
		l.store.Delivered("somebody")
		f(t, l)
	})
}

// inWaitingLoop starts a loop whose store expects somebody.
func inWaitingLoop(t *testing.T, m *metrics.Metrics, f func(t *testing.T, l *loop)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := &loop{table: &fakeTable{}, store: store.New()}
		l.Proxier = New(testConfig(), l.store, Deps{Table: l.table, Metrics: m})
		l.store.Expect("somebody")
		l.store.Update(func(tx *store.Tx) {
			tx.SetNode(&objects.Node{Name: "node-a", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}})
		})
		ctx, stop := context.WithCancel(klog.NewContext(t.Context(), klog.Logger{}))
		done := make(chan error, 1)
		go func() { done <- l.Run(ctx) }()
		f(t, l)
		stop()
		if err := <-done; err != nil {
			t.Errorf("Run() = %v, want nil", err)
		}
	})
}

// after lets d pass and everything settle.
func (l *loop) after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// put stores a Service with the ClusterIP 10.96.0.n and one endpoint.
func (l *loop) put(n, endpoint byte) {
	l.store.Update(func(tx *store.Tx) { putService(tx, n, endpoint) })
}

// putMany stores Services 0 to n-1 at once.
func (l *loop) putMany(n byte) {
	l.store.Update(func(tx *store.Tx) {
		for i := range n {
			putService(tx, i, 1)
		}
	})
}

func putService(tx *store.Tx, n, endpoint byte) {
	key := types.NamespacedName{Namespace: "default", Name: fmt.Sprintf("s%02d", n)}
	tx.SetService(&objects.Service{
		Key: key, ClusterIPs: []netip.Addr{netip.AddrFrom4([4]byte{10, 96, 0, n})},
		Ports: []objects.ServicePort{{Proto: inet.TCP, Port: 80}},
	})
	tx.SetSlice(&objects.Slice{
		Key: key, Service: key, Ports: []objects.SlicePort{{Proto: inet.TCP, Port: 8080}},
		Endpoints: []objects.Endpoint{{Addr: netip.AddrFrom4([4]byte{10, 244, n, endpoint}), Ready: true}},
	})
}

func TestRunWaitsForSources(t *testing.T) {
	inWaitingLoop(t, metrics.NewMetrics(func(...kmetrics.Registerable) {}), func(t *testing.T, l *loop) {
		t.Helper()
		l.put(1, 1)
		l.after(time.Minute)
		if l.table.loads > 0 || len(l.table.asked) > 0 || l.Ready() {
			t.Errorf("before the first list: %d loads, %d commits, ready %v", l.table.loads, len(l.table.asked), l.Ready())
		}
		l.store.Delivered("somebody")
		l.after(0)
		if !l.table.has("10.96.0.1 . tcp . 80") || !l.Ready() || l.Behind() != 0 {
			t.Errorf("after it: ready %v, behind %v, and the kernel has\n%s", l.Ready(), l.Behind(), &l.table.taken)
		}
	})
}

// TestRunBacksOff looks at when commits are tried again, and that one event is
// enough to try at once.
func TestRunBacksOff(t *testing.T) {
	inLoop(t, func(t *testing.T, l *loop) {
		t.Helper()
		l.after(0)
		start := time.Now()
		before := l.table.say(func(ruleset.Batch) error { return nat.ErrPermission })
		l.put(1, 1)
		l.after(2 * time.Second)
		var got []time.Duration
		for _, at := range l.table.asked[before:] {
			got = append(got, at.Sub(start))
		}
		want := []time.Duration{0, 100 * time.Millisecond, 300 * time.Millisecond, 700 * time.Millisecond, 1500 * time.Millisecond}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("commits were tried at (-want +got):\n%s", diff)
		}
		if l.Behind() != 2*time.Second {
			t.Errorf("Behind() = %v, want 2s", l.Behind())
		}
		l.table.say(nil)
		l.put(2, 1)
		l.after(0)
		if !l.table.has("10.96.0.1 .") || !l.table.has("10.96.0.2 .") || l.Behind() != 0 {
			t.Errorf("behind %v after an event, and the kernel has\n%s", l.Behind(), &l.table.taken)
		}
	})
}

// TestRunKeepsRefused has the kernel refuse one frontend for a while, during
// which others change all the time. It stays reported, and it is tried again.
func TestRunKeepsRefused(t *testing.T) {
	inLoop(t, func(t *testing.T, l *loop) {
		t.Helper()
		l.table.say(refusing("10.96.0.2 ."))
		l.put(1, 1)
		l.put(2, 1)
		l.put(3, 1)
		l.after(0)
		want := []objects.Problem{{Kind: objects.KindService, Name: "default/s02", Field: "spec.clusterIPs", Text: "the kernel refuses 10.96.0.2:80/tcp: invalid argument"}}
		for i := range byte(100) {
			l.put(3, 2+i)
			l.after(40 * time.Millisecond)
			if diff := cmp.Diff(want, l.book.Problems()); diff != "" {
				t.Fatalf("problems after %d other events (-want +got):\n%s", i+1, diff)
			}
		}
		if !l.table.has("10.96.0.1 .") || !l.table.has("10.244.3.101 .") {
			t.Errorf("the others were not served:\n%s", &l.table.taken)
		}
		l.table.say(nil)
		for i := range byte(100) {
			l.put(3, 102+i)
			l.after(40 * time.Millisecond)
		}
		if !l.table.has("10.96.0.2 .") {
			t.Error("the frontend was not tried again within 4 s of events")
		}
		if diff := cmp.Diff([]objects.Problem(nil), l.book.Problems()); diff != "" {
			t.Errorf("problems in the end (-want +got):\n%s", diff)
		}
	})
}

// TestRunBlamesOne leaves a frontend that needs nothing in the same batch as one
// that the kernel refuses.
func TestRunBlamesOne(t *testing.T) {
	inLoop(t, func(t *testing.T, l *loop) {
		t.Helper()
		l.table.say(func(ruleset.Batch) error { return nat.ErrPermission })
		l.put(1, 1)
		l.put(2, 1)
		l.after(0)
		l.table.say(refusing("10.96.0.2 ."))
		l.store.Update(func(tx *store.Tx) { tx.DeleteService(types.NamespacedName{Namespace: "default", Name: "s01"}) })
		l.put(3, 1)
		l.after(0)
		if n := len(l.table.asked); n > 50 {
			t.Errorf("%d commits to find one frontend", n)
		}
		if got := l.book.Problems(); len(got) != 1 || got[0].Name != "default/s02" {
			t.Errorf("problems: %v, want one, of default/s02", got)
		}
		if !l.table.has("10.96.0.3 .") {
			t.Errorf("the rest is not served:\n%s", &l.table.taken)
		}
	})
}

// TestRunBlamesNobody has commits fail for a reason that is no frontend's.
func TestRunBlamesNobody(t *testing.T) {
	inLoop(t, func(t *testing.T, l *loop) {
		t.Helper()
		l.after(0)
		before := l.table.say(func(ruleset.Batch) error { return fmt.Errorf("commit: %w", unix.ENOMEM) })
		l.putMany(50)
		l.after(0)
		if n := len(l.table.asked) - before; n != 1 || len(l.book.Problems()) != 0 {
			t.Errorf("%d commits, problems %v; want one commit and no problem", n, l.book.Problems())
		}
	})
}

// TestRunBlamesMany has the kernel refuse every element, each for itself: a frontend and a
// ClusterIP for each Service. That may not cost a search for each of them.
func TestRunBlamesMany(t *testing.T) {
	inLoop(t, func(t *testing.T, l *loop) {
		t.Helper()
		l.after(0)
		l.table.say(func(b ruleset.Batch) error {
			if strings.Contains(b.String(), " element ") {
				return unix.EINVAL
			}
			return nil
		})
		l.putMany(250)
		l.after(0)
		if n := len(l.table.asked); n > 550 {
			t.Errorf("%d commits in the first pass", n)
		}
		if n := len(l.book.Problems()); n != 250 {
			t.Errorf("%d problems, want 250", n)
		}
		l.table.say(nil)
		l.after(time.Second)
		if n := l.desired.state.Pending(); n != 0 || !l.Ready() || len(l.book.Problems()) != 0 {
			t.Errorf("%d frontends pending, ready %v, problems %v after the kernel has recovered", n, l.Ready(), l.book.Problems())
		}
	})
}

func TestRunRepairs(t *testing.T) {
	inLoop(t, func(t *testing.T, l *loop) {
		t.Helper()
		l.put(1, 1)
		l.after(0)
		l.table.taken.Reset() // somebody has flushed the ruleset
		l.table.watcher()
		l.after(0)
		if !l.table.has("10.96.0.1 . tcp . 80") || l.table.loads != 2 {
			t.Errorf("%d loads, and the kernel has\n%s", l.table.loads, &l.table.taken)
		}
	})
}

// TestRunFight lets another program flush the table 100 times a second for a minute. The
// first change is repaired at once; then there is one load a second, and meanwhile
// changes of endpoints do not wait. After peace the next repair is immediate again.
func TestRunFight(t *testing.T) {
	inLoop(t, func(t *testing.T, l *loop) {
		t.Helper()
		l.put(1, 1)
		l.after(0)
		before := l.table.loads
		l.table.watcher()
		l.after(0)
		if got := l.table.loads - before; got != 1 {
			t.Fatalf("%d loads at the first change, want 1", got)
		}
		for i := range 6000 {
			l.table.watcher()
			l.after(10 * time.Millisecond)
			if i%500 != 0 {
				continue
			}
			l.put(2, byte(i/500+1))
			l.after(0)
			if text := fmt.Sprintf("10.244.2.%d . 8080", i/500+1); !l.table.has(text) {
				t.Errorf("an endpoint that came %d ms after the start of the fight waits", 10*i)
			}
		}
		if got := l.table.loads - before; got < 55 || got > 70 {
			t.Errorf("%d loads within a minute, want about one a second", got)
		}
		before = l.table.loads
		l.after(lastPause)
		if got := l.table.loads - before; got > 1 {
			t.Errorf("%d loads after the last change, want at most 1", got)
		}
		l.after(peace)
		before = l.table.loads
		l.table.watcher()
		l.after(0)
		if got := l.table.loads - before; got != 1 {
			t.Errorf("%d loads at the first change after peace, want 1", got)
		}
	})
}

// TestFightLines counts the lines about a fight.
func TestFightLines(t *testing.T) {
	nft := nat.Writer{Name: "nft", PID: 7}
	for _, tt := range []struct {
		name string
		by   func(i int) nat.Writer
		want int // repairs before the line about the fight
	}{
		{"named", func(int) nat.Writer { return nft }, fightRepairs - 1},
		{"named once", func(i int) nat.Writer {
			if i == 1 {
				return nft
			}
			return nat.Writer{}
		}, fightRepairs - 1},
		{"named late", func(i int) nat.Writer {
			if i == 5 {
				return nft
			}
			return nat.Writer{}
		}, 5},
		{"unnamed", func(int) nat.Writer { return nat.Writer{} }, fightUnnamed - 1},
	} {
		var f fight
		repairs, fights := 0, 0
		now := time.Unix(1e9, 0)
		for i := range 3600 { // one hour
			now = now.Add(time.Second)
			f.wait(now)
			f.loading(now)
			repair, fought := f.repaired(now, tt.by(i))
			if repair {
				repairs++
			}
			if fought {
				fights++
			}
			if fought && tt.name != "unnamed" && f.by != nft {
				t.Errorf("%s: the line about the fight names %v", tt.name, f.by)
			}
		}
		if repairs != tt.want || fights != 6 {
			t.Errorf("%s: %d lines about repairs and %d about the fight, want %d and 6", tt.name, repairs, fights, tt.want)
		}
	}
}

// TestRunDoesNothing counts what an event costs that changes nothing.
func TestRunDoesNothing(t *testing.T) {
	inLoop(t, func(t *testing.T, l *loop) {
		t.Helper()
		l.put(1, 1)
		l.after(0)
		n, loads := l.table.say(nil), l.table.loads
		l.put(1, 1)
		l.store.Update(func(tx *store.Tx) { tx.SetNode(&objects.Node{Name: "node-b"}) })
		l.after(time.Hour)
		if len(l.table.asked) != n || l.table.loads != loads {
			t.Errorf("%d commits and %d loads, want none", len(l.table.asked)-n, l.table.loads-loads)
		}
	})
}

// TestRunTellsOfCommittedOnly has the kernel refuse one of two Services: nobody is
// told that its endpoints can be reached, and the metric does not count its change,
// until the kernel takes it.
func TestRunTellsOfCommittedOnly(t *testing.T) {
	registry := kmetrics.NewKubeRegistry()
	inLoopWith(t, metrics.NewMetrics(registry.MustRegister), func(t *testing.T, l *loop) {
		t.Helper()
		asked := &askedHealth{ports: map[healthcheck.Name]uint16{}, local: map[healthcheck.Name]int{}}
		l.after(0)
		l.health = asked
		l.table.say(refusing("10.96.0.1 ."))
		change := func(endpoint byte) {
			l.store.Update(func(tx *store.Tx) {
				for n := byte(1); n <= 2; n++ {
					key := types.NamespacedName{Namespace: "default", Name: fmt.Sprint("s", n)}
					tx.SetService(&objects.Service{
						Key: key, ClusterIPs: []netip.Addr{netip.AddrFrom4([4]byte{10, 96, 0, n})},
						Ports: []objects.ServicePort{{Proto: inet.TCP, Port: 80}}, HealthCheckNodePort: 1000 + uint16(n),
					})
					tx.SetSlice(&objects.Slice{
						Key: key, Service: key, Ports: []objects.SlicePort{{Proto: inet.TCP, Port: 8080}}, Changed: time.Now().Add(time.Nanosecond),
						Endpoints: []objects.Endpoint{{Addr: netip.AddrFrom4([4]byte{10, 244, n, endpoint}), Ready: true, Node: objects.NameOf("node-a")}},
					})
				}
			})
		}
		check := func(when, health string, programmed uint64) {
			t.Helper()
			if got := asked.String(); got != health {
				t.Errorf("%s: health %s, want %s", when, got, health)
			}
			if got := observations(t, registry, "kubeproxy_network_programming_duration_seconds"); got != programmed {
				t.Errorf("%s: %d changes are programmed, want %d", when, got, programmed)
			}
		}
		l.after(time.Second)
		change(1)
		l.after(0)
		check("while the kernel refuses one", "s1:1001=0 s2:1002=1", 1)
		l.table.say(nil)
		l.after(time.Minute)
		check("once it takes both", "s1:1001=1 s2:1002=1", 2)
	})
}

// observations returns how often a histogram was observed.
func observations(t *testing.T, registry kmetrics.Gatherer, name string) uint64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetHistogram().GetSampleCount()
		}
	}
	return 0
}
