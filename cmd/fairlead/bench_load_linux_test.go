// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/watch"

	"fairlead/internal/nl"
	"fairlead/internal/worker"
	"fairlead/nat/kernel"
)

const (
	loadServices  = 10_000
	loadEndpoints = 10
	loadRate      = 1000 // changes a second, unless told otherwise
	loadGrowth    = 10   // percent by which a figure may grow from the first quarter on
	// loadLong is how long a run has to be for that: in a shorter one memory grows to the target
	// of the garbage collector.
	loadLong = time.Minute
)

// BenchmarkLoad changes an endpoint of one of 10,000 Services 1,000 times a second, and
// measures how long the kernel takes to notify of the new address. FAIRLEAD_LOAD says for
// how long, a minute unless set. Memory, goroutines, descriptors and elements of the table
// must not grow from the first quarter of the time to its end, if that is a minute or more. It reports what the agent
// and the benchmark itself used of the processors, and for how long their threads waited
// for one, which says how much of the delay is the machine's. FAIRLEAD_RATE is another number
// of changes a second, FAIRLEAD_AGENTS names binaries that take turns, as in BenchmarkStart, and
// FAIRLEAD_PROFILE names a directory for a profile and a trace of the agent. Among the binaries
// may be bare-watch and, behind an agent, bare-write: see runFloor.
func BenchmarkLoad(b *testing.B) {
	length := 2 * time.Minute // the agent needs half a minute to choose the target of its collector
	if text := os.Getenv("FAIRLEAD_LOAD"); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil {
			b.Fatal(err)
		}
	}
	table, err := kernel.Open(nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = table.Close() })
	if err := table.Delete(b.Context()); err != nil {
		b.Fatal(err)
	}
	rate := loadRate
	if text := os.Getenv("FAIRLEAD_RATE"); text != "" {
		if rate, err = strconv.Atoi(text); err != nil || rate < 1 {
			b.Fatalf("FAIRLEAD_RATE=%s is no number of changes a second", text)
		}
	}
	api := newBenchAPI(b, loadServices, loadEndpoints)
	for _, agent := range benchAgents() {
		b.Run(filepath.Base(agent), func(b *testing.B) {
			l := &loadRun{api: api, rate: rate, sent: map[[4]byte]time.Time{}}
			l.start(b, agent)
			for b.Loop() {
				l.run(b, length)
			}
			l.report(b)
		})
	}
}

// loadRun is one agent under load.
type loadRun struct {
	api  *benchAPI
	rate int // changes a second
	pid  int
	// length is how long the last run took.
	length time.Duration
	// floor is set for a program that is no agent, and has no metrics.
	floor bool

	mu    sync.Mutex
	sent  map[[4]byte]time.Time // new addresses that the kernel does not have yet
	lags  []time.Duration
	early loadUse // after the first quarter
	late  loadUse // in the end
	lost  int     // notifications
}

// loadUse is what the agent uses.
type loadUse struct{ memory, goroutines, files, elements int }

// start runs an agent, or a floor, and listens to the kernel.
func (l *loadRun) start(b *testing.B, agent string) {
	b.Helper()
	var cmd *exec.Cmd
	if l.floor = isFloor(agent); l.floor {
		cmd = startFloor(b, agent, l.api.addr)
	} else {
		cmd = l.startAgent(b, agent)
	}
	l.pid = cmd.Process.Pid
	b.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	l.listen(b)
}

// startAgent starts an agent and returns when it is ready.
func (l *loadRun) startAgent(b *testing.B, agent string) *exec.Cmd {
	b.Helper()
	cmd := exec.Command(agent, "run", "--node-name", "node-a", "--cluster-cidr", "10.0.0.0/8",
		"--kubeconfig", kubeconfig(b, l.api.addr), "--healthz-bind-address", benchHealth, "--metrics-bind-address", benchMetrics, "--profiling")
	cmd.Env = append(os.Environ(), "FAIRLEAD_PROFILE=") // which is of the start
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(b.Context(), 5*time.Minute)
	defer cancel()
	if !worker.Await(ctx, 10*time.Millisecond, func() bool { return isReady(ctx, "http://"+benchHealth+"/readyz") }) {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		b.Fatal("the agent is not ready")
	}
	return cmd
}

// listen follows the notifications of the kernel until the benchmark ends.
func (l *loadRun) listen(b *testing.B) {
	b.Helper()
	s, err := nl.Dial(nl.Config{Protocol: unix.NETLINK_NETFILTER, Groups: []uint32{unix.NFNLGRP_NFTABLES}, ReceiveBuffer: 32 << 20})
	if err != nil {
		b.Fatal(err)
	}
	var listening sync.WaitGroup
	l.lost = -1 // Listen says once that notifications from before are not known
	listen, stop := context.WithCancel(b.Context())
	listening.Go(func() { _ = s.Listen(listen, l.seen, nil, func() { l.mu.Lock(); l.lost++; l.mu.Unlock() }) })
	b.Cleanup(func() {
		stop()
		listening.Wait()
		_ = s.Close()
	})
}

// address returns the n-th new address of an endpoint. All begin with 10.200.
func loadAddress(n int) [4]byte {
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], 10<<24|200<<16|uint32(n)%(1<<16))
	return a
}

// seen finds new addresses in a notification.
func (l *loadRun) seen(r nl.Reply) {
	now := time.Now()
	for body := r.Body; ; {
		i := bytes.Index(body, []byte{10, 200})
		if i < 0 || len(body) < i+4 {
			return
		}
		key := [4]byte(body[i : i+4])
		body = body[i+2:]
		l.mu.Lock()
		if at, ok := l.sent[key]; ok {
			delete(l.sent, key)
			l.lags = append(l.lags, now.Sub(at))
		}
		l.mu.Unlock()
	}
}

// run makes changes for a time.
func (l *loadRun) run(b *testing.B, length time.Duration) {
	b.Helper()
	const burst = 10 * time.Millisecond
	tick := time.NewTicker(burst)
	defer tick.Stop()
	total, quarter, n := int(length/burst), int(length/burst)/4, 0
	l.length = length
	var all sync.WaitGroup
	if path := profilePath(b, "load"); path != "" && !l.floor {
		all.Go(func() { fetch(b, "http://"+benchMetrics+"/debug/pprof/profile?seconds=5", path+".cpu") })
	}
	var from loadShares
	for i := range total {
		<-tick.C
		for ; n < (i+1)*l.rate*int(burst)/int(time.Second); n++ {
			l.change(b, n)
		}
		if i == quarter {
			l.early = l.use(b)
			all.Wait()
			if path := profilePath(b, "load"); path != "" && !l.floor {
				all.Go(func() { fetch(b, "http://"+benchMetrics+"/debug/pprof/trace?seconds=4", path+".trace") })
			}
			from = l.shares(b)
		}
	}
	to := l.shares(b)
	all.Wait()
	to.report(b, &from)
	changes := float64(l.rate) * to.at.Sub(from.at).Seconds()
	b.ReportMetric(float64((to.agentCPU-from.agentCPU).Microseconds())/changes, "agent-µs/change")
	b.ReportMetric(float64(to.switches-from.switches)/changes, "agent-switches/change")
	l.late = l.use(b)
}

// change gives one Service another last endpoint.
func (l *loadRun) change(b *testing.B, n int) {
	b.Helper()
	key := loadAddress(n)
	slice := benchSlice(n%loadServices, loadEndpoints)
	slice.Endpoints[loadEndpoints-1].Addresses = []string{netip.AddrFrom4(key).String()}
	frame := l.api.frame(b, watch.Modified, slice)
	l.mu.Lock()
	l.sent[key] = time.Now()
	l.mu.Unlock()
	select {
	case l.api.slices <- frame:
	case <-time.After(10 * time.Second):
		b.Fatal("the agent does not read its watch")
	}
}

func (l *loadRun) use(b *testing.B) loadUse {
	b.Helper()
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", l.pid))
	if err != nil {
		b.Fatal(err)
	}
	out, err := exec.Command("nft", "list", "map", "inet", "fairlead", "backends4").Output()
	if err != nil {
		b.Fatal(err)
	}
	return loadUse{
		memory: memory(b, l.pid, "VmRSS"), goroutines: l.metric(b, "go_goroutines"),
		files: len(files), elements: strings.Count(string(out), " comment "),
	}
}

func (l *loadRun) report(b *testing.B) {
	b.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	slices.Sort(l.lags)
	if len(l.lags) == 0 {
		if !l.floor {
			b.Fatal("the kernel notified of no change")
		}
		l.lags = []time.Duration{0} // of a program that writes nothing
	}
	at := func(q float64) float64 { return l.lags[int(q*float64(len(l.lags)-1))].Seconds() * 1e3 }
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(len(l.lags)), "changes")
	b.ReportMetric(at(0.5), "lag-p50-ms")
	b.ReportMetric(at(0.99), "lag-p99-ms")
	b.ReportMetric(at(1), "lag-max-ms")
	b.ReportMetric(float64(l.lost), "lost")
	for _, f := range []struct {
		name        string
		early, late int
	}{
		{"memory-MB", l.early.memory / 1e6, l.late.memory / 1e6}, {"goroutines", l.early.goroutines, l.late.goroutines},
		{"files", l.early.files, l.late.files}, {"elements", l.early.elements, l.late.elements},
	} {
		b.ReportMetric(float64(f.late), f.name)
		if l.length >= loadLong && f.late > f.early+f.early*loadGrowth/100+2 {
			b.Errorf("%s grew from %d to %d", f.name, f.early, f.late)
		}
	}
}
