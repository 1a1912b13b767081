// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// loadShares is what the agent and the benchmark have done since their starts. The
// difference of two of them tells what delayed the changes between.
type loadShares struct {
	at time.Time
	// cpu is the processor time that a process has used. wait is how long its threads
	// were ready to run while others ran.
	agentCPU, agentWait, testCPU, testWait time.Duration
	switches                               int // context switches of the agent
	collections, loads, commits            int
}

func (l *loadRun) shares(b *testing.B) loadShares {
	b.Helper()
	self := os.Getpid()
	return loadShares{
		at:       time.Now(),
		agentCPU: processorTime(b, l.pid), agentWait: waitTime(b, l.pid), testCPU: processorTime(b, self), testWait: waitTime(b, self),
		switches:    contextSwitches(b, l.pid),
		collections: l.metric(b, "go_gc_cycles_total_gc_cycles_total"),
		loads:       l.metric(b, "fairlead_nat_loads_total"),
		commits:     l.metric(b, "fairlead_nat_commits_total"),
	}
}

// metric returns a metric of the agent, and 0 for a floor.
func (l *loadRun) metric(b *testing.B, name string) int {
	b.Helper()
	if l.floor {
		return 0
	}
	return heapMetric(b, name)
}

// report reports what happened since an earlier time. Shares are in percent of one
// processor.
func (s *loadShares) report(b *testing.B, from *loadShares) {
	b.Helper()
	took := s.at.Sub(from.at)
	percent := func(now, before time.Duration) float64 { return 100 * float64(now-before) / float64(took) }
	b.ReportMetric(percent(s.agentCPU, from.agentCPU), "agent-cpu-%")
	b.ReportMetric(percent(s.agentWait, from.agentWait), "agent-wait-%")
	b.ReportMetric(percent(s.testCPU, from.testCPU), "test-cpu-%")
	b.ReportMetric(percent(s.testWait, from.testWait), "test-wait-%")
	b.ReportMetric(float64(s.collections-from.collections)/took.Seconds(), "collections/s")
	b.ReportMetric(float64(s.commits-from.commits)/took.Seconds(), "commits/s")
	b.ReportMetric(float64(s.loads-from.loads), "loads")
}

// waitTime returns how long the threads of a process were ready to run while others ran.
func waitTime(b *testing.B, pid int) time.Duration {
	b.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil {
		b.Fatal(err)
	}
	var sum time.Duration
	for _, path := range threads {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // the thread has ended
		}
		var cpu, wait time.Duration
		if _, err := fmt.Sscan(string(text), &cpu, &wait); err != nil {
			b.Fatalf("%s: %v", path, err)
		}
		sum += wait
	}
	return sum
}

// contextSwitches returns how often the threads of a process have given up a processor, or lost it.
func contextSwitches(b *testing.B, pid int) (sum int) {
	b.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	for _, path := range threads {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // the thread has ended
		}
		for line := range strings.Lines(string(text)) {
			if name, value, _ := strings.Cut(line, ":"); strings.HasSuffix(name, "voluntary_ctxt_switches") {
				n, err := strconv.Atoi(strings.TrimSpace(value))
				if err != nil {
					b.Fatalf("%s: %v", path, err)
				}
				sum += n
			}
		}
	}
	return sum
}
