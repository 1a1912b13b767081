// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"fmt"
	"reflect"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"fairlead/internal/inet"
	"fairlead/nat/nattest"
	"fairlead/proxier/resolve"
	"fairlead/proxier/store"
)

// TestEmptied: what waited at once does not decide how much memory stays. A map that is
// cleared keeps its memory, so the maps have to be others.
func TestEmptied(t *testing.T) {
	pointer := func(m any) uintptr { return reflect.ValueOf(m).Pointer() }
	for _, n := range []int{10, 2 * store.MostIdle} {
		kept := n <= store.MostIdle
		waiting := newTurns(func(types.NamespacedName) bool { return true })
		d := &desired{flows: newStaleFlows()}
		before := []uintptr{pointer(waiting.waits), pointer(d.flows.of)}
		for i := range n {
			waiting.push(types.NamespacedName{Namespace: "default", Name: fmt.Sprint(i)})
			d.flows.add(nattest.Addr(fmt.Sprintf("10.%d.%d.1:80", i>>8, i&255), inet.TCP))
		}
		waiting.takeAll(func(types.NamespacedName, resolve.Pause) {})
		for a := range d.flows.of {
			d.flows.done(a)
		}
		for i, now := range []uintptr{pointer(waiting.waits), pointer(d.flows.of)} {
			if (now == before[i]) != kept {
				t.Errorf("after %d entries map %d is kept: %v, want %v", n, i, !kept, kept)
			}
		}
	}
}
