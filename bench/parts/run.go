// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package parts

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fairlead/bench/rig"
	"fairlead/bench/stat"
)

// Run is one run on one machine.
type Run struct {
	Rig *rig.Rig
	Set *stat.Set

	// Progress prints a line for whoever waits.
	Progress func(format string, args ...any)
	// Save is called after each part, with all samples so far in Set.
	Save func() error

	// Notes are sentences for the report, such as parts that were cut short.
	Notes []string
	// Sections are Markdown that stands behind the tables.
	Sections []string

	durations map[string]time.Duration // of the latest visit, by subject and size
}

// Part is one thing to measure.
type Part struct {
	Name   string
	Budget time.Duration // the part ends after it with what it has
	Do     func(context.Context, *Run) error
}

// errBudget means that a part has no time left for what it would do next.
var errBudget = errors.New("the time of this part is used up")

// All does one part after the other. A part that fails leaves a note, and the others
// go on; only a cancelled context ends the run.
func (r *Run) All(ctx context.Context, list []Part) error {
	r.durations = map[string]time.Duration{}
	for i, p := range list {
		r.Progress("part %d of %d: %s (at most %s)", i+1, len(list), p.Name, p.Budget)
		once, cancel := context.WithTimeout(ctx, p.Budget)
		start := time.Now()
		err := p.Do(once, r)
		cancel()
		if err != nil && ctx.Err() != nil {
			return ctx.Err()
		}
		switch {
		case errors.Is(err, errBudget), errors.Is(err, context.DeadlineExceeded):
			r.note("Part %s reached its deadline of %s and has fewer rounds or sizes than planned.", p.Name, p.Budget)
		case err != nil:
			r.note("Part %s failed: %v.", p.Name, err)
		}
		r.Progress("part %s took %s", p.Name, time.Since(start).Round(time.Second))
		if err := r.Save(); err != nil {
			return err
		}
	}
	return nil
}

func (r *Run) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	r.Notes = append(r.Notes, text)
	r.Progress("note: %s", text)
}

// turn is one visit of a subject.
type turn struct {
	part     string
	subject  string
	services int
	round    int
}

// add adds a sample of the turn.
func (r *Run) add(t turn, metric, unit string, value float64) {
	r.Set.Add(stat.Sample{Part: t.part, Metric: metric, Unit: unit, Subject: t.subject, Services: t.services, Round: t.round, Value: value})
}

// addBound adds a sample of an event that had not happened after value.
func (r *Run) addBound(t turn, metric, unit string, value float64) {
	r.Set.Add(stat.Sample{Part: t.part, Metric: metric, Unit: unit, Subject: t.subject, Services: t.services, Round: t.round, Value: value, AtLeast: true})
}

// visit does a turn and voids the subject if it fails. It returns errBudget if the
// deadline comes before the turn would end, judged by the one before.
func (r *Run) visit(ctx context.Context, t turn, do func(context.Context) error) error {
	if _, void := r.Set.Voided(t.part, t.subject, t.services); void {
		return nil
	}
	key := fmt.Sprint(t.part, t.subject, t.services)
	if end, ok := ctx.Deadline(); ok && time.Until(end) < r.durations[key] {
		return errBudget
	}
	kept, start := len(r.Set.Samples), time.Now()
	err := do(ctx)
	r.durations[key] = time.Since(start)
	if err == nil {
		return nil
	}
	r.Set.Samples = r.Set.Samples[:kept] // half a turn is none
	if ctx.Err() != nil {
		return errBudget
	}
	r.Set.Voids = append(r.Set.Voids, stat.Void{Part: t.part, Subject: t.subject, Services: t.services, Reason: err.Error()})
	r.Progress("void: %s, %d Services: %s: %v", t.part, t.services, t.subject, err)
	return nil
}

// rotated returns the indices of n subjects, in another order each round.
func rotated(n, round int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = (i + round) % n
	}
	return out
}

// wait pauses, or ends early with the context.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
