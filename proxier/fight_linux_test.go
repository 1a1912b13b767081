// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	kmetrics "k8s.io/component-base/metrics"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/textlogger"

	"fairlead/internal/inet"
	"fairlead/internal/nft"
	"fairlead/internal/nl"
	"fairlead/internal/nstest"
	"fairlead/nat"
	"fairlead/nat/kernel"
	"fairlead/nat/nattest"
	"fairlead/nat/ruleset"
	"fairlead/proxier/metrics"
	"fairlead/proxier/proxiertest"
	"fairlead/proxier/status"
)

// run starts the loop on the real table until the test ends, with its log.
func (w *world) run(t testing.TB) *nstest.Log {
	t.Helper()
	log := &nstest.Log{}
	ctx, cancel := context.WithCancel(klog.NewContext(t.Context(), textlogger.NewLogger(textlogger.NewConfig(textlogger.Output(log)))))
	done := make(chan error)
	go func() { done <- w.p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	for deadline := time.Now().Add(60 * time.Second); !w.p.Ready(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the agent is not ready:\n%s", log)
		}
	}
	return log
}

// TestRepairReported has nft change one object of each kind. The repair is counted by
// kind, and the log and an Event name what was found and the process of nft.
func TestRepairReported(t *testing.T) {
	for kind, tt := range map[string]struct{ damage, found string }{
		"table":   {"add table inet fairlead { flags dormant; }", "1 table (flags 0x1)"},
		"set":     {"add set inet fairlead mine { type ipv4_addr; }", "1 set (mine)"},
		"chain":   {"add chain inet fairlead postrouting { policy drop; }", "1 chain (postrouting)"},
		"object":  {"add counter inet fairlead mine", "1 object (object mine)"},
		"element": {"add element inet fairlead vips4 { 192.0.2.7 . tcp . 1 : goto refuse }", "1 element (192.0.2.7:1/tcp)"},
	} {
		t.Run(kind, func(t *testing.T) {
			w := newTestWorld(t)
			registry := kmetrics.NewKubeRegistry()
			w.p = New(w.cfg, w.store, Deps{Table: w.table, Metrics: metrics.NewMetrics(registry.MustRegister)})
			events, client := newTestEvents(t)
			w.p.events = events
			log := w.run(t)
			proxiertest.Eventually(t, "the load after the start of the watch", func() bool { return w.table.armed.Load() && w.p.changed.Load() == 0 })
			full, rules, named := w.table.loads.Load(), w.table.rules.Load(), w.table.named.Load()
			cmd := nstest.Command(t, w.ns, "nft", tt.damage)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("nft %s: %v\n%s", tt.damage, err, out)
			}
			line := fmt.Sprintf(`"Repaired the table after another program changed it" found=%q by="nft (pid %d)"`, tt.found, cmd.Process.Pid)
			proxiertest.Eventually(t, line, func() bool { return strings.Contains(log.String(), line) })
			if n := strings.Count(log.String(), "changed it"); n != 1 {
				t.Errorf("%d lines about one change:\n%s", n, log)
			}
			full, rules, named = w.table.loads.Load()-full, w.table.rules.Load()-rules, w.table.named.Load()-named
			if partly := kind == "chain" || kind == "element"; partly && full > 0 || !partly && full == 0 || (kind == "chain") != (rules > 0) || (kind == "element") != (named > 0) {
				t.Errorf("%d loads of everything, %d of rules and %d of elements", full, rules, named)
			}
			counted := fmt.Sprintf("fairlead_drift_repairs_total kind=%s 1", kind)
			if got := proxiertest.Scrape(t, registry); !slices.Contains(got, counted) {
				t.Errorf("no %q in\n%s", counted, strings.Join(got, "\n"))
			}
			event := fmt.Sprintf("after nft (pid %d) changed it: %s", cmd.Process.Pid, tt.found)
			proxiertest.Eventually(t, event, func() bool { return strings.Contains(strings.Join(eventsOf(t, client), "\n"), event) })
		})
	}
}

// fighter keeps changing the rules of the table, as fast as it can and with a process for each
// change, until the test ends.
func (w *world) fighter(t testing.TB) {
	t.Helper()
	w.start(t, nstest.Command(t, w.ns, "sh", "-c", `while :; do
		nft insert rule inet fairlead services accept
		nft flush chain inet fairlead services
	done >/dev/null 2>&1`))
}

// start runs a program until end is called, or the test ends.
func (w *world) start(t testing.TB, cmd *exec.Cmd) (end func()) {
	t.Helper()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	end = sync.OnceFunc(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	})
	t.Cleanup(end)
	return end
}

// TestFightNamed fights with nft. One line names the program, and a change of endpoints
// does not wait for the next repair.
func TestFightNamed(t *testing.T) {
	w := newTestWorld(t)
	log := w.run(t)
	w.fighter(t)
	proxiertest.Eventually(t, "a line about the fight", func() bool {
		return strings.Contains(log.String(), `"Warning: another program keeps changing the table, repairing it at most once per second: stop that program" by="nft (pid `)
	})
	start := time.Now()
	if err := w.apply(`
apiVersion: v1
kind: Service
metadata: {namespace: default, name: new}
spec: {clusterIP: 10.96.0.77, ports: [{port: 80, protocol: TCP}]}
`); err != nil {
		t.Fatal(err)
	}
	key := nattest.Addr("10.96.0.77:80", inet.TCP)
	served := func() bool {
		_, err := nstest.Command(t, w.ns, "nft", "get", "element", "inet", "fairlead", "vips4", "{ 10.96.0.77 . tcp . 80 }").Output()
		return err == nil
	}
	proxiertest.Eventually(t, key.String()+" is served", served)
	t.Logf("a change took %s during the fight", time.Since(start))
	time.Sleep(2 * time.Second)
	if n := strings.Count(log.String(), "keeps changing the table"); n != 1 {
		t.Errorf("%d lines about the fight, want 1:\n%s", n, log)
	}
}

// BenchmarkFight measures what a program costs that keeps changing a table whose Services have
// 10 endpoints each: the agent's share of one processor, with what the kernel does for it. The
// fight over clients finds 20,000 of them, and Services that all remember theirs. Services
// remember theirs in the kinds sticky-rules and sticky-mixed, too.
func BenchmarkFight(b *testing.B) {
	nstest.Need(b)
	for _, what := range []string{"nft", "rules", "chains", "adds", "many", "deletes", "replaces", "backends", "shared", "ranges", "clients", "mixed", "flushes", "sticky-rules", "sticky-mixed"} {
		for _, services := range []int{1000, 10000} {
			b.Run(fmt.Sprintf("what=%s/services=%d", what, services), func(b *testing.B) { fightBenchmark(b, what, services) })
		}
	}
}

func fightBenchmark(b *testing.B, what string, services int) {
	b.Helper()
	w, err := newWorld()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(w.close)
	w.p.history = status.NewHistory()
	w.cleanClients(b)
	what, sticky := strings.CutPrefix(what, "sticky-")
	for i := range services {
		f := nat.Frontend{Policy: nat.Internal, Exclusive: true, Owner: fmt.Sprintf("default/s%d", i), Backends: nattest.Pods(10)}
		if sticky || what == "clients" {
			f.Affinity = time.Hour
		}
		w.p.desired.state.Set(servicesKey(i), f)
	}
	w.table.quiet = true
	w.run(b)
	proxiertest.Eventually(b, "all is written", func() bool { return w.p.changed.Load() == 0 && w.p.Behind() == 0 })
	if what == "clients" {
		w.remember(b, 20000)
	}
	if what == "nft" {
		w.fighter(b)
	} else {
		w.quarrel(b, what, services)
	}
	time.Sleep(5 * time.Second) // until the pauses between repairs are the longest
	whole, parts, repairs, generation := w.table.loads.Load(), w.table.rules.Load()+w.table.named.Load(), w.p.history.Past().AllRepairs, w.generation(b)
	before, start := processorTime(b), time.Now()
	for b.Loop() {
		time.Sleep(10 * time.Second)
	}
	took := time.Since(start)
	b.ReportMetric(100*float64(processorTime(b)-before)/float64(took), "%cpu")
	b.ReportMetric(float64(w.table.loads.Load()-whole)/took.Seconds(), "loads/s")
	b.ReportMetric(float64(w.table.rules.Load()+w.table.named.Load()-parts)/took.Seconds(), "readings/s")
	b.ReportMetric(float64(w.generation(b)-generation)/took.Seconds(), "changes/s")
	b.ReportMetric(float64(w.p.history.Past().AllRepairs-repairs)/took.Seconds(), "repairs/s")
}

// remember makes the table remember clients of a Service, as their packets would.
func (w *world) remember(b *testing.B, n int) {
	b.Helper()
	table, err := kernel.Open(w.ns)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = table.Close() }()
	key := servicesKey(100)
	for i := range n {
		if err := table.Commit(b.Context(), ruleset.Batch{clientOp(key, [2]byte{198, 19}, i, nattest.Pods(1)[0].AddrPort())}); err != nil {
			b.Fatal(err)
		}
	}
	for quiet := 0; quiet < 5; time.Sleep(lastPause / 2) { // until the agent has looked at them
		if quiet++; w.p.changed.Load() != 0 || w.p.Behind() > 0 {
			quiet = 0
		}
	}
}

// cleanClients runs a cleaner of affinity maps until the benchmark ends.
func (w *world) cleanClients(b *testing.B) {
	b.Helper()
	cleaner := kernel.NewAffinityCleaner(w.ns)
	w.p.clients = cleaner
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error)
	go func() { done <- cleaner.Run(ctx, func(int, error) {}) }()
	b.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
	})
}

// generation returns the number of the last transaction.
func (w *world) generation(tb testing.TB) uint32 {
	tb.Helper()
	socket, err := nl.Dial(nl.Config{Protocol: unix.NETLINK_NETFILTER, Namespace: w.ns})
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = socket.Close() }()
	var m nl.Messages
	nft.Table{}.Begin(&m, unix.NFT_MSG_GETGEN, 0)
	var id uint32
	if err := socket.Get(&m, func(r nl.Reply) { id = nft.ReadGeneration(r) }); err != nil {
		tb.Fatal(err)
	}
	return id
}

// processorTime returns how long this process has run on a processor.
func processorTime(tb testing.TB) time.Duration {
	tb.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
