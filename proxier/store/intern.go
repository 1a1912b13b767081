// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"strings"

	"fairlead/proxier/objects"
)

// maxNames bounds how many removed names the store remembers.
const maxNames = 1 << 16

// intern makes all endpoints of a node share one copy of its name. Decoding makes a
// copy for each, and there are far more endpoints than nodes and zones.
func (tx *Tx) intern(slice *objects.Slice) {
	names := tx.s.names
	if len(names) > maxNames {
		clear(names)
	}
	share := func(s *string) {
		if *s == "" {
			return
		}
		have, ok := names[*s]
		if !ok {
			have = strings.Clone(*s) // not a piece of something larger
			names[have] = have
		}
		*s = have
	}
	for i := range slice.Endpoints {
		ep := &slice.Endpoints[i]
		share(&ep.Node)
		share(&ep.Zone)
		for j := range ep.ForZones {
			share(&ep.ForZones[j])
		}
		for j := range ep.ForNodes {
			share(&ep.ForNodes[j])
		}
	}
}
