// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package parts

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"fairlead/bench/rig"
	"fairlead/internal/inet"
)

// Flows says how the part "data path" is done.
type Flows struct {
	Shapes []rig.Shape
	Rounds int
	Amount Amount
}

// Amount is the work of one turn.
type Amount struct {
	Connections int // and as many UDP flows
	Requests    int // over one connection
	Bytes       int // of a stream
}

const flowsPart = "data path"

// Part measures what packets pay: at each size all agents have written their rules and
// stand still, and then the seats take turns. A last seat has no rules at all.
func (f Flows) Part(budget time.Duration) Part {
	return Part{Name: flowsPart, Budget: budget, Do: f.run}
}

func (f Flows) run(ctx context.Context, r *Run) error {
	subjects := []rig.Subject{rig.FairleadAgent(), rig.KubeProxy("nftables"), rig.KubeProxy("iptables"), {Name: rig.Direct}}
	for _, shape := range f.Shapes {
		if err := f.size(ctx, r, shape, subjects); err != nil {
			return err
		}
	}
	return nil
}

// size measures all subjects with one number of Services.
func (f Flows) size(ctx context.Context, r *Run, shape rig.Shape, subjects []rig.Subject) (err error) {
	r.Progress("%s endpoints are written", shape)
	if err := r.Rig.Fill(ctx, shape); err != nil {
		return err
	}
	for i, subject := range subjects {
		if subject.Name == rig.Direct {
			continue
		}
		seat := r.Rig.Seats[i]
		defer func() { err = errors.Join(err, seat.Flush()) }()
		if err := r.visit(ctx, turn{flowsPart, subject.Name, shape.Services, -1}, func(ctx context.Context) error {
			a, took, err := begin(ctx, r, subject, seat)
			if err != nil {
				return err
			}
			r.Progress("%6d Services: %-20s has written them after %s", shape.Services, subject.Name, short(took))
			return a.Stop() // its rules stay, and nothing competes with the packets
		}); err != nil {
			return err
		}
	}
	for round := range f.Rounds {
		for _, i := range rotated(len(subjects), round) {
			t := turn{flowsPart, subjects[i].Name, shape.Services, round}
			if err := r.visit(ctx, t, func(context.Context) error { return f.turn(r, t, r.Rig.Seats[i]) }); err != nil {
				return err
			}
		}
	}
	r.Progress("%6d Services: %d rounds are done", shape.Services, f.Rounds)
	return nil
}

// turn measures each way to the same server once.
func (f Flows) turn(r *Run, t turn, seat *rig.Seat) error {
	ways := []way{
		{"through a ClusterIP", seat.Flows},
		{"through a NodePort", netip.AddrPortFrom(seat.Node.Addr4, seat.NodePort)},
		{"to the endpoint", seat.Echo()},
	}
	if t.subject == rig.Direct { // the ways of others are compared with the only one there is
		for i := range ways {
			ways[i].to = seat.Echo()
		}
	}
	m := meter{Run: r, turn: t, Amount: f.Amount, server: seat.Left.Name}
	for _, w := range ways {
		if err := seat.FlushFlows(); err != nil {
			return err
		}
		if err := seat.Client.NS.Do(func() error { return m.measure(w) }); err != nil {
			return err
		}
	}
	return nil
}

// way is an address that leads to the server.
type way struct {
	name string
	to   netip.AddrPort
}

// meter measures ways from the namespace in which it is called.
type meter struct {
	*Run
	turn
	Amount

	server string // that must answer
}

// firstPort is the source port of the first flow of each kind.
const firstPort = 20000

func (m *meter) measure(w way) error {
	connections, err := rig.Flow(inet.TCP, w.to, m.server, m.Connections, firstPort)
	if err != nil {
		return err
	}
	m.add(m.turn, "connections "+w.name, "1/s", connections.PerSecond())
	requests, err := rig.RoundTrips(w.to, m.server, m.Requests, firstPort-1)
	if err != nil {
		return err
	}
	m.add(m.turn, "request "+w.name+", p50", "s", requests.At(0.5).Seconds())
	m.add(m.turn, "request "+w.name+", p99", "s", requests.At(0.99).Seconds())
	datagrams, err := rig.Flow(inet.UDP, w.to, m.server, m.Connections, firstPort)
	if err != nil {
		return err
	}
	m.add(m.turn, "UDP flows "+w.name, "1/s", datagrams.PerSecond())
	took, err := rig.Stream(w.to, m.server, m.Bytes, firstPort-2)
	if err != nil {
		return err
	}
	m.add(m.turn, "stream "+w.name, "B/s", float64(m.Bytes)/took.Seconds())
	return nil
}
