// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package overlay

import "net/netip"

// Report is what a pass of the Keeper did, and how things stand after it.
type Report struct {
	// Written counts devices and entries that were added, changed or removed, and
	// Repaired those among them that somebody else had changed, or the kernel had
	// dropped, since they were written.
	Written, Repaired int
	// Resynced says that the kernel's state was read anew.
	Resynced bool
	// Problems are what keeps parts of the overlay from working, what the kernel
	// refuses included. They stand in each report until they are gone.
	Problems []Problem
	// Err is what failed, and will be tried again.
	Err error
	// Ready says that pods can be started: the devices are in place, and all that
	// is wanted was written once, but for what the kernel refuses for reasons of
	// its own. It does not go back to false.
	Ready bool
	// MTU is what pods are to be given; 0 while it is not known.
	MTU int
	// Devices are the names of the tunnels' devices.
	Devices []string
	// VTEPs are the node's own addresses on them, the first of its pod CIDRs: the
	// source of what the node itself sends to pods on other nodes.
	VTEPs []netip.Addr
	// Tunnel is what a packet filter has to know.
	Tunnel Tunnel

	// Version is the number of calls of Keeper.Set before the pass.
	Version uint64
}

// Describe copies from a plan what others have to know.
func (r *Report) Describe(p *Plan) {
	r.MTU, r.Tunnel = p.MTU, p.Tunnel
	for _, d := range p.Devices {
		r.Devices = append(r.Devices, d.Name)
	}
	r.VTEPs = p.VTEPs
}
