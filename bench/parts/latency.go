// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package parts

import (
	"context"
	"errors"
	"time"

	"fairlead/bench/rig"
	"fairlead/internal/lab"
)

// Latency says how the part of the same name is done.
type Latency struct {
	// Name is that of the part; with Shaped each shape has a part of its own in the
	// report, because shapes may have the same number of Services.
	Name   string
	Shaped bool
	// Subjects are all if nil.
	Subjects []rig.Subject

	Shapes  []rig.Shape
	Rounds  func(rig.Shape) int
	Updates func(rig.Shape) int // per visit
	Repair  time.Duration       // how long a repair is awaited
}

// Metrics of the part.
const (
	Update      = "EndpointSlice update to first connection"
	UpdateCPU   = "processor time of one update"
	ColdStart   = "start until all Services are reached, empty kernel"
	Restart     = "restart until a change made meanwhile is served"
	Resident    = "resident memory"
	Peak        = "peak resident memory"
	RestartPeak = "peak resident memory after a restart"
	Repair      = "flush of the ruleset until a connection is served"
)

// pause between updates, longer than kube-proxy's minSyncPeriod of 1 s, which would be
// part of what is measured otherwise.
const pause = 1200 * time.Millisecond

// startLimit is for a start; kube-proxy takes a minute for 30,000 Services.
const startLimit = 5 * time.Minute

// Part measures each subject by itself at each size: cold start, updates, memory,
// restart and repair. The bare watch has updates and, as its cold start, the time until it has
// read all Services and EndpointSlices.
func (l Latency) Part(budget time.Duration) Part {
	return Part{Name: l.Name, Budget: budget, Do: l.run}
}

func (l Latency) run(ctx context.Context, r *Run) error {
	subjects := l.Subjects
	if subjects == nil {
		// The slow ones come last: a part that ends early has what it is compared with most.
		subjects = []rig.Subject{rig.FairleadAgent(), {Name: rig.Watch}, rig.KubeProxy("nftables"), rig.KubeProxy("iptables")}
	}
	rounds := 0
	for _, shape := range l.Shapes {
		rounds = max(rounds, l.Rounds(shape))
	}
	// All sizes have their first round before any has a second: a part that ends early
	// has fewer rounds rather than fewer sizes.
	for round := range rounds {
		for _, shape := range l.Shapes {
			if round >= l.Rounds(shape) {
				continue
			}
			if err := l.round(ctx, r, shape, round, subjects); err != nil {
				return err
			}
		}
	}
	return nil
}

// round visits all subjects with one shape.
func (l Latency) round(ctx context.Context, r *Run, shape rig.Shape, round int, subjects []rig.Subject) error {
	r.Progress("%s endpoints are written", shape)
	if err := r.Rig.Fill(ctx, shape); err != nil {
		return err
	}
	name := l.Name
	if l.Shaped {
		name += " " + shape.String()
	}
	v := visitor{l, l.Updates(shape)}
	for _, i := range rotated(len(subjects), round) {
		t := turn{name, subjects[i].Name, shape.Services, round}
		err := r.visit(ctx, t, func(ctx context.Context) error {
			if t.subject == rig.Watch {
				return v.watch(ctx, r, t)
			}
			return v.agent(ctx, r, t, subjects[i], r.Rig.Seats[i])
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// visitor does one visit of the part.
type visitor struct {
	Latency
	updates int // how many
}

// agent is the visit of an agent, which begins and ends with an empty kernel.
func (v visitor) agent(ctx context.Context, r *Run, t turn, subject rig.Subject, seat *rig.Seat) error {
	a, cold, err := begin(ctx, r, subject, seat)
	if err != nil {
		return err
	}
	defer func() { _ = a.Stop() }() // a second Stop does nothing
	r.add(t, ColdStart, "s", cold.Seconds())
	latencies, err := v.measureUpdates(ctx, r, t, a, seat)
	if err != nil {
		return err
	}
	resident, peak, err := a.Memory()
	if err != nil {
		return err
	}
	r.add(t, Resident, "B", resident)
	r.add(t, Peak, "B", peak)
	next, err := v.restart(ctx, r, t, a, subject, seat)
	if err != nil {
		return err
	}
	a = next
	r.Progress("%6d Services, round %d: %-20s start %s, update %s, %d MB", t.services, t.round+1, t.subject, short(cold), short(latencies), int(resident)>>20)
	if err := v.repair(ctx, r, t, seat); err != nil {
		return err
	}
	return errors.Join(a.Stop(), seat.Flush())
}

// begin starts an agent on an empty kernel and returns when all Services are reached, with
// the time that this took.
func begin(ctx context.Context, r *Run, subject rig.Subject, seat *rig.Seat) (*rig.Agent, time.Duration, error) {
	if err := errors.Join(seat.Flush(), r.Rig.Point(ctx, seat.Left)); err != nil {
		return nil, 0, err
	}
	start := time.Now()
	a, err := r.Rig.Start(ctx, subject, seat)
	if err != nil {
		return nil, 0, err
	}
	if err := r.Rig.AllReach(ctx, seat, startLimit); err != nil {
		return nil, 0, errors.Join(err, a.Alive(), a.Stop())
	}
	return a, time.Since(start), nil
}

// measureUpdates measures some updates, after a first one that shows what a start has left to
// do. It returns their median.
func (v visitor) measureUpdates(ctx context.Context, r *Run, t turn, a *rig.Agent, seat *rig.Seat) (time.Duration, error) {
	var before time.Duration
	var took []time.Duration
	for i := range v.updates + 1 {
		if err := wait(ctx, pause); err != nil {
			return 0, err
		}
		if i == 1 {
			var err error
			if before, err = a.Processor(); err != nil {
				return 0, err
			}
		}
		d, err := update(ctx, r, seat, i, startLimit)
		if err != nil {
			return 0, errors.Join(err, a.Alive())
		}
		if i > 0 {
			r.add(t, Update, "s", d.Seconds())
			took = append(took, d)
		}
	}
	if err := wait(ctx, pause); err != nil { // what follows an update counts, too
		return 0, err
	}
	after, err := a.Processor()
	if err != nil {
		return 0, err
	}
	r.add(t, UpdateCPU, "s", (after-before).Seconds()/float64(v.updates))
	return middle(took), nil
}

// update gives probe to the other server and waits until it answers.
func update(ctx context.Context, r *Run, seat *rig.Seat, i int, patience time.Duration) (time.Duration, error) {
	to := side(seat, i)
	start := time.Now()
	if err := r.Rig.Point(ctx, to); err != nil {
		return 0, err
	}
	if err := seat.Reaches(ctx, to.Name, patience); err != nil {
		return 0, err
	}
	return time.Since(start), nil
}

func side(seat *rig.Seat, i int) *lab.Pod {
	if i%2 == 0 {
		return seat.Right
	}
	return seat.Left
}

// restart stops the agent, changes probe meanwhile, and measures from the start of the
// next process until the change is served.
func (v visitor) restart(ctx context.Context, r *Run, t turn, a *rig.Agent, subject rig.Subject, seat *rig.Seat) (*rig.Agent, error) {
	if err := a.Stop(); err != nil {
		return nil, err
	}
	to := side(seat, v.updates+1)
	if err := r.Rig.Point(ctx, to); err != nil {
		return nil, err
	}
	if err := seat.Reaches(ctx, side(seat, v.updates).Name, time.Second); err != nil {
		return nil, errors.Join(errors.New("without the agent, the table serves nobody"), err)
	}
	start := time.Now()
	a, err := r.Rig.Start(ctx, subject, seat)
	if err != nil {
		return nil, err
	}
	if err := seat.Reaches(ctx, to.Name, startLimit); err != nil {
		return nil, errors.Join(err, a.Alive(), a.Stop())
	}
	r.add(t, Restart, "s", time.Since(start).Seconds())
	if err := wait(ctx, pause); err != nil {
		return nil, errors.Join(err, a.Stop())
	}
	_, peak, err := a.Memory()
	if err != nil {
		return nil, errors.Join(err, a.Stop())
	}
	r.add(t, RestartPeak, "B", peak)
	return a, nil
}

// repair flushes the ruleset and waits until probe is served again. That an agent
// leaves it so for v.Repair is a result.
func (v visitor) repair(ctx context.Context, r *Run, t turn, seat *rig.Seat) error {
	if t.round > 0 && t.subject != rig.Fairlead {
		return nil // waiting out the patience once is enough
	}
	if err := seat.Flush(); err != nil {
		return err
	}
	start := time.Now()
	switch err := seat.Reaches(ctx, side(seat, v.updates+1).Name, v.Repair); {
	case errors.Is(err, rig.ErrLate):
		r.addBound(t, Repair, "s", v.Repair.Seconds())
	case err != nil:
		return err
	default:
		r.add(t, Repair, "s", time.Since(start).Seconds())
	}
	return nil
}

// watch is the visit of the client that only watches.
func (v visitor) watch(ctx context.Context, r *Run, t turn) error {
	seat := r.Rig.Seats[0]
	if err := r.Rig.Point(ctx, seat.Left); err != nil {
		return err
	}
	lists, err := r.Rig.Lists(ctx)
	if err != nil {
		return err
	}
	r.add(t, ColdStart, "s", lists.Seconds())
	w, err := r.Rig.WatchProbe(ctx)
	if err != nil {
		return err
	}
	defer w.Close()
	for i := range v.updates + 1 {
		if err := wait(ctx, pause); err != nil {
			return err
		}
		to := side(seat, i)
		start := time.Now()
		if err := r.Rig.Point(ctx, to); err != nil {
			return err
		}
		if err := w.Sees(ctx, to, time.Minute); err != nil {
			return err
		}
		if i > 0 {
			r.add(t, Update, "s", time.Since(start).Seconds())
		}
	}
	return nil
}
