// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/watch"

	"fairlead/internal/worker"
	"fairlead/nat/kernel"
)

// benchUpdates is how many changes of one slice follow a start, one each benchPause.
const (
	benchUpdates = 200
	benchPause   = 10 * time.Millisecond
)

// BenchmarkStart starts the agent as a process of its own beside an API server that
// costs little: first with an empty kernel, then again with the table in place. Then it
// changes one slice 100 times a second. It reports for both starts the time from exec to
// readiness, the processor time of that, the peak of resident memory and what is left of
// it at rest, and the processor time of one change. What the Go heap allocates does not
// depend on what else the machine does.
//
// FAIRLEAD_AGENTS names binaries to compare, separated by commas: they take turns. It is
// this test binary otherwise. FAIRLEAD_PROFILE names a directory for profiles of this
// binary until it is ready, of the heap of all binaries at rest, and of all binaries during
// the changes. The end of a file "mem" says what the runtime of Go takes besides the heap.
func BenchmarkStart(b *testing.B) {
	for _, size := range []struct{ services, endpoints int }{{1_000, 10}, {10_000, 10}, {25_000, 10}, {5_006, 50}, {30_000, 1}, {44_000, 1}, {100, 1_000}, {1, 65_000}} {
		for _, where := range []struct{ name, cidr string }{{"inside", "10.0.0.0/10"}, {"outside", "192.168.0.0/16"}} {
			b.Run(fmt.Sprintf("services=%d/endpoints=%d/%s", size.services, size.services*size.endpoints, where.name), func(b *testing.B) {
				api := newBenchAPI(b, size.services, size.endpoints)
				table, err := kernel.Open(nil)
				if err != nil {
					b.Fatal(err)
				}
				b.Cleanup(func() { _ = table.Close() })
				for _, agent := range benchAgents() {
					b.Run(filepath.Base(agent), func(b *testing.B) {
						run := benchRun{api: api, services: size.services, agent: agent, cidr: where.cidr}
						for b.Loop() {
							if err := table.Delete(b.Context()); err != nil {
								b.Fatal(err)
							}
							run.start.add(run.once(b, "start", nil))
							run.restart.add(run.once(b, "restart", func(pid int) { run.change(b, pid, size.endpoints) }))
						}
						run.report(b)
					})
				}
				if err := table.Delete(b.Context()); err != nil {
					b.Fatal(err)
				}
			})
		}
	}
}

func benchAgents() []string {
	if list := os.Getenv("FAIRLEAD_AGENTS"); list != "" {
		return strings.Split(list, ",")
	}
	return []string{"/proc/self/exe"}
}

// benchRun is what one agent does in one cluster.
type benchRun struct {
	api            *benchAPI
	services       int
	agent, cidr    string
	start, restart benchSum
	changes        time.Duration // processor time
	allocs         int           // objects that the changes allocated
}

// benchCost is what one start took.
type benchCost struct {
	ready, cpu time.Duration
	peak, rest int // bytes
	anonymous  int // bytes of rest that are no pages of the program
	most       int // bytes that were no pages of the program, at their most until readiness
	heap       int // bytes that were allocated until readiness
}

// benchSum adds up the costs of several starts.
type benchSum struct {
	benchCost
	n int
}

func (s *benchSum) add(c benchCost) {
	s.n++
	s.ready += c.ready
	s.cpu += c.cpu
	s.peak = max(s.peak, c.peak)
	s.rest = max(s.rest, c.rest)
	s.anonymous = max(s.anonymous, c.anonymous)
	s.most = max(s.most, c.most)
	s.heap += c.heap
}

func (s *benchSum) report(b *testing.B, name string) {
	b.Helper()
	n := float64(s.n)
	b.ReportMetric(float64(s.ready.Milliseconds())/n, name+"-ms")
	b.ReportMetric(float64(s.cpu.Milliseconds())/n, name+"-cpu-ms")
	b.ReportMetric(float64(s.peak)/1e6, name+"-peak-MB")
	b.ReportMetric(float64(s.most)/1e6, name+"-peak-anonymous-MB")
	b.ReportMetric(float64(s.rest)/1e6, name+"-rest-MB")
	b.ReportMetric(float64(s.anonymous)/1e6, name+"-rest-anonymous-MB")
	b.ReportMetric(float64(s.heap)/n/1e6, name+"-alloc-MB")
}

// Addresses of the agent.
const (
	benchHealth  = "127.0.0.1:20256"
	benchMetrics = "127.0.0.1:20249"
)

// once runs an agent until its memory is at rest, then calls also.
func (r *benchRun) once(b *testing.B, name string, also func(pid int)) benchCost {
	b.Helper()
	cmd := exec.Command(r.agent, "run", "--node-name", "node-a", "--cluster-cidr", r.cidr,
		"--kubeconfig", kubeconfig(b, r.api.addr), "--healthz-bind-address", benchHealth, "--metrics-bind-address", benchMetrics, "--profiling")
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	if path := profilePath(b, name); path != "" {
		cmd.Env = append(os.Environ(), "FAIRLEAD_PROFILE="+path)
	}
	var c benchCost
	start := time.Now()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	}()
	ctx, cancel := context.WithTimeout(b.Context(), 5*time.Minute)
	defer cancel()
	if !worker.Await(ctx, benchPause, func() bool {
		c.most = max(c.most, memory(b, cmd.Process.Pid, "RssAnon"))
		return isReady(ctx, "http://"+benchHealth+"/readyz")
	}) {
		b.Fatalf("the agent is not ready:\n%s", log.String())
	}
	c.ready, c.cpu, c.peak = time.Since(start), processorTime(b, cmd.Process.Pid), memory(b, cmd.Process.Pid, "VmHWM")
	c.heap = heapMetric(b, "go_gc_heap_allocs_bytes_total")
	if path := profilePath(b, name); path != "" {
		fetch(b, "http://"+benchMetrics+"/debug/pprof/heap?debug=1", path+".mem-ready")
		_ = cmd.Process.Signal(syscall.SIGUSR2)
	}
	last, rounds := 0, 0
	worker.Await(ctx, 500*time.Millisecond, func() bool {
		c.rest = memory(b, cmd.Process.Pid, "VmRSS")
		same := c.rest > last*99/100 && c.rest < last*101/100
		last, rounds = c.rest, rounds+1
		return same && rounds > 5 // memory is returned a second after readiness
	})
	c.peak = max(c.peak, memory(b, cmd.Process.Pid, "VmHWM"))
	c.anonymous = memory(b, cmd.Process.Pid, "RssAnon")
	if path := profilePath(b, name); path != "" {
		fetch(b, "http://"+benchMetrics+"/debug/pprof/heap?debug=1", path+".mem-rest")
		fetch(b, "http://"+benchMetrics+"/debug/pprof/heap?gc=1", path+".rest")
	}
	if also != nil {
		also(cmd.Process.Pid)
	}
	return c
}

// change takes one endpoint of a slice away and puts it back, many times.
func (r *benchRun) change(b *testing.B, pid, endpoints int) {
	b.Helper()
	full := benchSlices(min(7, r.services-1), endpoints)[0]
	short := *full
	less := &short
	less.Endpoints = full.Endpoints[:len(full.Endpoints)-1]
	frames := [][]byte{r.api.frame(b, watch.Modified, less), r.api.frame(b, watch.Modified, full)}
	var all sync.WaitGroup
	if path := profilePath(b, "changes"); path != "" {
		all.Go(func() { fetch(b, "http://"+benchMetrics+"/debug/pprof/profile?seconds=2", path+".cpu") })
	}
	tick := time.NewTicker(benchPause)
	defer tick.Stop()
	before, objects := processorTime(b, pid), heapMetric(b, "go_gc_heap_allocs_objects_total")
	for i := range benchUpdates {
		<-tick.C
		select {
		case r.api.slices <- frames[i%2]:
		case <-time.After(10 * time.Second):
			b.Fatal("the agent does not watch slices")
		}
	}
	<-tick.C
	r.changes += processorTime(b, pid) - before
	r.allocs += heapMetric(b, "go_gc_heap_allocs_objects_total") - objects
	all.Wait()
}

func (r *benchRun) report(b *testing.B) {
	b.Helper()
	b.ReportMetric(0, "ns/op")
	r.start.report(b, "start")
	r.restart.report(b, "restart")
	b.ReportMetric(float64(r.changes.Microseconds())/float64(r.restart.n*benchUpdates), "update-cpu-us")
	b.ReportMetric(float64(r.allocs)/float64(r.restart.n*benchUpdates), "update-allocs")
}

// heapMetric returns a value that the agent reports of its heap.
func heapMetric(b *testing.B, name string) int {
	b.Helper()
	req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, "http://"+benchMetrics+"/metrics", nil)
	if err != nil {
		b.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\n"+name+" ")
	number, _, _ := strings.Cut(rest, "\n")
	v, err := strconv.ParseFloat(number, 64)
	if err != nil {
		b.Fatal(err)
	}
	return int(v)
}

// profilePath returns where a profile goes, or "".
func profilePath(b *testing.B, name string) string {
	b.Helper()
	dir := os.Getenv("FAIRLEAD_PROFILE")
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, strings.ReplaceAll(b.Name(), "/", "-")+"-"+name)
}

// fetch writes an answer to a file.
func fetch(b *testing.B, url, path string) {
	b.Helper()
	req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, url, nil)
	if err != nil {
		b.Error(err)
		return
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		b.Error(err)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	f, err := os.Create(path)
	if err != nil {
		b.Error(err)
		return
	}
	_, err = io.Copy(f, resp.Body)
	if err := errors.Join(err, f.Close()); err != nil {
		b.Error(err)
	}
}

// profileStart makes this process write profiles when it gets SIGUSR2, if name is not
// empty.
func profileStart(name string) {
	if name == "" {
		return
	}
	f, err := os.Create(name + ".cpu")
	if err != nil {
		return
	}
	_ = pprof.StartCPUProfile(f)
	ready := make(chan os.Signal, 1)
	signal.Notify(ready, syscall.SIGUSR2)
	go func() {
		<-ready
		pprof.StopCPUProfile()
		_ = f.Close()
		if f, err := os.Create(name + ".heap"); err == nil {
			_ = pprof.WriteHeapProfile(f)
			_ = f.Close()
		}
	}()
}

func isReady(ctx context.Context, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// processorTime returns the time that all threads of a process have used.
func processorTime(b testing.TB, pid int) time.Duration {
	b.Helper()
	var at unix.Timespec
	const scheduler = 2 // CPUCLOCK_SCHED; see make_process_cpuclock in the kernel
	if err := unix.ClockGettime(int32(^pid<<3|scheduler), &at); err != nil {
		b.Fatal(err)
	}
	return time.Duration(at.Nano())
}

// memory returns a value of /proc/PID/status in bytes.
func memory(b *testing.B, pid int, field string) int {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), field+":")
	number, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	n, err := strconv.Atoi(number)
	if err != nil {
		b.Fatal(err)
	}
	return n << 10
}
