// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"fairlead/proxier/resolve"
)

// TestTurns has one namespace with many Services and others with few.
func TestTurns(t *testing.T) {
	q := newTurns(func(types.NamespacedName) bool { return false })
	for i := range 5 {
		q.push(types.NamespacedName{Namespace: "evil", Name: fmt.Sprint(i)})
	}
	q.push(types.NamespacedName{Namespace: "a", Name: "0"})
	q.push(types.NamespacedName{Namespace: "b", Name: "0"})
	q.push(types.NamespacedName{Namespace: "evil", Name: "3"}) // waits already
	var got []string
	for q.len() > 0 {
		if got = append(got, q.pop().String()); len(got) == 4 {
			q.push(types.NamespacedName{Namespace: "a", Name: "0"})
		}
	}
	if s := strings.Join(got, " "); s != "evil/0 a/0 b/0 evil/1 evil/2 a/0 evil/3 evil/4" {
		t.Errorf("order %s", s)
	}
	if len(q.keys)+len(q.order) > 0 {
		t.Errorf("left: %v %v", q.keys, q.order)
	}
}

// TestTurnsByCost has one tenant with large Services and one with many small ones. Both get
// about as much done, and the small ones do not wait for each of the large ones' turns.
func TestTurnsByCost(t *testing.T) {
	if costOfUpdate < 4*costOfTurn || costOfTurn < 4*costOfStep {
		t.Errorf("an update of %d has no turns of %d of four namespaces, or a turn no steps of %d", costOfUpdate, costOfTurn, costOfStep)
	}
	q := newTurns(func(types.NamespacedName) bool { return false })
	for i := range 10 {
		q.push(types.NamespacedName{Namespace: "evil", Name: fmt.Sprint(i)})
	}
	for i := range 1000 {
		q.push(types.NamespacedName{Namespace: "small", Name: fmt.Sprint(i)})
	}
	spent, longest := map[string]int{}, 0
	work := func(key types.NamespacedName, pause resolve.Pause) {
		size := 128
		if key.Namespace == "evil" {
			size = 10 * costOfTurn
		}
		for range size / 64 {
			spent[key.Namespace] += 64
			pause(64)
		}
	}
	for turns := 0; q.len() > 0; turns++ {
		cost := q.take(work, func() bool { return false })
		longest = max(longest, cost)
		if _, waits := q.keys["small"]; waits && spent["evil"] > 2*spent["small"]+2*costOfTurn {
			t.Fatalf("after %d turns %v is spent", turns, spent)
		}
	}
	if longest > costOfTurn+costOfStep+costOfService {
		t.Errorf("the longest turn costs %d", longest)
	}
	if spent["small"] != 128_000 || spent["evil"] != 100*costOfTurn || len(q.order)+len(q.jobs) > 0 {
		t.Errorf("%v is spent, %v and %v are left", spent, q.order, q.jobs)
	}
}

// TestPeek looks at what is next without taking it.
func TestPeek(t *testing.T) {
	q := newTurns(func(types.NamespacedName) bool { return true })
	key := func(ns string, i int) types.NamespacedName {
		return types.NamespacedName{Namespace: ns, Name: fmt.Sprint(i)}
	}
	for i := range 1000 {
		q.push(key("evil", i))
	}
	for i := range 3 {
		q.push(key("a", i))
	}
	first := q.popOf("evil")
	got := q.peek(first, 200)
	if want := 1 + costOfTurn/costOfService + 3; len(got) != want || got[0] != first || got[1] != key("evil", 1) || got[want-1] != key("a", 2) {
		t.Errorf("%d Services from %v and %v to %v, want %d", len(got), got[0], got[1], got[len(got)-1], want)
	}
	if got := q.peek(first, 5); len(got) != 5 || q.len() != 1002 {
		t.Errorf("%v are next, and %d are left", got, q.len())
	}
}

// TestTakeAllAfterSuspension takes everything, as after a failed commit, while the work on
// the only Service of a namespace is suspended.
func TestTakeAllAfterSuspension(t *testing.T) {
	q := newTurns(func(types.NamespacedName) bool { return false })
	large, small := types.NamespacedName{Namespace: "large", Name: "0"}, types.NamespacedName{Namespace: "small", Name: "0"}
	spent := map[types.NamespacedName]int{}
	work := func(key types.NamespacedName, pause resolve.Pause) {
		for range 10 * costOfTurn / costOfStep {
			if spent[key] += costOfStep; pause != nil {
				pause(costOfStep)
			}
		}
	}
	q.push(large)
	q.take(work, func() bool { return false })
	if !q.running(large) {
		t.Fatal("the work on the large Service is not suspended")
	}
	q.push(small)
	q.takeAll(work)
	if spent[large] != 10*costOfTurn || spent[small] != 10*costOfTurn || q.len()+len(q.order)+len(q.keys) > 0 {
		t.Errorf("%v is spent, %v and %v are left", spent, q.order, q.keys)
	}
}

// TestJobEndsWithItsWork uses up a turn with the last step of a Service. What follows when a
// Service is resolved, such as the report of addresses that it lost, must not take it for
// suspended.
func TestJobEndsWithItsWork(t *testing.T) {
	q := newTurns(func(types.NamespacedName) bool { return false })
	key, done := types.NamespacedName{Namespace: "a", Name: "0"}, false
	q.push(key)
	cost := 0
	for turns := 0; !done && turns < 100; turns++ {
		cost += q.take(func(_ types.NamespacedName, pause resolve.Pause) {
			for range 10 {
				pause(100)
			}
			done = true
		}, func() bool { return done })
	}
	if q.running(key) || q.len()+len(q.order) > 0 {
		t.Errorf("the work is done, and the Service still counts as suspended: %v", q.order)
	}
	if cost != 10*100+costOfService {
		t.Errorf("the work costs %d, want %d", cost, 10*100+costOfService)
	}
}
