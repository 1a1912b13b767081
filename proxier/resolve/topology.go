// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"

	"fairlead/proxier/objects"
)

// byTopology follows the hints of ready endpoints (KEP-2433, KEP-3015): those
// for this node, else those for its zone, else all. Hints of a level count only
// when every endpoint has them, so that they can be introduced gradually. The
// fallback is about the last level that has hints but was of no use: with it
// the endpoints returned are those of a wider level. level is the one that was followed.
func byTopology(ready []target, self *Self) (out []target, level string, why Fallback) {
	levels := []struct {
		name  string
		hints func(target) objects.Names
		self  string
	}{
		{levelNode, func(t target) objects.Names { return t.ForNodes }, self.Name},
		{levelZone, func(t target) objects.Names { return t.ForZones }, self.Zone},
	}
	for _, l := range levels {
		var ours []target
		var bare netip.AddrPort
		hinted := 0
		for _, t := range ready {
			hints := l.hints(t)
			switch {
			case hints.IsEmpty() && !bare.IsValid():
				bare = t.backend()
			case !hints.IsEmpty():
				hinted++
				if l.self != "" && hints.Has(l.self) {
					ours = append(ours, t)
				}
			}
		}
		switch {
		case hinted == 0:
		case bare.IsValid():
			why = Fallback{FallbackReason{l.name, reasonNoHint}, bare}
		case l.self == "":
			why = Fallback{FallbackReason: FallbackReason{l.name, reasonNoZone}}
		case len(ours) == 0:
			why = Fallback{FallbackReason: FallbackReason{l.name, reasonNotHere}}
		default:
			return ours, l.name, why
		}
	}
	return ready, "", why
}

// strangeHints reports hints for zones that no node is in, one for each slice
// and zone. Where the zone of no node is known nothing can be said.
func strangeHints(from []*objects.Slice, zones map[string]int) []objects.Problem {
	if len(zones) == 0 {
		return nil
	}
	var out []objects.Problem
	for _, s := range from {
		strange := map[string]netip.Addr{}
		for i := range s.Endpoints {
			for _, zone := range s.Endpoints[i].ForZones.List() {
				if _, told := strange[zone]; zones[zone] == 0 && !told {
					strange[zone] = s.Endpoints[i].Addr
				}
			}
		}
		for _, zone := range slices.Sorted(maps.Keys(strange)) {
			out = append(out, objects.Problem{
				Kind: objects.KindSlice, Name: s.Key.String(), UID: s.UID, Field: "endpoints.hints.forZones",
				Text: fmt.Sprintf("%s is hinted for zone %s, which no Node is in", strange[zone], strconv.Quote(zone)),
			})
		}
	}
	return out
}
