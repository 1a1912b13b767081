// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package parts

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"fairlead/bench/rig"
	"fairlead/internal/lab"
)

// Storm says how the part "rolling restart" is done.
type Storm struct {
	Shape     rig.Shape
	Rounds    int
	PerSecond int // endpoints that are replaced
	Lasts     time.Duration
}

const stormPart = "rolling restart"

// Part replaces all endpoints of the cluster one by one, and measures updates of one more
// Service meanwhile, beside a bare watch of the same updates.
func (s Storm) Part(budget time.Duration) Part {
	return Part{Name: stormPart, Budget: budget, Do: s.run}
}

func (s Storm) run(ctx context.Context, r *Run) error {
	subjects := []rig.Subject{rig.FairleadAgent(), rig.KubeProxy("nftables")}
	for round := range s.Rounds {
		for _, i := range rotated(len(subjects), round) {
			t := turn{stormPart, subjects[i].Name, s.Shape.Services, round}
			if err := r.visit(ctx, t, func(ctx context.Context) error { return s.agent(ctx, r, t, subjects[i], r.Rig.Seats[i]) }); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s Storm) agent(ctx context.Context, r *Run, t turn, subject rig.Subject, seat *rig.Seat) error {
	if err := r.Rig.Fill(ctx, s.Shape); err != nil {
		return err
	}
	a, _, err := begin(ctx, r, subject, seat)
	if err != nil {
		return err
	}
	defer func() { _ = a.Stop() }() // a second Stop does nothing
	w, err := r.Rig.WatchProbe(ctx)
	if err != nil {
		return err
	}
	defer w.Close()
	before, err := a.Processor()
	if err != nil {
		return err
	}
	churn, start := r.Rig.Roll(ctx, s.Shape, s.PerSecond), time.Now()
	took, err := s.updates(ctx, r, t, seat, w, start)
	lasted := time.Since(start).Seconds()
	writes := churn.Writes()
	if err := errors.Join(err, churn.Stop()); err != nil {
		return errors.Join(err, a.Alive())
	}
	after, err := a.Processor()
	if err != nil {
		return err
	}
	_, peak, err := a.Memory()
	if err != nil {
		return err
	}
	r.add(t, "endpoints replaced", "1/s", float64(writes)/lasted)
	r.add(t, "processor time of one replaced endpoint", "s", (after-before).Seconds()/float64(writes))
	r.add(t, "share of one processor", "CPU", (after-before).Seconds()/lasted)
	r.add(t, Peak, "B", peak)
	r.Progress("rolling restart, round %d: %-20s %.0f endpoints/s, update %s", t.round+1, t.subject, float64(writes)/lasted, short(middle(took)))
	return errors.Join(a.Stop(), seat.Flush())
}

// updates moves probe again and again until the storm is over.
func (s Storm) updates(ctx context.Context, r *Run, t turn, seat *rig.Seat, w *rig.Bare, start time.Time) (took []time.Duration, err error) {
	limit := t
	limit.subject = rig.Watch
	for i := 0; time.Since(start) < s.Lasts || i < 3; i++ {
		if err := wait(ctx, pause); err != nil {
			return nil, err
		}
		to := side(seat, i)
		began := time.Now()
		if err := r.Rig.Point(ctx, to); err != nil {
			return nil, err
		}
		watched, reached, err := s.both(ctx, seat, w, to, began)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			r.add(t, Update, "s", reached.Seconds())
			r.add(limit, Update, "s", watched.Seconds())
			took = append(took, reached)
		}
	}
	return took, nil
}

// both waits until the watch has seen an update and until a connection reaches it.
func (s Storm) both(ctx context.Context, seat *rig.Seat, w *rig.Bare, to *lab.Pod, began time.Time) (watched, reached time.Duration, err error) {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		err := w.Sees(ctx, to, time.Minute)
		watched = time.Since(began)
		return err
	})
	group.Go(func() error {
		err := seat.Reaches(ctx, to.Name, time.Minute)
		reached = time.Since(began)
		return err
	})
	return watched, reached, group.Wait()
}

// Joins says how the part "nodes" is done.
type Joins struct {
	Rounds, Nodes, PerSecond int
	Every                    int // the lag of each such node is measured
}

const joinsPart = "nodes"

// Part creates many Nodes and measures after how long an agent has a route to the pods of
// a new one: from just before the write of every so many until the route is there.
func (j Joins) Part(budget time.Duration) Part {
	return Part{Name: joinsPart, Budget: budget, Do: j.run}
}

func (j Joins) run(ctx context.Context, r *Run) (err error) {
	stacks := []*stack{
		{name: rig.Fairlead, subjects: []rig.Subject{rig.FairleadAgent("--overlay=vxlan")}},
		{name: rig.FlannelOnly, subjects: []rig.Subject{rig.Flannel()}},
	}
	if err := r.Rig.Fill(ctx, rig.Shape{}); err != nil {
		return err
	}
	for _, s := range stacks {
		if s.pair, err = r.Rig.NewPair(s.subjects...); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, r.Rig.Unpair(context.WithoutCancel(ctx), s.pair)) }()
	}
	for round := range j.Rounds {
		for _, i := range rotated(len(stacks), round) {
			t := turn{joinsPart, stacks[i].name, 0, round}
			if err := r.visit(ctx, t, func(ctx context.Context) error { return j.one(ctx, r, t, stacks[i].pair) }); err != nil {
				return err
			}
		}
	}
	return nil
}

func (j Joins) one(ctx context.Context, r *Run, t turn, p *rig.Pair) (err error) {
	defer func() { err = errors.Join(err, r.Rig.NoCrowd(context.WithoutCancel(ctx))) }()
	if err := r.Rig.Join(ctx, p, p.Near); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Rig.Leave(context.WithoutCancel(ctx), p, p.Near)) }()
	if err := wait(ctx, 3*pause); err != nil { // it has started
		return errors.Join(err, p.Alive())
	}
	a := p.Agent(p.Near)
	before, err := a.Processor()
	if err != nil {
		return err
	}
	start := time.Now()
	c := r.Rig.Crowd(ctx, j.Nodes, j.PerSecond)
	err = j.follow(ctx, r, t, p.Near, c)
	if err = errors.Join(err, c.Stop()); err != nil {
		return errors.Join(err, a.Alive())
	}
	all := time.Since(start)
	after, err := a.Processor()
	if err != nil {
		return err
	}
	_, peak, err := a.Memory()
	if err != nil {
		return err
	}
	r.add(t, fmt.Sprintf("%d nodes join until all are reached", j.Nodes), "s", all.Seconds())
	r.add(t, "processor time of one node", "s", (after-before).Seconds()/float64(j.Nodes))
	r.add(t, Peak, "B", peak)
	r.Progress("nodes, round %d: %-10s %d nodes after %s, %s of processor", t.round+1, t.subject, j.Nodes, short(all), short(after-before))
	return nil
}

// follow waits for every so many nodes: from their write until there is a route.
func (j Joins) follow(ctx context.Context, r *Run, t turn, seat *rig.Seat, c *rig.Churn) error {
	for i := j.Every - 1; i < j.Nodes; i += j.Every {
		written, err := c.Await(ctx, i)
		if err != nil {
			return err
		}
		if err := seat.Routed(ctx, i, time.Minute); err != nil {
			return err
		}
		r.add(t, "a node is written until there is a route", "s", time.Since(written).Seconds())
	}
	return nil
}
