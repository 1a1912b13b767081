// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package reach

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/kubernetes"

	"fairlead/cmd/fairlead/reach/plan"
	"fairlead/cmd/fairlead/reach/report"
)

// Report is what a test found.
type Report = report.Report

// Progress is told what a test does. Its functions are called by one goroutine at a time.
type Progress struct {
	Say func(text string)             // a step begins
	At  func(done, total, failed int) // so many checks are done
}

// test is one run.
type test struct {
	opts     Options
	api      kubernetes.Interface
	progress Progress
	stale    time.Duration // after which a claim that stays the same is a killed test's
	ownSpace bool          // the namespace belongs to tests
	claimed  bool
	world    plan.World
	duration time.Duration // of a measurement; 0 is a test
	figures  []plan.Figures
	agents   map[string]string // NAMESPACE/POD of the agent of each node, as far as known

	mu     sync.Mutex
	total  int
	report Report
}

// Run tests a cluster. It removes all that it made before it returns, also when ctx is
// done, for which it takes up to a minute. The report is there even with an error as far as
// the test got.
func Run(ctx context.Context, opts Options, progress Progress) (*Report, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	api, err := opts.client()
	if err != nil {
		return nil, err
	}
	t := &test{opts: opts, api: api, progress: progress, stale: stale}
	return t.run(ctx)
}

func (t *test) run(ctx context.Context) (*Report, error) {
	start := time.Now()
	limited, cancel := context.WithTimeoutCause(ctx, t.opts.Timeout, fmt.Errorf("the test takes longer than --timeout %s", t.opts.Timeout))
	defer cancel()
	err := t.steps(limited)
	if cause := context.Cause(limited); cause != nil && err != nil {
		err = errors.Join(cause, err)
	}
	err = errors.Join(err, t.remove(ctx))
	t.report.Kept, t.report.Seconds = t.opts.Keep, time.Since(start).Seconds()
	t.report.Finish()
	return &t.report, err
}

func (t *test) steps(ctx context.Context) error {
	if err := t.find(ctx); err != nil {
		return err
	}
	if err := t.claim(ctx); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	done, cancel := context.WithCancel(ctx)
	g.Go(func() error { return t.beat(done) })
	g.Go(func() error {
		defer cancel()
		if err := t.setUp(ctx); err != nil {
			return err
		}
		return t.tryAll(ctx)
	})
	return g.Wait()
}

// setUp makes servers and Services, and learns their addresses.
func (t *test) setUp(ctx context.Context) error {
	t.say("Starting servers on %d nodes", len(t.world.Nodes))
	if err := t.createPods(ctx, serverRoles()); err != nil {
		return err
	}
	if err := t.createServices(ctx); err != nil {
		return err
	}
	if err := t.awaitServers(ctx); err != nil {
		return err
	}
	return t.writeWorld(ctx)
}

// tryAll starts the clients and reads what they find.
func (t *test) tryAll(ctx context.Context) error {
	t.say("Starting clients")
	if err := t.createPods(ctx, clientRoles()); err != nil {
		return err
	}
	var g errgroup.Group
	for i := range t.world.Nodes {
		for _, r := range t.roles(i, clientRoles()) {
			g.Go(func() error {
				t.follow(ctx, r, i)
				return nil
			})
		}
	}
	return errors.Join(g.Wait(), ctx.Err())
}

func (t *test) say(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.progress.Say != nil {
		t.progress.Say(fmt.Sprintf(format, args...))
	}
}

// note adds what a client found.
func (t *test) note(m message) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.total += m.Checks
	if m.Figures != nil {
		t.figures = append(t.figures, *m.Figures)
	}
	if m.Result != nil {
		m.Result.Next = t.next(m.Result)
		t.report.Checks = append(t.report.Checks, *m.Result)
	}
	if t.progress.At != nil && t.duration > 0 {
		t.progress.At(m.Step, m.Checks, 0)
	} else if t.progress.At != nil {
		failed := 0
		for i := range t.report.Checks {
			if t.report.Checks[i].Failed() {
				failed++
			}
		}
		t.progress.At(len(t.report.Checks), t.total, failed)
	}
}

// fail adds a pod that does not do its part.
func (t *test) fail(c plan.Client, what, problem string) {
	t.note(message{Checks: 1, Result: &plan.Result{
		Check:   plan.Check{Kind: plan.Setup, From: c, What: what, Want: plan.Want{Any: true}},
		Problem: problem,
	}})
}

// next says which command finds the cause of a failure, and where to run it.
func (t *test) next(r *plan.Result) string {
	if !r.Failed() {
		return ""
	}
	command, node := r.NextCommand()
	if pod, ok := t.agents[node]; ok {
		return fmt.Sprintf("kubectl exec -n %s -- /%s", pod, command)
	}
	return "on " + node + ": " + command
}

// nodeIndex returns the position of a node.
func (t *test) nodeIndex(name string) int {
	return slices.IndexFunc(t.world.Nodes, func(n plan.Node) bool { return n.Name == name })
}
