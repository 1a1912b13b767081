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

// Overlay says how the part "overlay" is done.
type Overlay struct {
	Joins  int // per subject
	Rounds int // of traffic
	Amount Amount

	Packets int // of one flow, in each round
}

const overlayPart = "overlay"

// Join is the metric of the part that newcomers decide.
const Join = "a node joins until its pod is reached"

// overlaid is the metric of single packets.
const overlaid = "packet of a flow that stands, to a pod of another node"

// joinLimit is for a node that joins.
const joinLimit = 20 * time.Second

// Part measures pods on two nodes that VXLAN connects: fairlead with its table, flannel
// beside kube-proxy, and devices and entries made by hand on nodes without any rule.
func (o Overlay) Part(budget time.Duration) Part {
	return Part{Name: overlayPart, Budget: budget, Do: o.run}
}

// stack is what connects one pair of nodes.
type stack struct {
	name     string
	subjects []rig.Subject
	pair     *rig.Pair
}

func (o Overlay) run(ctx context.Context, r *Run) (err error) {
	stacks := []*stack{
		{name: rig.Fairlead, subjects: []rig.Subject{rig.FairleadAgent("--overlay=vxlan", "--ip-masq")}},
		{name: rig.Flanneled, subjects: []rig.Subject{rig.Flannel(), rig.KubeProxy("nftables")}},
		{name: rig.Hand},
	}
	if err := r.Rig.Fill(ctx, rig.Shape{}); err != nil {
		return err
	}
	for _, s := range stacks {
		t := turn{overlayPart, s.name, 0, -1}
		defer func() {
			if s.pair != nil {
				err = errors.Join(err, r.Rig.Unpair(context.WithoutCancel(ctx), s.pair))
			}
		}()
		if err := r.visit(ctx, t, func(ctx context.Context) error { return o.build(ctx, r, s) }); err != nil {
			return err
		}
	}
	for round := range o.Joins {
		for _, i := range rotated(len(stacks), round) {
			s := stacks[i]
			t := turn{overlayPart, s.name, 0, round}
			if len(s.subjects) == 0 {
				continue
			}
			if err := r.visit(ctx, t, func(ctx context.Context) error { return o.join(ctx, r, t, s) }); err != nil {
				return err
			}
		}
	}
	for round := range o.Rounds {
		for _, i := range rotated(len(stacks), round) {
			s := stacks[i]
			t := turn{overlayPart, s.name, 0, o.Joins + round}
			if err := r.visit(ctx, t, func(context.Context) error { return o.traffic(r, t, s) }); err != nil {
				return err
			}
		}
	}
	r.Progress("overlay: %d rounds of traffic are done", o.Rounds)
	return nil
}

// build makes the pair of a stack and waits until its pods meet.
func (o Overlay) build(ctx context.Context, r *Run, s *stack) (err error) {
	if s.pair, err = r.Rig.NewPair(s.subjects...); err != nil {
		return err
	}
	if err := s.pair.Apart(ctx); err != nil {
		return err
	}
	if len(s.subjects) == 0 {
		return errors.Join(s.pair.ByHand(), s.pair.Meet(ctx, joinLimit))
	}
	for _, seat := range []*rig.Seat{s.pair.Near, s.pair.Far} {
		if err := r.Rig.Join(ctx, s.pair, seat); err != nil {
			return err
		}
	}
	return o.settle(ctx, s)
}

// settle waits until the pods meet and both nodes have their rules.
func (o Overlay) settle(ctx context.Context, s *stack) error {
	if err := s.pair.Meet(ctx, joinLimit); err != nil {
		return errors.Join(err, s.pair.Alive())
	}
	for _, seat := range []*rig.Seat{s.pair.Near, s.pair.Far} {
		if err := seat.Rules(ctx, joinLimit); err != nil {
			return errors.Join(err, s.pair.Alive())
		}
	}
	return nil
}

// join takes the far node out of the cluster, and measures from its return, when its
// Node object is created and its agents start, until a pod of the other node reaches a pod there.
func (o Overlay) join(ctx context.Context, r *Run, t turn, s *stack) error {
	if err := r.Rig.Leave(ctx, s.pair, s.pair.Far); err != nil {
		return fmt.Errorf("leave: %w", err)
	}
	if err := errors.Join(wait(ctx, pause), s.pair.Apart(ctx)); err != nil {
		return err
	}
	start := time.Now()
	if err := r.Rig.Join(ctx, s.pair, s.pair.Far); err != nil {
		return err
	}
	if err := s.pair.Meet(ctx, joinLimit); err != nil {
		return errors.Join(err, s.pair.Alive())
	}
	took := time.Since(start)
	r.add(t, Join, "s", took.Seconds())
	r.Progress("overlay, join %d: %-28s %s", t.round+1, s.name, short(took))
	return o.settle(ctx, s)
}

func (o Overlay) traffic(r *Run, t turn, s *stack) error {
	m := meter{Run: r, turn: t, Amount: o.Amount, server: s.pair.Server.Name}
	for _, seat := range []*rig.Seat{s.pair.Near, s.pair.Far} {
		if err := seat.FlushFlows(); err != nil {
			return err
		}
	}
	if err := s.pair.Client.NS.Do(func() error { return m.measure(way{"to a pod of another node", s.pair.Addr()}) }); err != nil {
		return err
	}
	took, err := packets(s.pair.Client, s.pair.SinkAddr(), s.pair.Server.Host, o.Packets)
	if err != nil {
		return err
	}
	r.add(t, overlaid, "s", took.Seconds())
	return nil
}
