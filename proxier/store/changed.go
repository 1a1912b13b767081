// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"reflect"

	"fairlead/proxier/objects"
)

// mostChanged is how many slices of a View Changed returns.
const mostChanged = 8

// Changed returns the slices that differ from those of an earlier View of the same Service, as they were
// and as they are. Slices never change in the store, so it compares pointers. It reports false if
// the Service differs, or more than the endpoints of a few slices.
func (v *View) Changed(before *View) (was, now []*objects.Slice, ok bool) {
	if v.Service != before.Service || v.Service == nil || len(v.slices) != len(before.slices) {
		return nil, nil, false
	}
	for i, p := range v.slices {
		old := before.slices[i]
		if p == old {
			continue
		}
		if len(now) == mostChanged || !p.sameHead(old) {
			return nil, nil, false
		}
		was, now = append(was, old.unpack()), append(now, p.unpack())
	}
	return was, now, true
}

// sameHead reports whether two slices differ by endpoints and the time of the change at most.
func (p *packed) sameHead(o *packed) bool {
	was := p.head
	was.Changed = o.head.Changed
	return reflect.DeepEqual(&was, &o.head)
}

func (p *packed) unpack() *objects.Slice {
	s := p.head
	s.Endpoints = make([]objects.Endpoint, len(p.places))
	p.endpoints(s.Endpoints)
	return &s
}
