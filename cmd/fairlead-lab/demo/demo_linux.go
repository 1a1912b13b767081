// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"fairlead/cmd/fairlead-lab/world"
)

// ErrChecks is returned by Run when a check failed. The demo's output names it.
var ErrChecks = errors.New("not all checks passed")

// demo runs the scenario and counts what was checked.
type demo struct {
	*world.World
	out            io.Writer
	podsMade       int // pods of web so far, for their names
	passed, failed int
}

// Run plays all steps, or those up to the first that cannot go on, and prints what
// it does and sees. It waits for pace before each step.
func Run(ctx context.Context, w *world.World, out io.Writer, pace time.Duration) error {
	d := &demo{World: w, out: out, podsMade: len(w.Web.Endpoints)}
	start := time.Now()
	steps := scenario()
	for i, s := range steps {
		if i > 0 {
			pause(ctx, pace)
		}
		fmt.Fprintf(out, "\n[%d/%d] %s\n", i+1, len(steps), s.title)
		if err := s.run(ctx, d); err != nil {
			d.check(false, "the step ends early: %v", err)
			break
		}
	}
	fmt.Fprintf(out, "\n%.0f seconds. Everything is taken down again.\n", time.Since(start).Seconds())
	fmt.Fprintf(out, "demo: %d checks passed, %d failed\n", d.passed, d.failed)
	if d.failed > 0 {
		return ErrChecks
	}
	return nil
}

// pause waits for a while, or for the end.
func pause(ctx context.Context, pace time.Duration) {
	select {
	case <-time.After(pace):
	case <-ctx.Done():
	}
}

// say prints what was done or seen.
func (d *demo) say(format string, args ...any) {
	fmt.Fprintf(d.out, "  "+format+"\n", args...)
}

// check prints and counts something that must be so.
func (d *demo) check(ok bool, format string, args ...any) {
	word := "ok  "
	if ok {
		d.passed++
	} else {
		d.failed++
		word = "FAIL"
	}
	fmt.Fprintf(d.out, "  "+word+"  "+format+"\n", args...)
}
