// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"fmt"
	"net/netip"
	"strings"

	"fairlead/cmd/fairlead/view"
	"fairlead/overlay"
)

// Hop is how a packet leaves this node.
type Hop struct {
	Device  string `json:"device,omitempty"`
	Gateway string `json:"gateway,omitempty"`
	// Tunnel is the address of the node at the other end of the tunnel.
	Tunnel string `json:"tunnel,omitempty"`
	MTU    int    `json:"mtu,omitempty"`
	// Here is set for an address of this node itself.
	Here bool `json:"here,omitempty"`
	// Broken says why packets do not get there.
	Broken string `json:"broken,omitempty"`
	// Remedy says what to do about it.
	Remedy string `json:"remedy,omitempty"`

	source netip.Addr // that masquerade gives packets
}

// hopTo follows the routes. forwarding is the settings of the kernel for packets that
// this node forwards, nil for its own.
func (p *Picture) hopTo(w view.Way, forwarding map[string]string) Hop {
	var h Hop
	if p.Network == nil {
		return h
	}
	if p.Network.IsLocal(w.Dst) {
		return Hop{Here: true, Device: "lo"}
	}
	r, ok := p.Network.Route(w)
	detour, astray := p.detour(w)
	switch {
	case astray:
		h = Hop{Broken: detour.Evidence, Remedy: strings.ToUpper(detour.Remedy[:1]) + detour.Remedy[1:]}
		h.Device, h.MTU = r.Device(), p.Network.MTUOf(r)
		return h
	case !ok:
		return Hop{Broken: "this node has no route to " + w.Dst.String(), Remedy: overlayRemedy}
	case r.Type != "unicast":
		return Hop{Broken: fmt.Sprintf("the route to %s is %s", r.Dst, r.Type), Remedy: overlayRemedy}
	}
	h.Device, h.MTU = r.Device(), p.Network.MTUOf(r)
	next := w.Dst
	if r.Gateway.IsValid() {
		h.Gateway, next = r.Gateway.String(), r.Gateway
	}
	h.source = p.Network.AddrOn(h.Device, next)
	if w.Dst.Is6() { // the kernel chooses by the destination (nf_nat_masquerade_ipv6)
		h.source = p.Network.AddrOn(h.Device, w.Dst)
	}
	link := p.Network.LinkNamed(h.Device)
	if remote, tunnel := p.Network.Tunnel(r); tunnel {
		h.Tunnel = remote.String()
		if !remote.IsValid() {
			h.Tunnel = ""
			h.Broken = fmt.Sprintf("the tunnel %s has no entry for the node behind %s", h.Device, h.Gateway)
			h.Remedy = overlayRemedy
		}
	}
	switch node := p.nodeOfPod(w.Dst); {
	case h.Broken != "":
	case r.Dst.Bits() == 0 && p.Config.Table.Overlay != nil && node != "":
		h.Broken, h.Remedy = fmt.Sprintf("the overlay has no route to the pods of %s, so the packets take the default route", node), overlayRemedy
	case link != nil && !link.Up:
		h.Broken, h.Remedy = fmt.Sprintf("device %s is down", h.Device), "Turn it on: ip link set "+h.Device+" up"
	case forwarding != nil && forwarding[forwardingSetting(w.Dst)] == "0":
		h.Broken = fmt.Sprintf("the kernel forwards no packets: %s is 0", forwardingSetting(w.Dst))
		h.Remedy = fmt.Sprintf("Let the agent set it (--set-sysctls), or run: sysctl -w %s=1", forwardingSetting(w.Dst))
	default:
		h.neighbour(p.Network, next)
	}
	return h
}

// detour returns what takes a packet to a pod of another node away from the overlay.
func (p *Picture) detour(w view.Way) (view.Detour, bool) {
	o := p.Config.Table.Overlay
	if o == nil || o.Mode == overlay.None || p.nodeOfPod(w.Dst) == "" {
		return view.Detour{}, false
	}
	return p.Network.DetourOf(w, view.Overlay{Protocol: o.WithDefaults().Protocol, Pods: p.Config.Table.ClusterCIDRs})
}

// nodeOfPod returns the other node whose range of pods has an address, or "".
func (p *Picture) nodeOfPod(ip netip.Addr) string {
	if p.Objects == nil {
		return ""
	}
	for _, n := range p.Objects.Nodes {
		for _, s := range n.Spec.PodCIDRs {
			if c, err := netip.ParsePrefix(s); err == nil && c.Contains(ip) && n.Name != p.Config.Table.NodeName {
				return n.Name
			}
		}
	}
	return ""
}

// overlayRemedy is for routes and tunnels.
const overlayRemedy = "Routes to pods of other nodes come from --overlay or from the network: see fairlead get nodes, and check that the Node has podCIDRs and that the agent's log has no problem of the overlay."

// neighbour notes that the kernel cannot find the next host.
func (h *Hop) neighbour(n *view.Network, next netip.Addr) {
	for i := range n.Neighbours {
		if nb := &n.Neighbours[i]; !nb.FDB && nb.Link == h.Device && nb.IP == next && nb.State == "failed" {
			h.Broken = fmt.Sprintf("no host answers for %s on %s", next, h.Device)
			h.Remedy = "Check that the host is up and that the network between connects it."
			return
		}
	}
}

func forwardingSetting(dst netip.Addr) string {
	if dst.Is4() {
		return "net/ipv4/ip_forward"
	}
	return "net/ipv6/conf/all/forwarding"
}

// words describes the hop without a verb: "device veth1, MTU 1500".
func (h *Hop) words() string {
	switch {
	case h.Broken != "":
		return h.Broken
	case h.Here:
		return "this node"
	case h.Device == "":
		return "unknown"
	}
	s := "device " + h.Device
	switch {
	case h.Tunnel != "":
		s = fmt.Sprintf("tunnel %s to node %s", h.Device, h.Tunnel)
	case h.Gateway != "":
		s += " via " + h.Gateway
	}
	if h.MTU > 0 {
		s += fmt.Sprintf(", MTU %d", h.MTU)
	}
	return s
}
