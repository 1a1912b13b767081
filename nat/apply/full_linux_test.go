// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package apply_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"fairlead/internal/inet"
	"fairlead/internal/nstest"
	"fairlead/nat"
	"fairlead/nat/apply"
	"fairlead/nat/nattest"
	"fairlead/nat/plan"
	"fairlead/nat/ruleset"
)

// TestSetFull has another program replace a set by a smaller one, and the kernel refuse more
// elements than fit (ENFILE). These are set aside and named, all else is served, and once the
// table is read the set has its size and all elements.
func TestSetFull(t *testing.T) {
	s := newSpoiler(t)
	state := plan.NewState()
	state.Configure(nattest.Settings())
	a := apply.New(s, state)
	state.Set(vip(1), cluster(3))
	round(t, a)
	for _, command := range []string{
		"flush chain inet fairlead invalid-source", "delete set inet fairlead outside-backends4",
		"add set inet fairlead outside-backends4 { type ipv4_addr; size 2; }",
	} {
		if out, err := nstest.Command(t, s.ns, "nft", command).CombinedOutput(); err != nil {
			t.Fatalf("nft %s: %v\n%s", command, err, out)
		}
	}
	const outside = 6
	for i := range outside {
		state.Set(nattest.Addr(fmt.Sprintf("10.96.1.%d:80", i), inet.TCP), nat.Frontend{
			Policy: nat.Internal, Exclusive: true, Owner: "default/outside", Backends: nattest.Backends(fmt.Sprintf("198.51.100.%d:80", i)),
		})
	}
	state.Set(vip(2), cluster(2))
	named := 0
	for more := true; more; {
		r, err := a.Round(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range r.Objects {
			if strings.HasPrefix(o.Object, "outside-backends4 198.51.100.") && o.Err == unix.ENFILE { //nolint:errorlint // a bare number
				named++
			}
		}
		named += len(r.Refused)
		more = r.More
	}
	served := strings.Count(elements(t, s), "backends4 10.96.0.2 ")
	if named == 0 || served != 2 {
		t.Errorf("%d elements or frontends were named, %d backends of the other Service are served; want some, and 2", named, served)
	}
	a.Distrust()
	state.Retry()
	if refused, chains := round(t, a); len(refused)+len(chains) > 0 || state.Pending() > 0 {
		t.Errorf("after the load: refused %v %v, %d pending", refused, chains, state.Pending())
	}
	if n := strings.Count(elements(t, s), "outside-backends4 198.51.100."); n != outside {
		t.Errorf("%d elements in the set, want %d", n, outside)
	}
	settled(t, s, state, 2+outside)
}

// busy is a kernel that refuses to delete sets for a while.
type busy struct {
	*spoiler
	times int
}

func (b *busy) Commit(ctx context.Context, batch ruleset.Batch) error {
	for i := range batch {
		if batch[i].Verb == ruleset.DeleteSet && b.times > 0 {
			b.times--
			return fmt.Errorf("%w: %w", nat.ErrDrift, &ruleset.RefusedError{Refusals: []ruleset.Refusal{{Index: i, Err: unix.EBUSY}}})
		}
	}
	return b.spoiler.Commit(ctx, batch)
}

// TestSetBusy has the kernel refuse for a while (EBUSY) to delete a set that is declared in
// another way. Nothing is set aside, and the set is replaced as soon as the kernel lets it.
func TestSetBusy(t *testing.T) {
	for _, times := range []int{1, 2, 3, 10} {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprintf("times=%d/restart=%v", times, restart), func(t *testing.T) {
				s := newSpoiler(t)
				state := wanted(20)
				b := &busy{spoiler: s}
				a := apply.New(b, state)
				round(t, a)
				for _, command := range []string{
					"flush chain inet fairlead invalid-source", "delete set inet fairlead outside-backends4",
					"add set inet fairlead outside-backends4 { type ipv4_addr; flags timeout; timeout 1h; }",
				} {
					if out, err := nstest.Command(t, s.ns, "nft", command).CombinedOutput(); err != nil {
						t.Fatalf("nft %s: %v\n%s", command, err, out)
					}
				}
				b.times = times
				if restart {
					state = wanted(20)
					a = apply.New(b, state)
				} else {
					a.Distrust()
				}
				errs := 0
				for more := true; more; {
					r, err := a.Round(t.Context())
					if len(r.Refused)+len(r.Chains)+len(r.Objects) > 0 {
						t.Errorf("set aside: %v %v %v", r.Refused, r.Chains, r.Objects)
					}
					if errs++; err == nil {
						errs--
					} else if errs > times {
						t.Fatal(err)
					}
					more = r.More || err != nil // the agent waits before it tries again
				}
				if b.times > 0 {
					t.Errorf("%d refusals are left", b.times)
				}
				settled(t, s, state, 20)
			})
		}
	}
}
