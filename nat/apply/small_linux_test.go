// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package apply_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"fairlead/internal/inet"
	"fairlead/internal/nl/nltest"
	"fairlead/internal/nstest"
	"fairlead/nat"
	"fairlead/nat/apply"
	"fairlead/nat/kernel"
	"fairlead/nat/nattest"
	"fairlead/nat/plan"
	"fairlead/nat/ruleset"
)

// TestSmallBuffers brings a table into the kernel through sockets that have little room: batches
// that do not fit are split, and the table is read whole. Then it repairs the table while
// refusals and answers do not fit, and in the end the table equals the one that was written with
// as much room as needed.
func TestSmallBuffers(t *testing.T) {
	const services = 400
	for _, size := range []int{8 << 10, 32 << 10} {
		t.Run(fmt.Sprintf("size=%d", size), func(t *testing.T) {
			ns := nstest.New(t)
			calls := &nltest.SmallBuffers{Max: size}
			small, err := kernel.OpenWith(ns, calls)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = small.Close() })
			s := &spoiler{Table: small, ns: ns}
			other, err := kernel.Open(ns)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = other.Close() })
			want := func() *plan.State {
				state := wantedTable()
				for i := range services {
					state.Set(busyKey(i), cluster(10))
				}
				return state
			}
			state := want()
			a := apply.New(s, state)
			whole(t, a)
			const part = ruleset.DefaultLimit
			if least := services * 12 / part; s.commits <= least {
				t.Errorf("%d commits, want more than the %d of a larger buffer", s.commits, least)
			}
			found, err := small.Load(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			full, err := other.Load(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got, all := len(slices.Collect(found.Elements.All())), len(slices.Collect(full.Elements.All())); got != all || got < services*11 {
				t.Errorf("%d of %d elements were read", got, all)
			}
			for i := range services { // the kernel refuses to delete each of them once more
				if err := other.Commit(t.Context(), ruleset.Batch{{Verb: ruleset.DeleteElement, Element: ruleset.Element{Set: ruleset.VerdictsOf(busyKey(i)), Key: busyKey(i)}}}); err != nil {
					t.Fatal(err)
				}
				state.Set(busyKey(i), nat.Frontend{Policy: nat.Reject, Exclusive: true, Owner: "default/web"})
			}
			whole(t, a)
			state = want()
			a = apply.New(s, state) // after a restart
			whole(t, a)
			if drift, err := other.Load(t.Context()); err != nil {
				t.Fatal(err)
			} else if d := state.Adopt(drift); len(d) > 0 {
				t.Errorf("the kernel differs: %s", d)
			}
			if next := state.Next(0); next != nil && len(next.Batch) > 0 {
				t.Errorf("left to do: %v", next.Batch)
			}
		})
	}
}

// TestTinyBuffers has less room than the largest chain takes, so there can be no table. The error
// says so and names the chain, and the agent tries it again without an end only after a while.
func TestTinyBuffers(t *testing.T) {
	ns := nstest.New(t)
	small, err := kernel.OpenWith(ns, &nltest.SmallBuffers{Max: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = small.Close() })
	a := apply.New(&spoiler{Table: small, ns: ns}, wantedTable())
	for range 200 {
		r, err := a.Round(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range r.Chains {
			if c.Chain == "services" && errors.Is(c.Err, nat.ErrTooLarge) {
				return
			}
		}
	}
	t.Error("nothing was said")
}

func busyKey(i int) inet.Addr {
	return nattest.Addr(fmt.Sprintf("10.97.%d.%d:80", i/250, i%250), inet.TCP)
}

// whole calls Round until there is no more to do. A round may lose answers, and is repeated.
func whole(t *testing.T, a *apply.Applier) {
	t.Helper()
	failed := 0
	for more := true; more; {
		r, err := a.Round(t.Context())
		if err != nil {
			if failed++; failed > 20 {
				t.Fatal(err)
			}
			t.Log(err)
		}
		if n := len(r.Refused) + len(r.Chains) + len(r.Objects); n > 0 {
			t.Fatalf("set aside: %v %v %v", r.Refused, r.Chains, r.Objects)
		}
		more = r.More || err != nil
	}
}

// TestSmallBuffersCarry replaces an affinity map whose declaration differs, and whose entries do
// not fit into the buffer. The map is replaced nevertheless, all entries follow, and
// everything is served.
func TestSmallBuffersCarry(t *testing.T) {
	ns := nstest.New(t)
	small, err := kernel.OpenWith(ns, &nltest.SmallBuffers{Max: 32 << 10})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = small.Close() })
	s := &spoiler{Table: small, ns: ns}
	sticky := func() *plan.State {
		state := wanted(20)
		f := cluster(1)
		f.Affinity = time.Hour
		state.Set(vip(1), f)
		return state
	}
	whole(t, apply.New(s, wanted(20)))
	const clients = 4000
	list := make([]string, clients)
	for i := range list {
		list[i] = fmt.Sprintf("10.96.0.1 . tcp . 80 . 192.0.%d.%d timeout 3h : 10.244.0.1 . 80", i/250, i%250)
	}
	commands := []string{
		"delete map inet fairlead affinity4",
		"add map inet fairlead affinity4 { type ipv4_addr . inet_proto . inet_service . ipv4_addr : ipv4_addr . inet_service; size 5000; flags dynamic,timeout; }",
	}
	for part := range slices.Chunk(list, 250) {
		commands = append(commands, "add element inet fairlead affinity4 { "+strings.Join(part, ", ")+" }")
	}
	for _, command := range commands {
		if out, err := nstest.Command(t, ns, "nft", command).CombinedOutput(); err != nil {
			t.Fatalf("nft %.60s: %v\n%s", command, err, out)
		}
	}
	state := sticky()
	whole(t, apply.New(s, state))
	settled(t, s, state, 20)
	out, err := nstest.Command(t, ns, "nft", "list", "map", "inet", "fairlead", "affinity4").Output()
	if err != nil {
		t.Fatal(err)
	}
	left := strings.Count(string(out), " . 192.0.")
	if left != clients || strings.Contains(string(out), "size 5000") {
		t.Errorf("%d of %d clients were carried:\n%.300s", left, clients, out)
	}
	t.Logf("%d of %d clients were carried", left, clients)
}
