// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package apply_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"fairlead/internal/inet"
	"fairlead/internal/netns"
	"fairlead/internal/nstest"
	"fairlead/nat"
	"fairlead/nat/apply"
	"fairlead/nat/kernel"
	"fairlead/nat/nattest"
	"fairlead/nat/plan"
	"fairlead/nat/ruleset"
)

func TestMain(m *testing.M) { nstest.Main(m) }

// spoiler is a table in the kernel that adds to some chains a rule that no kernel
// takes, and to some elements something that it refuses.
type spoiler struct {
	*kernel.Table
	ns      *netns.NS
	chain   string // name of a chain to spoil
	vip     string // frontend with a verdict to a chain that does not exist
	commits int
	delay   time.Duration
}

// impossible is a conversion of the byte order of one byte.
var impossible = []expr.Any{&expr.Byteorder{SourceRegister: unix.NFT_REG_1, DestRegister: unix.NFT_REG_1, Op: 7, Len: 1, Size: 1}}

func (s *spoiler) Commit(ctx context.Context, b ruleset.Batch) error {
	s.commits++
	time.Sleep(s.delay)
	spoilt := make(ruleset.Batch, len(b))
	for i, op := range b {
		if op.Verb == ruleset.AddChain && op.Chain.Name == s.chain {
			c := *op.Chain
			c.AddRule(impossible)
			op.Chain = &c
		}
		if op.Verb == ruleset.AddElement && op.Element.Set.IsSlots() && s.vip != "" && op.Element.Key.IP.String() == s.vip {
			op.Element.Set.Kind = ruleset.Hairpin // with the key of another set, and a zero address
		}
		spoilt[i] = op
	}
	return s.Table.Commit(ctx, spoilt)
}

func newSpoiler(t *testing.T) *spoiler {
	t.Helper()
	ns := nstest.New(t)
	table, err := kernel.Open(ns)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = table.Close() })
	return &spoiler{Table: table, ns: ns}
}

func vip(i int) inet.Addr { return nattest.Addr(fmt.Sprintf("10.96.0.%d:80", i), inet.TCP) }

func cluster(n int) nat.Frontend {
	return nat.Frontend{Policy: nat.Internal, Exclusive: true, Owner: "default/web", Backends: nattest.Pods(n)}
}

// round calls Round until there is no more to do.
func round(t *testing.T, a *apply.Applier) (refused, chains []string) {
	t.Helper()
	for {
		r, err := a.Round(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range r.Refused {
			refused = append(refused, f.Frontend.String())
		}
		for _, c := range r.Chains {
			chains = append(chains, c.Chain)
		}
		if !r.More {
			return refused, chains
		}
	}
}

func elements(t *testing.T, s *spoiler) string {
	t.Helper()
	found, err := s.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for e := range found.Elements.All() {
		fmt.Fprintln(&b, e.Set, e)
	}
	return b.String()
}

// TestRefusedChain has the kernel refuse the chain of one size class. That costs the
// frontends that need it, and no other; it ends when the kernel takes the chain.
func TestRefusedChain(t *testing.T) {
	s := newSpoiler(t)
	s.chain = "pick4-4"
	state := plan.NewState()
	state.Configure(nattest.Settings())
	for i := range 20 {
		state.Set(vip(i+1), cluster(1+i%4)) // every other one in class 4
	}
	a := apply.New(s, state)
	refused, chains := round(t, a)
	if len(refused) != 10 || len(chains) != 1 || chains[0] != "pick4-4" {
		t.Errorf("refused %v, chains %v; want 10 frontends and pick4-4", refused, chains)
	}
	if n := strings.Count(elements(t, s), "vips4"); n != 10 {
		t.Errorf("%d frontends are served, want 10", n)
	}
	if s.commits > 6 {
		t.Errorf("%d commits", s.commits)
	}
	s.chain = ""
	state.Retry()
	if refused, _ = round(t, a); len(refused) > 0 || state.Pending() != 0 {
		t.Errorf("still refused: %v, pending %d", refused, state.Pending())
	}
	if n := strings.Count(elements(t, s), "vips4"); n != 20 {
		t.Errorf("%d frontends are served, want 20", n)
	}
}

// TestRefusedChainAtStart meets elements that lead to a chain whose rules another
// program changed and whose repair the kernel refuses. They keep the chain, and
// everything else is mended.
func TestRefusedChainAtStart(t *testing.T) {
	s := newSpoiler(t)
	state := plan.NewState()
	state.Configure(nattest.Settings())
	state.Set(vip(1), cluster(4))
	state.Set(vip(2), cluster(1))
	round(t, apply.New(s, state))

	broken := ruleset.Chain{Name: "pick4-4"}
	if err := s.Commit(t.Context(), ruleset.Batch{{Verb: ruleset.AddChain, Chain: &broken}}); err != nil {
		t.Fatal(err)
	}
	s.chain = "pick4-4"
	again := plan.NewState()
	again.Configure(nattest.Settings())
	again.Set(vip(1), cluster(3))
	again.Set(vip(2), cluster(2))
	again.Set(vip(3), cluster(4)) // needs the chain
	a := apply.New(s, again)
	refused, chains := round(t, a)
	if len(chains) != 1 || len(refused) != 1 || refused[0] != vip(3).String() {
		t.Errorf("refused %v, chains %v", refused, chains)
	}
	got := elements(t, s)
	if strings.Count(got, "backends4 10.96.0.1 ") != 3 || strings.Count(got, "backends4 10.96.0.2 ") != 2 || strings.Contains(got, "10.96.0.3 ") {
		t.Errorf("the kernel has\n%s", got)
	}
	s.chain = ""
	again.Retry()
	if refused, chains = round(t, a); len(refused)+len(chains) > 0 || again.Pending() != 0 {
		t.Errorf("after the kernel takes it: refused %v, chains %v, %d pending", refused, chains, again.Pending())
	}
}

// TestRefusedFrontend has the kernel refuse one frontend among many, and name it.
func TestRefusedFrontend(t *testing.T) {
	s := newSpoiler(t)
	s.vip = "10.96.0.7"
	state := plan.NewState()
	state.Configure(nattest.Settings())
	for i := range 50 {
		state.Set(vip(i+1), cluster(3))
	}
	refused, _ := round(t, apply.New(s, state))
	if len(refused) != 1 || refused[0] != vip(7).String() {
		t.Errorf("refused %v, want %v", refused, vip(7))
	}
	if n := strings.Count(elements(t, s), "vips4"); n != 49 || s.commits > 4 {
		t.Errorf("%d frontends are served after %d commits, want 49 after few", n, s.commits)
	}
}

// TestBoundedRound has a large frontend and a slow kernel: a round ends, and a
// frontend that comes later does not wait for the large one.
func TestBoundedRound(t *testing.T) {
	s := newSpoiler(t)
	state := plan.NewState()
	state.Configure(nattest.Settings())
	a := apply.New(s, state)
	round(t, a)
	s.delay = 30 * time.Millisecond
	state.Set(vip(1), cluster(20000))
	r, err := a.Round(t.Context())
	if err != nil || !r.More || len(r.Commits) > 3 {
		t.Fatalf("first round: %d batches, more %v, %v", len(r.Commits), r.More, err)
	}
	state.Set(vip(2), cluster(2))
	if _, err = a.Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(elements(t, s), "vips4 10.96.0.2 ") {
		t.Error("a small frontend waits for a large one")
	}
	if round(t, a); state.Pending() != 0 || !strings.Contains(elements(t, s), "vips4 10.96.0.1 ") {
		t.Error("the large frontend is not served")
	}
}

// TestRepaired reports a repair for a change by another program, and none for a load
// that finds everything in place.
func TestRepaired(t *testing.T) {
	s := newSpoiler(t)
	state := plan.NewState()
	state.Configure(nattest.Settings())
	nattest.Variety(state)
	a := apply.New(s, state)
	round(t, a)
	a.Distrust()
	state.Set(vip(1), cluster(3))
	if r, err := a.Round(t.Context()); err != nil || len(r.Repaired) > 0 || r.Loads != 1 || len(r.Commits) == 0 {
		t.Errorf("a change of ours: repaired %v, %d loads, %d batches, %v", r.Repaired, r.Loads, len(r.Commits), err)
	}
	if err := s.Table.Commit(t.Context(), ruleset.Batch{{Verb: ruleset.FlushChain, Name: "services"}}); err != nil {
		t.Fatal(err)
	}
	a.Distrust()
	if r, err := a.Round(t.Context()); err != nil || len(r.Repaired) == 0 {
		t.Errorf("a change of another program: repaired %v, %v", r.Repaired, err)
	}
}

// unnamed refuses batches with a text without naming an operation.
type unnamed struct {
	*spoiler
	text string
}

func (u *unnamed) Commit(ctx context.Context, b ruleset.Batch) error {
	u.commits++
	if strings.Contains(b.String(), u.text) {
		return &ruleset.RefusedError{Refusals: []ruleset.Refusal{{Index: ruleset.Whole, Err: unix.EINVAL}}}
	}
	return u.Table.Commit(ctx, b)
}

// TestRefusedUnnamed finds the frontend that the kernel refuses without naming it.
func TestRefusedUnnamed(t *testing.T) {
	u := &unnamed{newSpoiler(t), "10.96.0.7 ."}
	state := plan.NewState()
	state.Configure(nattest.Settings())
	for i := range 30 {
		state.Set(vip(i+1), cluster(3))
	}
	refused, _ := round(t, apply.New(u, state))
	if len(refused) != 1 || refused[0] != vip(7).String() {
		t.Errorf("refused %v, want %v", refused, vip(7))
	}
	if n := strings.Count(elements(t, u.spoiler), "vips4"); n != 29 {
		t.Errorf("%d frontends are served, want 29", n)
	}
}

// lost answers nothing once.
type lost struct {
	*spoiler
	once bool
}

func (l *lost) Commit(ctx context.Context, b ruleset.Batch) error {
	err := l.spoiler.Commit(ctx, b)
	if l.once {
		l.once = false
		return errors.Join(nat.ErrLost, err)
	}
	return err
}

// TestLostAnswer loads the table after a commit whose outcome is not known.
func TestLostAnswer(t *testing.T) {
	l := &lost{newSpoiler(t), true}
	state := plan.NewState()
	state.Configure(nattest.Settings())
	nattest.Variety(state)
	a := apply.New(l, state)
	if _, err := a.Round(t.Context()); !errors.Is(err, nat.ErrLost) {
		t.Fatalf("Round = %v, want ErrLost", err)
	}
	if r, err := a.Round(t.Context()); err != nil || r.Loads != 1 {
		t.Errorf("next round: %d loads, %v", r.Loads, err)
	}
	found, err := l.Load(t.Context())
	if err != nil || len(state.Adopt(found)) > 0 {
		t.Errorf("the kernel differs from what is known, %v", err)
	}
}

// TestDistrustPart repairs rules without reading elements, and reads everything when more
// than rules turns out to differ.
func TestDistrustPart(t *testing.T) {
	s := newSpoiler(t)
	state := plan.NewState()
	state.Configure(nattest.Settings())
	nattest.Variety(state)
	c := &counting{spoiler: s}
	a := apply.New(c, state)
	round(t, a)
	for _, tt := range []struct {
		damage ruleset.Batch
		found  string
		full   int
	}{
		{nil, "", 0},
		{ruleset.Batch{{Verb: ruleset.FlushChain, Name: "services"}}, "1 chain (services)", 0},
		{ruleset.Batch{{Verb: ruleset.AddChain, Chain: &ruleset.Chain{Name: "mine"}}}, "1 chain (mine)", 0},
		{ruleset.Batch{{Verb: ruleset.FlushChain, Name: "services"}, {Verb: ruleset.DeleteSet, Name: "vips6"}}, "", 1},
		{ruleset.Batch{{Verb: ruleset.DeleteTable}}, "1 table (missing)", 1},
	} {
		if len(tt.damage) > 0 {
			if err := s.Table.Commit(t.Context(), tt.damage); err != nil {
				t.Fatal(err)
			}
		}
		c.full = 0
		a.DistrustPart(nat.Rules)
		var found plan.Drift
		for more := true; more; {
			r, err := a.Round(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			found.Merge(r.Repaired)
			more = r.More
		}
		if tt.found != "" && found.String() != tt.found || c.full != tt.full {
			t.Errorf("%s: found %q with %d full loads, want %q with %d", tt.damage, found, c.full, tt.found, tt.full)
		}
		left, err := s.Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if drift := state.Adopt(left); len(drift) > 0 {
			t.Errorf("%s: still differs: %s", tt.damage, drift)
		}
		round(t, a)
	}
}

// counting counts the loads of everything.
type counting struct {
	*spoiler
	full int
}

func (c *counting) Load(ctx context.Context) (*ruleset.Snapshot, error) {
	c.full++
	return c.spoiler.Load(ctx)
}
