// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"fmt"
	"net/netip"

	"fairlead/internal/inet"
	"fairlead/nat"
)

// hostPortsOf returns the ports of the node that its Pods have, and what is
// wrong with them: a pure function of the Pods, the oldest first. Of two Pods
// with one port the older has it.
func hostPortsOf(pods []*Pod, loopback bool) ([]nat.HostPort, []Problem) {
	var out []nat.HostPort
	var problems []Problem
	owner := map[inet.Addr]*Pod{}
	for _, p := range pods {
		for i := range p.Ports {
			served := false
			for _, hp := range p.hostPort(&p.Ports[i]) {
				served = true
				if why := notServed(hp.Addr.IP, loopback); why != "" {
					problems = append(problems, Problem{Kind: kindPod, Name: p.Key.String(), Field: p.Ports[i].Field, Text: describeHostPort(hp.Addr) + " " + why})
					continue
				}
				if first, taken := owner[hp.Addr]; taken {
					problems = append(problems, Problem{
						Kind: kindPod, Name: p.Key.String(), Field: p.Ports[i].Field,
						Text: fmt.Sprintf("%s belongs to Pod %s, which is older or comes first by name", describeHostPort(hp.Addr), first.Key),
					})
					continue
				}
				owner[hp.Addr] = p
				out = append(out, hp)
			}
			if !served {
				problems = append(problems, Problem{
					Kind: kindPod, Name: p.Key.String(), Field: p.Ports[i].Field,
					Text: fmt.Sprintf("the Pod has no address of the family of %s", p.Ports[i].HostIP),
				})
			}
		}
	}
	return out, problems
}

// notServed returns why the address of a host port cannot be served, or "". Addresses
// of other hosts are not known here; the table leaves connections to them alone.
func notServed(ip netip.Addr, loopback bool) string {
	switch {
	case !ip.IsLoopback():
		return ""
	case ip.Is6():
		return "is not served: Linux sends no packets from ::1 to pods"
	case !loopback:
		return "is not served: loopback addresses need --cni-conf-dir"
	}
	return ""
}

// hostPort returns one host port for each family that the Pod and the port have.
func (p *Pod) hostPort(port *PodPort) []nat.HostPort {
	var out []nat.HostPort
	seen := map[bool]bool{}
	for _, ip := range p.IPs {
		at := port.HostIP
		switch {
		case seen[ip.Is4()] || at.IsValid() && at.Is4() != ip.Is4():
			continue
		case !at.IsValid() && ip.Is4():
			at = netip.IPv4Unspecified()
		case !at.IsValid():
			at = netip.IPv6Unspecified()
		}
		seen[ip.Is4()] = true
		out = append(out, nat.HostPort{
			Addr: inet.Addr{IP: at, Port: port.HostPort, Proto: port.Proto},
			Pod:  netip.AddrPortFrom(ip, port.Port), Owner: p.Key.String(),
		})
	}
	return out
}

func describeHostPort(a inet.Addr) string {
	if a.IsNodePort() {
		return fmt.Sprintf("host port %d/%s", a.Port, a.Proto)
	}
	return "host port " + a.String()
}

// updateHostPorts brings the state up to date with the node's Pods.
func (d *desired) updateHostPorts() {
	ports, problems := hostPortsOf(d.store.Pods(d.cfg.NodeName), d.cfg.Loopback)
	for _, hp := range d.hostPorts {
		d.flowsOf(hp.Addr)
	}
	clear(d.hostPorts)
	for _, hp := range ports {
		d.hostPorts[hp.Addr] = hp
		d.flowsOf(hp.Addr)
	}
	d.state.SetHostPorts(ports)
	d.podProblems, d.news = problems, true
}

// hiddenHostPorts reports host ports that a Service has, too.
func (d *desired) hiddenHostPorts() []Problem {
	var out []Problem
	for a, hp := range d.hostPorts {
		if c, ok := d.claims.owner(a); ok {
			out = append(out, Problem{Kind: kindPod, Name: hp.Owner,
				Text: fmt.Sprintf("%s is not served: Service port %s has it", describeHostPort(a), c.frontend.Owner)})
		}
	}
	return out
}

// flowsOf notes that flows to an address may be stale after the commit.
func (d *desired) flowsOf(a inet.Addr) { d.flows[a] = struct{}{} }

// backends returns the backends at a that may answer flows and those that exist,
// false if nothing is served there. A Service precedes a Pod, as in the table.
func (d *desired) backends(a inet.Addr) (serving, existing []netip.AddrPort, ok bool) {
	if c, ok := d.claims.owner(a); ok {
		return c.serving, c.existing, true
	}
	if hp, ok := d.hostPorts[a]; ok {
		pod := []netip.AddrPort{hp.Pod}
		return pod, pod, true
	}
	return nil, nil, false
}
