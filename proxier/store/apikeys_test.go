// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"maps"
	"testing"

	"fairlead/proxier/objects"
)

// TestAPIKeys: each object has the source that named it last, and objects of several kinds may
// have one name.
func TestAPIKeys(t *testing.T) {
	a := newAPIKeys()
	web, slice, other := objects.Key{Kind: objects.KindService, Name: "d/web"}, objects.Key{Kind: objects.KindSlice, Name: "d/web"}, objects.Key{Kind: objects.KindNode, Name: "n"}
	a.set(web, "first")
	a.set(slice, "second")
	a.set(web, "second")
	a.set(other, "first")
	for source, want := range map[string]map[objects.Key]bool{"first": {other: true}, "second": {web: true, slice: true}, "none": {}} {
		got := map[objects.Key]bool{}
		for key := range a.of(source) {
			got[key] = true
		}
		if !maps.Equal(got, want) {
			t.Errorf("%s has %v, want %v", source, got, want)
		}
	}
	a.remove(slice)
	a.remove(objects.Key{Kind: objects.KindPod, Name: "d/none"})
	if a.has(slice) || !a.has(web) || !a.has(other) {
		t.Errorf("after a removal: %v", a.kinds)
	}
	for range a.of("first") {
		break // an iteration may end early
	}
}
