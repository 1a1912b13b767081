// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Config describes a round.
type Config struct {
	Seed     uint64
	Duration time.Duration
	// Gap is the mean time between two events.
	Gap time.Duration
	// Nodes is the number of nodes.
	Nodes int
	// Longest is how long an event may last at most; 0 leaves that to its kind. A
	// kind that stops the agent lasts for up to Longest then.
	Longest time.Duration
	Shares  []Share
}

// Step is the beginning or the end of an event.
type Step struct {
	At    time.Duration
	Event int // number of the event, from 0
	Kind  Kind
	Node  int // index of the node that it happens to
	// Begin is false for the end of an event that lasts.
	Begin bool
	// Pick chooses among what is there when it happens, such as elements of a map.
	Pick uint64
}

// String returns for example "12.345s #7 begin kill on node 1 (pick 3)".
func (s Step) String() string {
	word := "end"
	if s.Begin {
		word = "begin"
	}
	return fmt.Sprintf("%7.3fs #%d %s %s on node %d (pick %d)", s.At.Seconds(), s.Event, word, s.Kind, s.Node+1, s.Pick)
}

// present is for how long an agent that may be away for long is left alone afterwards.
// Without such a time, damage would stay for the whole round.
const present = 2 * catchUp

// generator makes up events one after the other.
type generator struct {
	cfg   Config
	rand  *rand.Rand
	total int // of the weights
	busy  map[busyKey]time.Duration
}

// busyKey is a lane of one node. The lane of the API server has node 0.
type busyKey struct {
	lane lane
	node int
}

// Schedule returns the steps of a round in order. Equal configurations have equal
// schedules. Every event ends before the end of the round.
func Schedule(cfg Config) []Step {
	g := &generator{cfg: cfg, rand: rand.New(rand.NewPCG(cfg.Seed, 0x6661_6972)), busy: map[busyKey]time.Duration{}}
	for _, s := range cfg.Shares {
		g.total += s.Weight
	}
	var steps []Step
	if g.total == 0 || cfg.Gap <= 0 || cfg.Nodes < 1 {
		return nil
	}
	for at, n := g.gap(), 0; at < cfg.Duration; at += g.gap() {
		if event := g.event(at, n); event != nil {
			steps = append(steps, event...)
			n++
		}
	}
	slices.SortStableFunc(steps, func(a, b Step) int { return cmp.Compare(a.At, b.At) })
	return steps
}

// gap returns the time to the next event: exponential, and bounded, so that neither
// bursts nor pauses eat up a short round.
func (g *generator) gap() time.Duration {
	const most = 4
	return time.Duration(float64(g.cfg.Gap) * min(most, g.rand.ExpFloat64()))
}

// event returns the steps of one event, or nil if nothing fits.
func (g *generator) event(at time.Duration, n int) []Step {
	step := Step{At: at, Event: n, Kind: g.kind(), Node: g.rand.IntN(g.cfg.Nodes), Begin: true, Pick: g.rand.Uint64() >> 32}
	p := promiseOf(step.Kind)
	lasts := g.lasts(p)
	key := busyKey{p.lane, step.Node}
	if p.lane == apiLane {
		key.node = 0
	}
	if p.lane != noLane && g.busy[key] > at || at+lasts >= g.cfg.Duration {
		return nil
	}
	if p.lane != noLane {
		g.busy[key] = at + lasts
	}
	if p.lane == agentLane && g.cfg.Longest > 0 {
		g.busy[key] += present
	}
	if !step.Kind.Lasts() {
		return []Step{step}
	}
	end := step
	end.At, end.Begin = at+lasts, false
	return []Step{step, end}
}

// lasts draws a time. It is a draw for every kind, so that a bound does not shift what
// follows.
func (g *generator) lasts(p promise) time.Duration {
	most := p.most
	if p.away && g.cfg.Longest > 0 {
		most = max(p.least, g.cfg.Longest)
	}
	return p.least + time.Duration(g.rand.Float64()*float64(most-p.least))
}

// kind draws a kind by weight.
func (g *generator) kind() Kind {
	n := g.rand.IntN(g.total)
	for _, s := range g.cfg.Shares {
		if n -= s.Weight; n < 0 {
			return s.Kind
		}
	}
	return g.cfg.Shares[0].Kind // not reached: n was below the sum of the weights
}
