// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package overlay

import "fairlead/internal/inet"

// Overhead is the number of bytes that a tunnel adds to a pod's packet: the inner
// Ethernet header and the VXLAN, UDP and IP headers.
func Overhead(underlay inet.Family) int {
	if underlay == inet.IPv4 {
		return 14 + 8 + 8 + 20
	}
	return 14 + 8 + 8 + 40
}

// guessedMTU is assumed if the egress interface is not known.
const guessedMTU = 1500

// room returns how large a pod's packet may be on the underlay of a family.
func (p *Planner) room(f inet.Family) int {
	mtu := guessedMTU
	if l := p.net.Egress(p.own[f]); l != nil {
		mtu = l.MTU
	} else {
		p.add(p.self.Name, fieldUnderlay, "no interface has %s and there is no default route: its MTU is taken to be %d", p.own[f], mtu)
	}
	if p.cfg.Mode != HostGateway {
		mtu -= Overhead(f)
	}
	return mtu
}

// measure sets the MTU of the devices.
func (p *Planner) measure() {
	for _, f := range inet.Families() {
		if !p.own[f].IsValid() {
			continue
		}
		p.mtu[f] = p.room(f)
		if p.cfg.MTU != 0 {
			if p.cfg.MTU > p.mtu[f] {
				p.add(p.self.Name, fieldMTU, "%d is more than the %d that fit into packets from %s", p.cfg.MTU, p.mtu[f], p.own[f])
			}
			p.mtu[f] = p.cfg.MTU
		}
		p.mtu[f] = min(p.mtu[f], maxMTU)
		switch needed := p.neededMTU(); {
		case p.mtu[f] >= needed:
		case needed == minMTU6:
			p.add(p.self.Name, fieldMTU, "%d on packets from %s is less than the %d that IPv6 needs: IPv6 pods are not reached that way", p.mtu[f], p.own[f], needed)
		default:
			p.add(p.self.Name, fieldMTU, "%d on packets from %s is less than %d", p.mtu[f], p.own[f], needed)
		}
		// Below that the kernel refuses IPv4 on the device.
		p.mtu[f] = max(p.mtu[f], minMTU4)
	}
}

func (p *Planner) neededMTU() int {
	for _, cidr := range p.self.PodCIDRs {
		if inet.FamilyOf(cidr.Addr()) == inet.IPv6 {
			return minMTU6
		}
	}
	return minMTU4
}

// setMTU sets the MTU of pods to the smallest of the ways in use.
func (p *Planner) setMTU() {
	for _, f := range inet.Families() {
		used := p.carries[f] != [2]bool{} || p.cfg.Mode == HostGateway && p.own[f].IsValid()
		if used && (p.MTU == 0 || p.mtu[f] < p.MTU) {
			p.MTU = p.mtu[f]
		}
	}
}
