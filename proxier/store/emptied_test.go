// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"reflect"
	"testing"
)

func TestEmptied(t *testing.T) {
	for _, n := range []int{10, 2 * MostIdle} {
		m := map[int]struct{}{}
		for i := range n {
			m[i] = struct{}{}
		}
		out := Emptied(m)
		if kept := reflect.ValueOf(out).Pointer() == reflect.ValueOf(m).Pointer(); len(out) > 0 || kept != (n <= MostIdle) {
			t.Errorf("after %d entries the map is kept: %v, with %d", n, kept, len(out))
		}
	}
}
