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
