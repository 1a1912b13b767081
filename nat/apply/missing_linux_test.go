// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package apply_test

import (
	"context"
	"errors"
	"testing"

	"fairlead/nat"
	"fairlead/nat/apply"
	"fairlead/nat/kernel"
	"fairlead/nat/nattest"
	"fairlead/nat/plan"
	"fairlead/nat/ruleset"
)

// deleter is a table that another program deletes after each of some commits.
type deleter struct {
	*counting
	times     int // that it will be deleted
	frontends int // verdicts in the batches that were committed
	refused   int // batches
}

func (d *deleter) Commit(ctx context.Context, b ruleset.Batch) error {
	if err := d.counting.Commit(ctx, b); err != nil {
		d.refused++
		return err
	}
	for i := range b {
		if b[i].Verb == ruleset.AddElement && b[i].Element.Set.Kind == ruleset.VIPs {
			d.frontends++
		}
	}
	if d.times == 0 {
		return nil
	}
	d.times--
	other, err := kernel.Open(d.ns)
	if err != nil {
		return err
	}
	return errors.Join(other.Delete(ctx), other.Close())
}

// TestMissingAgain has another program delete the table as soon as its first part is made again,
// with the frontend that others depend on. Nothing else is planned or written for it then, and the
// second time in a row the caller waits. Once the program stops, everything is served.
func TestMissingAgain(t *testing.T) {
	const services = 100
	s := newSpoiler(t)
	d := &deleter{counting: &counting{spoiler: s}}
	state := plan.NewState()
	state.Configure(nattest.Settings())
	for i := range services {
		f := cluster(3)
		f.First = i == 0
		state.Set(vip(i+1), f)
	}
	a := apply.New(d, state)
	round(t, a)
	for try := range 5 {
		if try == 0 {
			if err := s.Delete(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		a.Distrust()
		d.times, d.frontends, d.refused, d.full = 2, 0, 0, 0
		var err error
		for more := true; more && err == nil; {
			var r apply.Result
			r, err = a.Round(t.Context())
			more = r.More
		}
		if !errors.Is(err, nat.ErrDrift) {
			t.Fatalf("try %d: %v, want that another program is ahead", try, err)
		}
		if first := try == 0; first && d.full != 2 || !first && d.full != 1 || d.frontends != d.full || d.refused > 0 {
			t.Errorf("try %d: %d frontends written, %d batches refused, %d loads", try, d.frontends, d.refused, d.full)
		}
	}
	d.times = 0
	round(t, a)
	settled(t, s, state, services)
}
