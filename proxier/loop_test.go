// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
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
		if l.table.loads.Load() > 0 || len(l.table.commits()) > 0 || l.Ready() {
			t.Errorf("before the first list: %d loads, %d commits, ready %v", l.table.loads.Load(), len(l.table.commits()), l.Ready())
		}
		l.store.Delivered("somebody")
		l.after(0)
		if !l.table.has("10.96.0.1 . tcp . 80") || !l.Ready() || l.Behind() != 0 {
			t.Errorf("after it: ready %v, behind %v, and the kernel has\n%s", l.Ready(), l.Behind(), l.table.text())
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
		for _, at := range l.table.commits()[before:] {
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
			t.Errorf("behind %v after an event, and the kernel has\n%s", l.Behind(), l.table.text())
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
			t.Errorf("the others were not served:\n%s", l.table.text())
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
		if n := len(l.table.commits()); n > 50 {
			t.Errorf("%d commits to find one frontend", n)
		}
		if got := l.book.Problems(); len(got) != 1 || got[0].Name != "default/s02" {
			t.Errorf("problems: %v, want one, of default/s02", got)
		}
		if !l.table.has("10.96.0.3 .") {
			t.Errorf("the rest is not served:\n%s", l.table.text())
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
		if n := len(l.table.commits()) - before; n != 1 || len(l.book.Problems()) != 0 {
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
		if n := len(l.table.commits()); n > 550 {
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

// TestRunDoesNothing counts what an event costs that changes nothing.
func TestRunDoesNothing(t *testing.T) {
	inLoop(t, func(t *testing.T, l *loop) {
		t.Helper()
		l.put(1, 1)
		l.after(0)
		n, loads := l.table.say(nil), l.table.loads.Load()
		l.put(1, 1)
		l.store.Update(func(tx *store.Tx) { tx.SetNode(&objects.Node{Name: "node-b"}) })
		l.after(time.Hour)
		if len(l.table.commits()) != n || l.table.loads.Load() != loads {
			t.Errorf("%d commits and %d loads, want none", len(l.table.commits())-n, l.table.loads.Load()-loads)
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
