// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package parts

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fairlead/bench/rig"
)

// Load says how the part "fairness" is done.
type Load struct {
	Shape   rig.Shape
	Rounds  int
	Updates int // per visit and kind of load
	Others  int // changes of other Services per second
	Huge    int // endpoints of the Service of a tenant that takes all it can get
}

// hugeSlices is how many slices of the huge Service are replaced per second, which is
// 1,000 endpoints.
const hugeSlices = 10

// Part measures updates of one small Service: alone, beside changes of other Services,
// and beside one huge Service that changes completely again and again.
func (l Load) Part(budget time.Duration) Part {
	return Part{Name: "fairness", Budget: budget, Do: l.run}
}

func (l Load) run(ctx context.Context, r *Run) error {
	subjects := []rig.Subject{rig.FairleadAgent(), rig.KubeProxy("nftables"), rig.KubeProxy("iptables")}
	for round := range l.Rounds {
		for _, i := range rotated(len(subjects), round) {
			t := turn{"fairness", subjects[i].Name, l.Shape.Services, round}
			err := r.visit(ctx, t, func(ctx context.Context) error { return l.agent(ctx, r, t, subjects[i], r.Rig.Seats[i]) })
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (l Load) agent(ctx context.Context, r *Run, t turn, subject rig.Subject, seat *rig.Seat) error {
	// The huge Service of the turn before goes away with the others.
	if err := r.Rig.Fill(ctx, l.Shape); err != nil {
		return err
	}
	a, _, err := begin(ctx, r, subject, seat)
	if err != nil {
		return err
	}
	defer func() { _ = a.Stop() }() // a second Stop does nothing
	for _, load := range []struct {
		name  string
		begin func() (*rig.Churn, error)
	}{
		{"alone", nil},
		{fmt.Sprintf("beside %d other changes per second", l.Others), func() (*rig.Churn, error) { return r.Rig.Others(ctx, l.Shape, l.Others), nil }},
		{fmt.Sprintf("beside a Service of %d endpoints that change", l.Huge), func() (*rig.Churn, error) { return r.Rig.Huge(ctx, l.Huge, hugeSlices) }},
	} {
		if err := l.updates(ctx, r, t, seat, "update "+load.name, load.begin); err != nil {
			return errors.Join(err, a.Alive())
		}
	}
	return errors.Join(a.Stop(), seat.Flush())
}

// updates measures some updates while a load is there.
func (l Load) updates(ctx context.Context, r *Run, t turn, seat *rig.Seat, metric string, begin func() (*rig.Churn, error)) (err error) {
	if begin != nil {
		c, err2 := begin()
		if err2 != nil {
			return err2
		}
		defer func() { err = errors.Join(err, c.Stop()) }()
	}
	var took []time.Duration
	for i := range l.Updates + 1 {
		if err := wait(ctx, pause); err != nil {
			return err
		}
		d, err := update(ctx, r, seat, i, time.Minute)
		if err != nil {
			return err
		}
		if i > 0 { // the first shows what came before
			r.add(t, metric, "s", d.Seconds())
			took = append(took, d)
		}
	}
	r.Progress("%6d Services, round %d: %-20s %s: %s", t.services, t.round+1, t.subject, metric, short(middle(took)))
	return nil
}
