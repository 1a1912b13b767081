// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"net/netip"
	"slices"

	"fairlead/internal/inet"
)

// service tries a Service in one IP version.
func (w *World) service(c Client, s *Service, f inet.Family) (out []Check) {
	check := Check{Kind: s.Kind, From: c, What: "Service " + w.Namespace + "/" + s.Name, Proto: s.Proto, Skip: s.Skip}
	if s.Skip != "" {
		return []Check{check}
	}
	check.Want = w.want(c, s, f)
	try := func(ip netip.Addr, port uint16) {
		if ip.IsValid() {
			check.Target = at(ip, port)
			out = append(out, check)
		}
	}
	inside := c.Node != ""
	switch s.Kind {
	case ClusterIP, Affinity:
		if inside {
			try(pick(s.ClusterIPs, f), ServicePort)
		}
	case InternalLocal, Hairpin:
		elsewhere := s.Backends == First && len(w.Nodes) > 0 && w.Nodes[0].Name != c.Node // nobody may answer
		if inside && (len(check.Want.Servers) > 0 || elsewhere) {
			try(pick(s.ClusterIPs, f), ServicePort)
		}
	case ExternalIP, LoadBalancer, BalancerLocal, SourceRanges:
		try(pick(s.IPs, f), ServicePort)
	case NodePort:
		for _, n := range w.peers(c) {
			check.To = n.Name
			try(pick(n.Addrs, f), s.NodePort)
		}
	case ExternalLocal:
		return w.externalLocal(check, s, f)
	}
	return out
}

// want returns who may answer to a Service.
func (w *World) want(c Client, s *Service, f inet.Family) (want Want) {
	for i, n := range w.Nodes {
		if pick(n.Pod, f).IsValid() && (s.Kind != InternalLocal || n.Name == c.Node) && (s.Backends != First || i == 0) {
			want.Servers = append(want.Servers, PodServer(n.Name))
		}
	}
	switch s.Kind {
	case ClusterIP:
		if len(want.Servers) > 1 {
			want.Spread, want.Count = true, spread
		}
	case Affinity:
		want.Same, want.Count = true, sticky
	case SourceRanges:
		want.Servers = nil
	case BalancerLocal: // clients inside get all endpoints, as from kube-proxy
		if c.Node == "" && len(want.Servers) > 0 { // the network leads to the first node
			want.Servers, want.Source = want.Servers[:1], true
		}
	case Hairpin:
		want.Servers = nil
		if !c.Host {
			want.Servers = []string{ClientServer(c.Node)}
		}
	}
	return want
}

// externalLocal tries ports of other nodes, whose servers alone may answer. What a node
// and its pods send to the node itself is not external, so that it is left out.
func (w *World) externalLocal(check Check, s *Service, f inet.Family) (out []Check) {
	if check.From.Node != "" && !check.From.Host {
		return nil // other nodes see pods as clients in some networks and their node in others
	}
	for i, n := range w.Nodes {
		to := pick(n.Addrs, f)
		tried := slices.ContainsFunc(w.peers(check.From), func(p Node) bool { return p.Name == n.Name })
		if n.Name == check.From.Node || !to.IsValid() || !tried {
			continue
		}
		check.Target, check.To = at(to, s.NodePort), n.Name
		check.Want = Want{}
		if pick(n.Pod, f).IsValid() && (s.Backends == Servers || i == 0) {
			check.Want = Want{Servers: []string{PodServer(n.Name)}, Source: true}
		}
		out = append(out, check)
	}
	return out
}

// names looks up names of Services.
func (w *World) names(c Client) (out []Check) {
	if !w.Names || c.Node == "" {
		return nil
	}
	for i := range w.Services {
		s := &w.Services[i]
		check := Check{Kind: DNS, From: c, Target: s.Name + "." + w.Namespace + ".svc"}
		check.What = "name " + check.Target
		switch s.Kind {
		case ClusterIP:
			check.Want.Addrs = s.ClusterIPs
		case Headless:
			check.Kind = Headless
			for _, n := range w.Nodes {
				check.Want.Addrs = append(check.Want.Addrs, n.Pod...)
			}
		}
		if len(check.Want.Addrs) == 0 || s.Proto != TCP {
			continue
		}
		for _, proto := range []Proto{UDP, TCP} {
			check.Proto = proto
			out = append(out, check)
		}
	}
	return out
}
