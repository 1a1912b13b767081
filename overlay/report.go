// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package overlay

import "net/netip"

// Report is what a pass of the Keeper did, and the state after it.
type Report struct {
	// Written is the number of devices and entries that the pass added, changed or
	// removed. Repaired is the number of those that another program or the kernel had
	// changed after the Keeper wrote them.
	Written, Repaired int
	// Resynced means that the pass read the kernel's state.
	Resynced bool
	// Problems prevent parts of the overlay from working. They include what the kernel
	// refused, and are in each report until they are solved.
	Problems []Problem
	// Err is the error after which the Keeper retries.
	Err error
	// WatchEnds is how often the watch of the kernel's changes ended with an error since the
	// last report, and WatchErr is the last of these errors. The Keeper watches again and reads
	// the kernel.
	WatchEnds int
	WatchErr  error
	// Ready means that pods can start: the devices are in place, and the whole plan was
	// written once, except for what the kernel refused. It stays true.
	Ready bool
	// Missing is how many devices of the tunnels are not in place. The Keeper retries.
	Missing int
	// MTU is that of new pods; 0 while it is not known.
	MTU int
	// Devices are the names of the tunnels' devices.
	Devices []string
	// VTEPs are the node's own addresses on them, the first of its pod CIDRs. The kernel
	// chooses them as the source of packets from the node to pods on other nodes.
	VTEPs []netip.Addr
	// Tunnel describes tunnel packets for a packet filter.
	Tunnel Tunnel

	// Version is the number of calls of Keeper.Set before the pass.
	Version uint64
}

// Describe copies the parts of a plan that other packages use.
func (r *Report) Describe(p *Plan) {
	r.MTU, r.Tunnel = p.MTU, p.Tunnel
	for _, d := range p.Devices {
		r.Devices = append(r.Devices, d.Name)
	}
	r.VTEPs = p.VTEPs
}
