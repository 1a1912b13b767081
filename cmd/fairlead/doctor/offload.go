// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"strings"

	"fairlead/internal/offload"
)

// checkOffloads says which devices write checksums of tunnelled packets. Only packets
// show whether they are right: see checkPeers.
func (d *doctor) checkOffloads(context.Context) {
	const check = "offload"
	if d.overlay == nil || d.links == nil || len(d.overlay.Devices) == 0 {
		return
	}
	for _, name := range d.overlay.Devices {
		if d.links.Link(name) == nil {
			continue // checkOverlay says so
		}
		s, err := offload.Read(nil, name)
		switch {
		case err != nil:
			d.unknown(check, "%v", err)
		case len(s.On) == 0:
			d.ok(check, "the kernel computes the checksums of packets through %s", name)
		default:
			d.ok(check, "checksums of packets through %s are left to the network card (%s); the check \"peers\" shows whether they arrive", name, strings.Join(s.On, ", "))
		}
	}
}
