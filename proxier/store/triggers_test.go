// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"fairlead/proxier/objects"
	"fairlead/proxier/proxiertest"
)

// TestTriggers takes when a slice was changed once for each change, whatever
// becomes of its Service meanwhile, and none from before the start.
func TestTriggers(t *testing.T) {
	start := time.Now()
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Hour) }
	web := types.NamespacedName{Namespace: "default", Name: "web"}
	store := New()
	set := func(name string, changed time.Time, eps string) func(*Tx) {
		return func(tx *Tx) {
			s := proxiertest.SlicesOf(t, eps)[0]
			s.Key, s.Service, s.Changed = types.NamespacedName{Namespace: "default", Name: name}, web, changed
			tx.SetSlice(s)
		}
	}
	service := func(tx *Tx) { tx.SetService(&objects.Service{Key: web}) }
	for _, step := range []struct {
		name   string
		change []func(*Tx)
		want   []time.Time
	}{
		{name: "from before", change: []func(*Tx){service, set("a", time.Time{}, "a1"), set("b", at(-1), "a1")}},
		{name: "a change", change: []func(*Tx){set("a", at(3), "a1 a2")}, want: []time.Time{at(3)}},
		{name: "nothing changed", change: []func(*Tx){set("a", at(4), "a1 a2")}},
		{name: "an older one, of another slice", change: []func(*Tx){set("b", at(2), "b1")}, want: []time.Time{at(2)}},
		{name: "a change that does not say when", change: []func(*Tx){set("a", at(3), "a1")}},
		{name: "two at once", change: []func(*Tx){set("a", at(5), "a2"), set("b", at(6), "b2")}, want: []time.Time{at(5), at(6)}},
		{name: "the Service goes", change: []func(*Tx){func(tx *Tx) { tx.DeleteService(web) }}},
		{name: "and comes back", change: []func(*Tx){service}},
	} {
		for _, change := range step.change {
			store.Update(change)
		}
		var got []time.Time
		for _, tr := range store.TakeDirty().Triggers {
			got = append(got, tr.At)
		}
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.name, diff)
		}
	}
}
