// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package parts

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"fairlead/bench/rig"
	"fairlead/internal/lab"
)

// Chains says how the part "packets" is done.
type Chains struct {
	Shape   rig.Shape
	Rounds  int
	Packets int // of one sample
}

const chainsPart = "packets"

// Part measures one packet of a flow that stands, from pod to pod: with each program's
// rules, without any, and with fairlead's rules but for one base chain. The difference is
// what the chain costs each packet.
func (c Chains) Part(budget time.Duration) Part {
	return Part{Name: chainsPart, Budget: budget, Do: c.run}
}

// variant is a node with a ruleset.
type variant struct {
	subject string
	metric  string
	without string      // a base chain that is left out, or ""
	rules   rig.Ruleset // is loaded if load is set
	load    bool
	seat    *rig.Seat
}

// Metrics of the part.
const (
	packet        = "packet of a flow that stands"
	overlayPacket = "the same with the chains of an overlay"
)

func (c Chains) run(ctx context.Context, r *Run) (err error) {
	if err := r.Rig.Fill(ctx, c.Shape); err != nil {
		return err
	}
	for _, seat := range r.Rig.Seats {
		if err := rig.Sink(seat.Left.Host); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, seat.Flush(), seat.NoTunnels()) }()
	}
	variants, err := c.variants(ctx, r)
	if err != nil {
		return err
	}
	for round := range c.Rounds {
		if err := c.round(ctx, r, round, variants); err != nil {
			return err
		}
	}
	r.Progress("packets: %d rounds of %d rulesets are done", c.Rounds, len(variants))
	return nil
}

// variants has each program write its rules and end.
func (c Chains) variants(ctx context.Context, r *Run) ([]variant, error) {
	subjects := []rig.Subject{rig.FairleadAgent(), rig.KubeProxy("nftables"), rig.KubeProxy("iptables")}
	out := []variant{{subject: rig.Direct, metric: packet, seat: r.Rig.Seats[len(subjects)]}}
	written := func(subject rig.Subject, seat *rig.Seat) error {
		return r.visit(ctx, turn{chainsPart, subject.Name, c.Shape.Services, -1}, func(ctx context.Context) error {
			a, _, err := begin(ctx, r, subject, seat)
			if err != nil {
				return err
			}
			return a.Stop()
		})
	}
	for i, subject := range subjects {
		v := variant{subject: subject.Name, metric: packet, seat: r.Rig.Seats[i]}
		if err := written(subject, v.seat); err != nil {
			return nil, err
		}
		if subject.Name == rig.Fairlead {
			var err error
			if v.rules, err = v.seat.List("inet", "fairlead"); err != nil {
				return nil, err
			}
			v.load = true
		}
		out = append(out, v)
	}
	seat := r.Rig.Seats[0]
	if err := written(rig.FairleadAgent("--overlay=vxlan"), seat); err != nil {
		return nil, err
	}
	more, err := without(seat)
	return append(out, more...), err
}

// without are the table of fairlead as it is, and as it is but for each base chain.
func without(seat *rig.Seat) ([]variant, error) {
	all, err := seat.List("inet", "fairlead")
	if err != nil {
		return nil, err
	}
	out := []variant{{subject: rig.Fairlead, metric: overlayPacket, seat: seat, rules: all, load: true}}
	for _, chain := range all.BaseChains() {
		out = append(out, variant{subject: rig.Fairlead, without: chain, seat: seat, rules: all.Without(chain), load: true})
	}
	if len(out) == 1 {
		return nil, errors.New("the table of fairlead has no base chain")
	}
	return out, nil
}

// round measures all variants once, and takes the differences.
func (c Chains) round(ctx context.Context, r *Run, round int, variants []variant) error {
	took := map[string]time.Duration{}
	for _, i := range rotated(len(variants), round) {
		v := variants[i]
		t := turn{chainsPart, v.subject, c.Shape.Services, round}
		err := r.visit(ctx, t, func(context.Context) error {
			d, err := c.measure(v)
			if err != nil {
				return err
			}
			if v.metric != "" {
				r.add(t, v.metric, "ns", float64(d.Nanoseconds()))
			}
			if v.metric != packet {
				took[v.without] = d
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	t := turn{chainsPart, rig.Fairlead, c.Shape.Services, round}
	for _, v := range variants {
		if v.without != "" && took[v.without] > 0 && took[""] > 0 {
			r.add(t, "of these, chain "+v.without, "ns", float64((took[""] - took[v.without]).Nanoseconds()))
		}
	}
	return nil
}

// measure loads the rules of a variant and sends packets. All have to arrive.
func (c Chains) measure(v variant) (took time.Duration, err error) {
	if v.load {
		if err := v.seat.Load(v.rules); err != nil {
			return 0, err
		}
	}
	if err := v.seat.FlushFlows(); err != nil {
		return 0, err
	}
	return packets(v.seat.Client, v.seat.SinkAddr(), v.seat.Left.Host, c.Packets)
}

// packets sends n packets of one flow to the socket of a host that is full, and returns how
// long one took. All have to arrive.
func packets(from *lab.Pod, to netip.AddrPort, host *lab.Host, n int) (took time.Duration, err error) {
	before, err := rig.Received(host)
	if err != nil {
		return 0, err
	}
	err = from.NS.Do(func() (err error) {
		took, err = rig.Packets(to, n, firstPort)
		return err
	})
	if err != nil {
		return 0, err
	}
	after, err := rig.Received(host)
	if err == nil && after-before < n*99/100 {
		err = fmt.Errorf("%d of %d packets arrived", after-before, n)
	}
	return took, err
}
