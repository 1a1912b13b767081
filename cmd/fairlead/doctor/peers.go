// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"fairlead/cmd/fairlead/doctor/finding"
	"fairlead/internal/inet"
	"fairlead/overlay"
	"fairlead/overlay/probe"
	"fairlead/proxier/objects"
)

const (
	maxPeers = 256 // that are asked
	atOnce   = 16
	discard  = 9 // RFC 863; nobody listens there, so the kernel of the peer answers
	tries    = 3 // the kernel limits how many such answers it sends
)

// checkPeers sends packets to every other node, through the tunnel and beside it.
func (d *doctor) checkPeers(ctx context.Context) {
	const check = "peers"
	if d.overlay == nil || d.objects == nil {
		d.unknown(check, "other nodes were not asked: there is no overlay, or its nodes are not known")
		return
	}
	var peers []*objects.Node
	for _, n := range d.objects.Nodes() {
		if n.Name != d.Config.Proxier.NodeName && !n.Leaving {
			peers = append(peers, n)
		}
	}
	if len(peers) == 0 {
		d.ok(check, "there are no other nodes")
		return
	}
	if len(peers) > maxPeers {
		d.unknown(check, "%d of %d nodes were not asked", len(peers)-maxPeers, len(peers))
		peers = peers[:maxPeers]
	}
	asked := make([]peer, len(peers))
	var group errgroup.Group
	group.SetLimit(atOnce)
	for i, n := range peers {
		asked[i] = peer{d: d, ctx: ctx, node: n}
		group.Go(func() error {
			asked[i].ask()
			return nil
		})
	}
	_ = group.Wait() // no member returns an error
	good := 0
	for i := range asked {
		if len(asked[i].found) == 0 {
			good++
		}
		d.report.Findings = append(d.report.Findings, asked[i].found...)
	}
	if good > 0 {
		d.ok(check, "%d of %d other nodes answer packets of up to %d bytes from pods' addresses", good, len(peers), d.overlay.MTU)
	}
}

// peer is one node that is asked.
type peer struct {
	d     *doctor
	ctx   context.Context //nolint:containedctx // it lives for one call
	node  *objects.Node
	found []finding.Finding

	mu sync.Mutex
}

func (p *peer) add(s finding.Severity, remedy []string, format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.found = append(p.found, finding.Finding{Check: "peers", Severity: s, Evidence: "node " + p.node.Name + ": " + fmt.Sprintf(format, args...), Remedy: remedy})
}

// ask makes all checks of one node.
func (p *peer) ask() {
	for _, f := range inet.Families() {
		var own, theirs netip.Addr
		for _, a := range p.d.overlay.VTEPs {
			if inet.FamilyOf(a) == f {
				own = a
			}
		}
		for _, cidr := range p.node.PodCIDRs {
			if inet.FamilyOf(cidr.Addr()) == f {
				theirs = cidr.Masked().Addr()
			}
		}
		if own.IsValid() && theirs.IsValid() && p.tunnelled() {
			p.askTunnel(f, own, theirs)
		}
	}
	for _, f := range inet.Families() {
		if own, theirs := p.underlay(f); own.IsValid() && theirs.IsValid() {
			p.askPath(f, own, theirs)
		}
	}
}

func (p *peer) tunnelled() bool {
	m := p.d.Config.Proxier.Overlay.Mode
	return m == overlay.VXLAN || m == overlay.Direct
}

// underlay returns the addresses of both nodes of a family.
func (p *peer) underlay(f inet.Family) (own, theirs netip.Addr) {
	self, other := p.d.objects.Node(p.d.Config.Proxier.NodeName), p.d.Config.Proxier.Peer(p.node)
	if self != nil {
		n := p.d.Config.Proxier.OverlaySelf(self)
		own = n.Address(f)
	}
	return own, other.Address(f)
}

func (p *peer) send(q probe.Question) (probe.Answer, int) {
	q.Wait, q.Tries = p.d.Wait, tries
	a, mtu, err := probe.Ask(p.ctx, q)
	if err != nil {
		p.add(finding.Unknown, nil, "no packet could be sent: %v", err)
		return probe.Answered, 0
	}
	return a, mtu
}

// askTunnel asks through the tunnel: a small packet, then one as large as pods send.
func (p *peer) askTunnel(f inet.Family, own, theirs netip.Addr) {
	q := probe.Question{From: own, To: netip.AddrPortFrom(theirs, discard)}
	if a, _ := p.send(q); a != probe.Answered {
		p.explainSilence(f, q)
		return
	}
	q.Size, q.Whole = p.d.overlay.MTU, true
	a, mtu := p.send(q)
	if a == probe.Answered {
		return
	}
	if mtu == 0 {
		mtu = p.largest(q)
	}
	p.add(finding.Error, p.smaller(mtu), "packets of %d bytes, the MTU of pods, do not pass the tunnel, and those of %d do: large answers hang", p.d.overlay.MTU, mtu)
}

// smaller is the remedy for a path that lets packets of pods pass up to a size.
func (p *peer) smaller(mtu int) []string {
	return []string{
		fmt.Sprintf("start the agents of all nodes with --overlay-mtu=%d, and restart the pods", mtu),
		"or raise the MTU of the network between the nodes, or let ICMP \"fragmentation needed\" pass there",
	}
}

// largest finds, in a few steps, the size of packets that pass.
func (p *peer) largest(q probe.Question) int {
	const least, steps = 576, 6
	low, high := least, q.Size
	for range steps {
		q.Size = (low + high) / 2
		if a, _ := p.send(q); a == probe.Answered {
			low = q.Size
		} else {
			high = q.Size
		}
	}
	return low
}

// explainSilence finds out why small packets through the tunnel get no answer.
func (p *peer) explainSilence(f inet.Family, q probe.Question) {
	// Packets without a checksum, and fragments, whose checksums the kernel computes.
	if q.Unchecked = f == inet.IPv4; !q.Unchecked {
		q.Size = 2 * p.d.overlay.MTU
	}
	if a, _ := p.send(q); a == probe.Answered {
		p.add(finding.Error, []string{
			"start the agents of all nodes with --no-checksum-offload=tunnel; if that is not enough, with --no-checksum-offload=tunnel,uplink",
			"to try it at once: ethtool -K " + strings.Join(p.d.overlay.Devices, " tx off; ethtool -K ") + " tx off",
		}, "packets through the tunnel arrive only if this node's kernel computes their checksum: a network card or its driver spoils checksums of tunnelled packets")
		return
	}
	port := p.d.Config.Proxier.Overlay.WithDefaults().Port
	for _, f := range inet.Families() {
		own, theirs := p.underlay(f)
		if !own.IsValid() || !theirs.IsValid() {
			continue
		}
		tunnel, _ := p.send(probe.Question{From: own, To: netip.AddrPortFrom(theirs, port)})
		host, _ := p.send(probe.Question{From: own, To: netip.AddrPortFrom(theirs, discard)})
		switch {
		case tunnel == probe.Answered:
			p.add(finding.Error, []string{"check that the agent runs on node " + p.node.Name + " with the same --overlay and --overlay-port"},
				"nothing listens on UDP port %d of %s, so it has no tunnel", port, theirs)
		case host == probe.Answered:
			p.add(finding.Error, []string{
				fmt.Sprintf("let UDP port %d pass between the nodes, both ways: in the security group or network of the cloud, and in the firewalls of both nodes", port),
				"check that the agents of both nodes have the same --overlay-vni",
			}, "packets through the tunnel get no answer, and %s answers on another port: something drops UDP port %d", theirs, port)
		case host == probe.Unreachable:
			p.add(finding.Error, []string{"check that node " + p.node.Name + " is up and that its address in the Node object is right"}, "%s cannot be reached", theirs)
		default:
			p.add(finding.Error, []string{
				"check that node " + p.node.Name + " is up and that its address in the Node object is right",
				fmt.Sprintf("let UDP port %d pass between the nodes, both ways", port),
			}, "neither the tunnel nor %s itself answers", theirs)
		}
		return
	}
}

// askPath asks whether packets as large as the tunnel makes them get to a node in one
// piece.
func (p *peer) askPath(f inet.Family, own, theirs netip.Addr) {
	size := p.d.overlay.MTU
	if p.tunnelled() {
		size += overlay.Overhead(f)
	}
	a, mtu := p.send(probe.Question{From: own, To: netip.AddrPortFrom(theirs, discard), Size: size, Whole: true})
	if a != probe.TooBig || mtu == 0 {
		return
	}
	p.add(finding.Warning, p.smaller(mtu-(size-p.d.overlay.MTU)),
		"the way to %s lets packets of %d bytes pass, and those of pods take %d there: they are cut into fragments, which is slow and which many firewalls drop", theirs, mtu, size)
}
