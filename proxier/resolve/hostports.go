// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"fmt"
	"net/netip"

	"k8s.io/apimachinery/pkg/types"

	"fairlead/internal/inet"
	"fairlead/nat"
	"fairlead/proxier/objects"
)

// HostPortWishes returns the ports of the node that a Pod asks for, each once,
// and what is wrong with them: a pure function of the Pod. seen is the number of the pass, from 1;
// had holds the comments on the host ports that the kernel has, and may be nil.
func HostPortWishes(p *objects.Pod, self *Self, loopback bool, seen uint64, had map[inet.Addr]string) ([]Wish[inet.Addr, PodPort], []objects.Problem) {
	var out []Wish[inet.Addr, PodPort]
	var problems []objects.Problem
	asked := map[inet.Addr]struct{}{}
	for i := range p.Ports {
		port := &p.Ports[i]
		if why := describeHostIP(port.HostIP, self); why != "" {
			problems = append(problems, podProblem(p, port.Field, "%s", why))
		}
		served := hostPort(p, port)
		for _, hp := range served {
			if why := notServed(hp.Addr.IP, loopback); why != "" {
				problems = append(problems, podProblem(p, port.Field, "%s %s", describeHostPort(hp.Addr), why))
				continue
			}
			if _, twice := asked[hp.Addr]; twice {
				problems = append(problems, podProblem(p, port.Field, "%s is there already", describeHostPort(hp.Addr)))
				continue
			}
			asked[hp.Addr] = struct{}{}
			r := rank{seen: seen, created: p.Created.UnixMilli()}
			if had[hp.Addr] == nat.Comment(hp.Owner) {
				r.seen = Incumbent
			}
			out = append(out, Wish[inet.Addr, PodPort]{r, hp.Addr, PodPort{hp, port.Field}})
		}
		if len(served) == 0 {
			problems = append(problems, podProblem(p, port.Field, "the Pod has no address of the family of %s", port.HostIP))
		}
	}
	return out, problems
}

// PodPort is a port of the node and where the Pod asks for it.
type PodPort struct {
	nat.HostPort
	field string
}

func podProblem(p *objects.Pod, field, format string, args ...any) objects.Problem {
	return objects.Problem{Kind: objects.KindPod, Name: p.Key.String(), UID: p.UID, Field: field, Text: fmt.Sprintf(format, args...)}
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
func hostPort(p *objects.Pod, port *objects.PodPort) []nat.HostPort {
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

// LostHostPorts reports the ports that a Pod asks for and does not get: another
// Pod has them, or a Service.
func LostHostPorts(pod types.NamespacedName, pods *Contest[inet.Addr, PodPort], services Claims) []objects.Problem {
	var out []objects.Problem
	pods.lost(pod, func(mine, owner *contender[inet.Addr, PodPort]) {
		out = append(out, objects.Problem{
			Kind: objects.KindPod, Name: pod.String(), UID: mine.Subject.UID, Field: mine.Value.field,
			Text: fmt.Sprintf("%s belongs to Pod %s, %s", describeHostPort(mine.Key), owner.Subject, why(owner.rank, mine.rank)),
		})
	})
	for _, mine := range pods.bySubject[pod] {
		if svc := services.Owner(mine.Key); svc != nil && pods.Owner(mine.Key) == mine {
			out = append(out, objects.Problem{
				Kind: objects.KindPod, Name: pod.String(), UID: mine.Subject.UID, Field: mine.Value.field,
				Text: fmt.Sprintf("%s is not served: Service port %s has it", describeHostPort(mine.Key), svc.Value.Frontend.Owner),
			})
		}
	}
	return out
}
