// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"reflect"
	"testing"

	"fairlead/internal/inet"
	"fairlead/nat/nattest"
)

// TestLanesIdle: what waited at once does not decide how much memory stays, but for few.
func TestLanesIdle(t *testing.T) {
	for _, n := range []int{10, 2 * mostIdle} {
		l := newLanes()
		before := reflect.ValueOf(l.lane).Pointer()
		var keys []inet.Addr
		for i := range n {
			keys = append(keys, nattest.Addr(fmt.Sprintf("10.%d.%d.1:80", i>>8, i&255), inet.TCP))
			l.push(keys[i], "d/web", false, false)
		}
		for _, key := range keys {
			l.remove(key)
		}
		l.compact()
		if kept := reflect.ValueOf(l.lane).Pointer() == before; kept != (n <= mostIdle) {
			t.Errorf("after %d frontends the map is kept: %v", n, kept)
		}
		l.push(keys[0], "d/web", false, false)
		if l.len() != 1 || l.at[keys[0].IP] != 1 {
			t.Errorf("%d frontends wait, want 1", l.len())
		}
	}
}

// TestLanesExpect: lanes with room for a cluster take the room once, keep the order, and forget nothing
// that waits already.
func TestLanesExpect(t *testing.T) {
	const n = 4 * mostIdle
	keys := make([]inet.Addr, n)
	for i := range keys {
		keys[i] = nattest.Addr(fmt.Sprintf("10.%d.%d.1:80", i>>8, i&255), inet.TCP)
	}
	fill := func(expect int) (l lanes) {
		l = newLanes()
		l.expect(expect)
		for _, key := range keys {
			l.pushLast(key, false)
		}
		return l
	}
	grown := testing.AllocsPerRun(1, func() { fill(0) })
	if got := testing.AllocsPerRun(1, func() { fill(n) }); got > grown/2 {
		t.Errorf("lanes with room allocate %v times, and %v times without", got, grown)
	}
	l := fill(n)
	l.expect(2 * n)
	i := 0
	l.rest.each(func(key inet.Addr) bool {
		if key != keys[i] {
			t.Fatalf("frontend %d is %s, want %s", i, key, keys[i])
		}
		i++
		return true
	})
	if i != n || l.len() != n || l.at[keys[0].IP] != 1 {
		t.Errorf("%d of %d frontends wait, want %d", i, l.len(), n)
	}
}
