// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"fairlead/cmd/fairlead-lab/apiserver"
	"fairlead/cmd/fairlead-lab/oom"
	"fairlead/cmd/fairlead-lab/world"
	"fairlead/internal/chaos"
	"fairlead/internal/lab"
)

// ErrFailed is returned by Run when a promise was broken. The output says which.
var ErrFailed = errors.New("chaos found failures")

// Options say what happens.
type Options struct {
	Seed     uint64        // of the first round; each further round has the next one
	Duration time.Duration // of all rounds together
	Gap      time.Duration // mean time between two events
	Longest  time.Duration // how long an agent may be away; 0 for some seconds
	Shares   []chaos.Share
	// Group begins the names of the memory control groups of this run.
	Group string
}

// roundLength is how long clients are under load before the state of the kernel is
// compared, unless agents may be away for long. A failure is repeated with the seed of its
// round.
const roundLength = time.Minute

// maxAway is how often in a row an agent may be away for long, with a moment between that
// does not suffice to follow. What was damaged stays so meanwhile.
const maxAway = 4

// runner is one cluster with its clients.
type runner struct {
	*world.World
	out      io.Writer
	api      *apiserver.Server
	pool     []world.Endpoint // pods that may be behind Services; all of them answer always
	services []*service
	groups   map[string]*oom.Group // of agents, by node; empty where this machine permits none
	giveUp   time.Duration         // see giveUp; more if agents are away for longer

	// What follows is of one round.
	start   time.Time
	waiting sync.WaitGroup // for checks that end by themselves

	mu       sync.Mutex
	history  chaos.History
	disks    map[int]int // events of the disk that have begun, by node
	log      []entry     // what was done
	failures []string    // in order
	tally    tally
}

// entry is a line of the history.
type entry struct {
	at   time.Duration
	text string
}

// Run starts the agents of an empty world, disturbs them for the duration, and compares
// what is in the kernel with what agents build from nothing.
func Run(ctx context.Context, w *world.World, out io.Writer, o Options) (err error) {
	r := &runner{World: w, out: out, groups: map[string]*oom.Group{}, giveUp: giveUp + maxAway*o.Longest}
	r.makeGroups(o.Group)
	if err := r.setUp(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.api.Stop()) }()
	var total tally
	failed := 0
	length := max(roundLength, 3*o.Longest)
	for seed, left := o.Seed, o.Duration; left > 0; seed, left = seed+1, left-length {
		cfg := chaos.Config{
			Seed: seed, Duration: min(left, length), Gap: o.Gap, Nodes: len(w.Cluster.Nodes), Shares: o.Shares, Longest: o.Longest,
		}
		if err := r.round(ctx, cfg); err != nil {
			return err
		}
		failed += len(r.failures)
		total.add(&r.tally)
		if len(r.failures) > 0 {
			break // the state after a failure is not that of a schedule
		}
	}
	if failed == 0 {
		if err := r.rebuild(ctx); err != nil {
			fmt.Fprintf(out, "FAIL  %v\n", err)
			failed++
		}
	}
	total.print(out)
	fmt.Fprintf(out, "chaos: %d connections, %d failed\n", total.done, failed)
	if failed > 0 {
		return ErrFailed
	}
	return nil
}

// round runs the events of one schedule. Its error means that the round could not go on.
func (r *runner) round(ctx context.Context, cfg chaos.Config) error {
	steps := chaos.Schedule(cfg)
	r.history, r.log, r.failures, r.tally, r.disks = chaos.History{}, nil, nil, newTally(), map[int]int{}
	if err := errors.Join(r.addFirewalls(ctx), r.datesFlows()); err != nil { // the rules load what has the setting
		return err
	}
	r.start = time.Now()
	for _, s := range r.services {
		s.forget()
	}
	fmt.Fprintf(r.out, "round of seed %d: %s, %d steps\n", cfg.Seed, cfg.Duration, len(steps))
	l := r.startLoad(ctx)
	err := r.play(ctx, steps, cfg.Duration)
	if err == nil {
		err = r.settle(ctx)
	}
	l.stop()
	if err != nil {
		r.fail("the round ends early: %v", err)
	}
	if err := r.writeHistory(cfg); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// play carries out the steps at their times.
func (r *runner) play(ctx context.Context, steps []chaos.Step, end time.Duration) error {
	for _, s := range steps {
		if err := r.until(ctx, s.At); err != nil {
			return err
		}
		if err := r.agentsLive(s); err != nil {
			return err
		}
		if err := r.step(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	return r.until(ctx, end)
}

// until waits for a time of the round.
func (r *runner) until(ctx context.Context, at time.Duration) error {
	timer := time.NewTimer(at - r.now())
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// now is the time of the round.
func (r *runner) now() time.Duration { return time.Since(r.start) }

// note adds a line to the history.
func (r *runner) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log = append(r.log, entry{r.now(), fmt.Sprintf(format, args...)})
}

// fail notes a broken promise.
func (r *runner) fail(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	r.note("FAIL  %s", text)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, text)
}

// begun and ended keep the history that outages are judged by.
func (r *runner) begun(s chaos.Step, at time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.history.Begin(s, at)
	r.tally.events[s.Kind]++
}

func (r *runner) ended(s chaos.Step) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.history.End(s, r.now())
}

// writeHistory writes what was done, in order, beside the agents' logs, and prints it
// with the ends of these if something failed.
func (r *runner) writeHistory(cfg chaos.Config) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "history of the round of seed %d, gap %s, %d nodes:\n", cfg.Seed, cfg.Gap, cfg.Nodes)
	for _, e := range r.log {
		fmt.Fprintf(&b, "%9.3fs  %s\n", e.at.Seconds(), e.text)
	}
	if len(r.failures) > 0 {
		fmt.Fprint(r.out, b.String())
		for _, node := range r.Cluster.Nodes {
			fmt.Fprintf(r.out, "log of the agent of %s ends with:\n%s\n", node.Name, r.Agents[node.Name].Tail())
		}
	}
	path := filepath.Join(r.Logs, fmt.Sprintf("seed-%d.txt", cfg.Seed))
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		return fmt.Errorf("write history: %w", err)
	}
	return nil
}

// agentsLive fails if an agent has ended by itself.
func (r *runner) agentsLive(next chaos.Step) error {
	for i, node := range r.Cluster.Nodes {
		if mayEnd(next, i) {
			continue
		}
		if err := r.Agents[node.Name].Failed(); err != nil && !r.down(i) {
			return fmt.Errorf("%s: %w", node.Name, err)
		}
	}
	return nil
}

// mayEnd reports whether a step starts an agent that has ended.
func mayEnd(s chaos.Step, node int) bool { return s.Node == node && !s.Begin }

// down reports whether the runner has ended the agent of a node.
func (r *runner) down(node int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.history.Down(node)
}

// nodeOf returns the node of a step.
func (r *runner) nodeOf(s chaos.Step) *lab.Node { return r.Cluster.Nodes[s.Node] }
