// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"fairlead/cmd/fairlead/view"
	"fairlead/internal/inet"
)

// Pod is a pod of the node with an address of its own.
type Pod struct {
	Host     string // name of its namespace in the lab, which a shell takes
	Title    string // "namespace/name", or an address; may hold any characters
	Addrs    []netip.Prefix
	Gateways []netip.Prefix
	MAC      string // "" if it is not known
	Device   view.Link
	// NoDevice is set if the bundle does not say which device leads to the pod.
	NoDevice bool
	Ports    []inet.Addr // that it answers on, without an address
}

// found is a pod under way.
type found struct {
	title  string
	addrs  []netip.Addr
	device string
	bridge string // whose subnet an address is in
	ports  []inet.Addr
}

// search joins what a bundle says about the pods of the node in three places: Pods,
// EndpointSlices, and routes of single addresses.
type search struct {
	*builder
	byAddr  map[netip.Addr]*found
	byTitle map[string]*found
	byLink  map[string]*found
	list    []*found
	bridges []*view.Link
	macs    map[neighbour]string
	over    int // pods and addresses beyond the limits
}

// neighbour is an address behind a device.
type neighbour struct {
	link string
	ip   netip.Addr
}

// findPods adds at most so many pods.
func (b *builder) findPods(most int) {
	s := &search{builder: b, byAddr: map[netip.Addr]*found{}, byTitle: map[string]*found{}, byLink: map[string]*found{}, macs: map[neighbour]string{}}
	for i := range b.Network.Links {
		if l := &b.Network.Links[i]; l.Kind == "bridge" {
			s.bridges = append(s.bridges, l)
		}
	}
	if b.Objects != nil {
		s.addPods()
		s.addEndpoints()
	}
	s.addRouted()
	s.findPorts()
	b.ofPod = map[string]bool{}
	for i := range b.Network.Links {
		if l := &b.Network.Links[i]; s.isPodLink(l) {
			b.ofPod[l.Name] = true
		}
	}
	slices.SortStableFunc(s.list, func(x, y *found) int {
		return cmp.Or(cmp.Compare(min(1, len(y.device)), min(1, len(x.device))), cmp.Compare(x.title, y.title))
	})
	for i, f := range s.list[:min(most, len(s.list))] {
		b.out.Pods = append(b.out.Pods, s.pod(f, i+1))
	}
	if n := max(len(s.list)-most, 0) + s.over; n > 0 {
		b.leaveOut("%d of %d pods are left out, because the limit is %d (--pods). Connections to them fail.", n, len(s.list)+s.over, most)
	}
	idle := 0
	for name := range b.ofPod {
		if s.byLink[name] == nil {
			idle++
		}
	}
	if idle > 0 {
		b.leaveOut("%d devices of pods are left out, because the bundle does not say which addresses the pods have.", idle)
	}
}

// put notes an address of a pod and returns the pod, or nil if there are too many.
func (s *search) put(title string, ip netip.Addr) *found {
	f := s.byAddr[ip]
	if f == nil {
		f = s.byTitle[title]
	}
	if f == nil && len(s.list) == maxFound || f != nil && len(f.addrs) == maxPodAddrs && s.byAddr[ip] == nil {
		s.over++
		return nil
	}
	if f == nil {
		f = &found{title: title}
		s.byTitle[title] = f
		s.list = append(s.list, f)
	}
	if s.byAddr[ip] == nil {
		s.byAddr[ip] = f
		f.addrs = append(f.addrs, ip)
	}
	return f
}

func (s *search) addPods() {
	for _, p := range s.Objects.Pods {
		if p.Spec.NodeName != s.out.Name || p.Spec.HostNetwork || p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
			continue
		}
		for _, ip := range p.Status.PodIPs {
			if a, err := netip.ParseAddr(ip.IP); err == nil && s.isPodAddr(a) {
				s.put(p.Namespace+"/"+p.Name, a)
			}
		}
	}
}

// isPodAddr reports whether a pod may have an address.
func (s *search) isPodAddr(ip netip.Addr) bool {
	return isPlain(ip) && !ip.IsLoopback() && !ip.IsMulticast() && !ip.IsUnspecified() && !ip.IsLinkLocalUnicast() && !s.own[ip]
}

func (s *search) addEndpoints() {
	for _, slice := range s.Objects.Slices {
		ports := portsOf(slice)
		for i := range slice.Endpoints {
			e := &slice.Endpoints[i]
			if e.NodeName == nil || *e.NodeName != s.out.Name || len(e.Addresses) == 0 {
				continue
			}
			a, err := netip.ParseAddr(e.Addresses[0])
			switch {
			case err != nil:
			case s.isPodAddr(a):
				title := a.String()
				if e.TargetRef != nil && e.TargetRef.Kind == "Pod" {
					title = cmp.Or(e.TargetRef.Namespace, slice.Namespace) + "/" + e.TargetRef.Name
				}
				if f := s.put(title, a); f != nil {
					f.ports = addPorts(f.ports, ports)
				}
			case s.own[a]:
				for _, p := range ports {
					s.out.Ports = addPorts(s.out.Ports, []inet.Addr{{IP: a, Port: p.Port, Proto: p.Proto}})
				}
			}
		}
	}
}

func portsOf(slice *discoveryv1.EndpointSlice) (out []inet.Addr) {
	for _, p := range slice.Ports {
		if p.Port == nil || *p.Port < 1 || *p.Port > 65535 {
			continue
		}
		proto := inet.TCP
		if p.Protocol != nil {
			var err error
			if proto, err = inet.ParseProto(string(*p.Protocol)); err != nil {
				continue
			}
		}
		out = append(out, inet.Addr{Port: uint16(*p.Port), Proto: proto})
	}
	return out
}

// addPorts adds ports that are new, up to maxPorts.
func addPorts(list, more []inet.Addr) []inet.Addr {
	for _, p := range more {
		if len(list) < maxPorts && !slices.Contains(list, p) {
			list = append(list, p)
		}
	}
	return list
}

// addRouted finds the devices of pods that have a route of their own, and pods that no
// object names.
func (s *search) addRouted() {
	for i := range s.Network.Routes {
		r := &s.Network.Routes[i]
		l := s.links[r.Link]
		if !validRoute(r) || r.Type != "unicast" || !r.Dst.IsSingleIP() || r.Gateway.IsValid() || l == nil || l.Kind != "veth" || l.Master != "" {
			continue
		}
		ip := r.Dst.Addr()
		f := s.byAddr[ip]
		if f == nil && (!s.isPodAddr(ip) || !s.inCluster(ip)) {
			continue
		}
		if other := s.byLink[l.Name]; other != nil && f == nil {
			s.put(other.title, ip)
			continue
		}
		if f == nil {
			f = s.put(ip.String(), ip)
		}
		if f != nil && f.device == "" && s.byLink[l.Name] == nil {
			f.device, s.byLink[l.Name] = l.Name, f
		}
	}
}

// inCluster reports whether an address is in the ranges of pods, if these are known.
func (s *search) inCluster(ip netip.Addr) bool {
	cidrs := s.Config.Table.ClusterCIDRs
	return len(cidrs) == 0 || slices.ContainsFunc(cidrs, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// findPorts finds the ports of bridges behind which pods are: by what the node has learnt
// of them, or else any that is free.
func (s *search) findPorts() {
	ports := s.learnt()
	s.addLearnt(ports)
	rest := map[string][]*found{} // by bridge
	for _, f := range s.list {
		f.bridge = s.bridgeOf(f)
		for _, ip := range f.addrs {
			if name := ports[s.macs[neighbour{f.bridge, ip}]]; f.device == "" && name != "" && s.byLink[name] == nil {
				f.device, s.byLink[name] = name, f
			}
		}
		if f.device == "" && f.bridge != "" {
			rest[f.bridge] = append(rest[f.bridge], f)
		}
	}
	for i := range s.Network.Links {
		l := &s.Network.Links[i]
		if wait := rest[l.Master]; len(wait) > 0 && l.Kind == "veth" && s.byLink[l.Name] == nil {
			wait[0].device, s.byLink[l.Name] = l.Name, wait[0]
			rest[l.Master] = wait[1:]
		}
	}
}

// learnt reads the neighbours, and returns the ports of bridges by the MAC behind them.
func (s *search) learnt() map[string]string {
	ports := map[string]string{}
	for i := range s.Network.Neighbours {
		n := &s.Network.Neighbours[i]
		l := s.links[n.Link]
		switch {
		case l == nil || n.MAC == "":
		case n.FDB && l.Master != "" && l.Kind == "veth" && n.MAC != l.MAC:
			ports[n.MAC] = n.Link
		case !n.FDB:
			s.macs[neighbour{n.Link, n.IP}] = n.MAC
		}
	}
	return ports
}

// addLearnt adds pods that no object names, and that the node talked to on a bridge.
func (s *search) addLearnt(ports map[string]string) {
	for i := range s.Network.Neighbours {
		n := &s.Network.Neighbours[i]
		name := ports[n.MAC]
		if n.FDB || n.MAC == "" || name == "" || s.byAddr[n.IP] != nil || !s.isPodAddr(n.IP) || !s.inCluster(n.IP) {
			continue
		}
		if f := s.byLink[name]; f != nil {
			s.put(f.title, n.IP)
		} else if f := s.put(n.IP.String(), n.IP); f != nil {
			f.device, s.byLink[name] = name, f
		}
	}
}

// bridgeOf returns the bridge whose subnet an address of a pod is in.
func (s *search) bridgeOf(f *found) string {
	for _, l := range s.bridges {
		if slices.ContainsFunc(l.Addrs, func(p netip.Prefix) bool { return slices.ContainsFunc(f.addrs, p.Contains) }) {
			return l.Name
		}
	}
	return ""
}

// isPodLink reports whether a device leads to a pod: one with a pod, or any port of a bridge.
func (s *search) isPodLink(l *view.Link) bool {
	master := s.links[l.Master]
	return s.byLink[l.Name] != nil || l.Kind == "veth" && master != nil && master.Kind == "bridge"
}

// pod completes a pod, the n-th one.
func (s *search) pod(f *found, n int) Pod {
	p := Pod{Host: hostName(f.title, n), Title: f.title, Ports: f.ports}
	if l := s.links[f.device]; l != nil {
		p.Device = *l
	} else {
		p.Device, p.NoDevice = view.Link{Name: fmt.Sprintf("pod%d", n), Up: true, Master: f.bridge}, true
		for s.links[p.Device.Name] != nil {
			p.Device.Name += "x"
		}
	}
	s.kept[p.Device.Name] = true
	bridge := s.links[p.Device.Master]
	for _, ip := range f.addrs {
		own, gateway := netip.PrefixFrom(ip, ip.BitLen()), gatewayOf(&p.Device, ip)
		if bridge != nil {
			for _, a := range bridge.Addrs {
				if a.Contains(ip) {
					own, gateway = netip.PrefixFrom(ip, a.Bits()), a.Addr()
				}
			}
		}
		p.Addrs = append(p.Addrs, own)
		if gateway.IsValid() && !slices.ContainsFunc(p.Gateways, func(g netip.Prefix) bool { return g.Addr().Is4() == gateway.Is4() }) {
			p.Gateways = append(p.Gateways, netip.PrefixFrom(gateway, gateway.BitLen()))
		}
		p.MAC = cmp.Or(p.MAC, s.macs[neighbour{p.Device.Name, ip}], s.macs[neighbour{p.Device.Master, ip}])
	}
	return p
}

// gatewayOf returns the address that a pod sends its packets to: one of the node's end of
// its device. Without any it is the address that Calico uses, for which the node answers
// if proxy_arp is on.
func gatewayOf(l *view.Link, ip netip.Addr) netip.Addr {
	var local netip.Addr
	for _, a := range l.Addrs {
		switch {
		case a.Addr().Is4() != ip.Is4():
		case a.Addr().IsLinkLocalUnicast():
			local = a.Addr()
		default:
			return a.Addr()
		}
	}
	if !local.IsValid() && ip.Is4() {
		return netip.AddrFrom4([4]byte{169, 254, 1, 1})
	}
	return local
}

// hostName returns a name that is safe in a shell and unique, since n is.
func hostName(title string, n int) string {
	const most = 40
	_, name, ok := strings.Cut(title, "/")
	if !ok {
		name = strings.NewReplacer(".", "-", ":", "-").Replace(title)
	}
	var b strings.Builder
	for _, r := range strings.ToLower(name) {
		if b.Len() < most && (r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-') {
			b.WriteRune(r)
		}
	}
	return fmt.Sprintf("pod%d-%s", n, strings.Trim(b.String(), "-"))
}
