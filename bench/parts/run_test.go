// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package parts

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairlead/bench/stat"
)

func testRun(t *testing.T) *Run {
	t.Helper()
	return &Run{Set: &stat.Set{}, Progress: t.Logf, Save: func() error { return nil }, durations: map[string]time.Duration{}}
}

// A subject that does not serve is void: its half turn does not count, and it has no
// other turn. The next subject is measured.
func TestVisitVoids(t *testing.T) {
	r := testRun(t)
	bad, good := turn{"latency", "peer", 100, 0}, turn{"latency", "fairlead", 100, 0}
	calls := 0
	for range 2 {
		err := r.visit(t.Context(), bad, func(context.Context) error {
			calls++
			r.add(bad, Update, "s", 1)
			return errors.New("other answered, want left")
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := r.visit(t.Context(), good, func(context.Context) error { r.add(good, Update, "s", 2); return nil }); err != nil {
		t.Fatal(err)
	}
	want := []stat.Sample{{Part: "latency", Metric: Update, Unit: "s", Subject: "fairlead", Services: 100, Value: 2}}
	if diff := cmp.Diff(want, r.Set.Samples); diff != "" || calls != 1 {
		t.Errorf("%d calls, (-want +got):\n%s", calls, diff)
	}
	if why, void := r.Set.Voided("latency", "peer", 100); !void || !strings.Contains(why, "other answered") {
		t.Errorf("void %v: %q", void, why)
	}
}

// The deadline of a part voids nobody, and the parts after it are done.
func TestDeadlineVoidsNobody(t *testing.T) {
	r := testRun(t)
	slow := turn{"slow", "peer", 1, 0}
	done := false
	err := r.All(t.Context(), []Part{
		{Name: "slow", Budget: time.Millisecond, Do: func(ctx context.Context, r *Run) error {
			return r.visit(ctx, slow, func(ctx context.Context) error {
				r.add(slow, Update, "s", 1)
				<-ctx.Done()
				return errors.New("interrupted")
			})
		}},
		{Name: "broken", Budget: time.Minute, Do: func(context.Context, *Run) error { return errors.New("no disk") }},
		{Name: "next", Budget: time.Minute, Do: func(context.Context, *Run) error { done = true; return nil }},
	})
	if err != nil || !done {
		t.Fatalf("done %v: %v", done, err)
	}
	if len(r.Set.Samples) != 0 || len(r.Set.Voids) != 0 {
		t.Errorf("samples %v, voids %v", r.Set.Samples, r.Set.Voids)
	}
	if notes := strings.Join(r.Notes, "\n"); !strings.Contains(notes, "slow reached its deadline") || !strings.Contains(notes, "broken failed: no disk") {
		t.Errorf("notes: %s", notes)
	}
}

// A turn that would not end before the deadline is not begun.
func TestVisitSparesTheDeadline(t *testing.T) {
	r := testRun(t)
	x := turn{"latency", "peer", 1, 0}
	r.durations[fmt.Sprint("latency", "peer", 1)] = time.Hour
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := r.visit(ctx, x, func(context.Context) error { t.Error("it was begun"); return nil }); !errors.Is(err, errBudget) {
		t.Errorf("%v", err)
	}
}

// Each subject has each place in the order once.
func TestRotated(t *testing.T) {
	want := [][]int{{0, 1, 2}, {1, 2, 0}, {2, 0, 1}, {0, 1, 2}}
	for round, order := range want {
		if diff := cmp.Diff(order, rotated(3, round)); diff != "" {
			t.Errorf("round %d:\n%s", round, diff)
		}
	}
}
