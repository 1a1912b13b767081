// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"

	"fairlead/proxier/convert"
	"fairlead/proxier/resolve"
)

// Endpoint is an endpoint of a Service: one of the kernel, joined with its objects, or
// one of the objects that the kernel does not use.
type Endpoint struct {
	Service  string `json:"service"` // "namespace/name:port"
	Protocol string `json:"protocol"`
	// Frontend is the address of the Service that leads there; "" for an endpoint that is
	// not used.
	Frontend string `json:"frontend,omitempty"`
	Address  string `json:"address"`
	Local    bool   `json:"local"` // gets clients that policy Local keeps on this node
	// Connections is how many the kernel counted, nil without counters.
	Connections *uint64         `json:"connections,omitempty"`
	Pod         string          `json:"pod,omitempty"`
	Node        string          `json:"node,omitempty"`
	Zone        string          `json:"zone,omitempty"`
	Slice       string          `json:"slice,omitempty"`
	Unused      *resolve.Reason `json:"unused,omitempty"` // why no client gets it
	// NotLocal is why clients that policy Local confines to this node do not get it.
	NotLocal *resolve.Reason `json:"notLocal,omitempty"`
}

// ref is what the slices say about an address of a Service.
type ref struct{ pod, node, zone, slice string }

// Endpoints returns the endpoints of a Service, or of all Services for "": those in the
// kernel by frontend, then those that the kernel does not use.
func (p *Picture) Endpoints(service string) []Endpoint {
	var out []Endpoint
	refs := p.refs()
	if p.Table != nil {
		for _, f := range p.Table.Frontends(service) {
			name := f.Service
			if i := strings.IndexByte(name, ':'); i > 0 {
				name = name[:i]
			}
			for _, e := range f.Endpoints {
				r := refs[name+" "+host(e.Address)]
				out = append(out, Endpoint{
					Service: f.Service, Protocol: f.Proto, Frontend: f.Address, Address: e.Address, Local: e.Local, Connections: e.Connections,
					Pod: r.pod, Node: r.node, Zone: r.zone, Slice: r.slice,
				})
			}
			out = append(out, p.unlisted(&f)...)
		}
	}
	if p.Objects == nil {
		return out
	}
	for _, svc := range p.Objects.Services {
		key := types.NamespacedName{Namespace: svc.Namespace, Name: svc.Name}
		if service == "" || service == key.String() {
			out = append(out, p.unused(key)...)
		}
	}
	return out
}

func host(addrPort string) string {
	if a, err := netip.ParseAddrPort(addrPort); err == nil {
		return a.Addr().String()
	}
	return addrPort
}

// refs returns the endpoints of all slices by Service and address. The first call reads
// the slices.
func (p *Picture) refs() map[string]ref {
	if p.byName == nil {
		p.byName = p.readRefs()
	}
	return p.byName
}

func (p *Picture) readRefs() map[string]ref {
	out := map[string]ref{}
	if p.Objects == nil {
		return out
	}
	for _, s := range p.Objects.Slices {
		service := s.Namespace + "/" + s.Labels[discoveryv1.LabelServiceName]
		for i := range s.Endpoints {
			e := &s.Endpoints[i]
			if len(e.Addresses) == 0 {
				continue
			}
			r := ref{slice: s.Name}
			if e.TargetRef != nil && e.TargetRef.Kind == "Pod" {
				r.pod = e.TargetRef.Name
			}
			if e.NodeName != nil {
				r.node = *e.NodeName
			}
			if e.Zone != nil {
				r.zone = *e.Zone
			}
			ip := e.Addresses[0]
			if a, err := netip.ParseAddr(ip); err == nil {
				ip = a.Unmap().String()
			}
			out[service+" "+ip] = r
		}
	}
	return out
}

// unused returns the endpoints of the objects that no client of this node gets, or none
// that policy Local confines.
func (p *Picture) unused(key types.NamespacedName) []Endpoint {
	var out []Endpoint
	e := p.wanted.Explain(key)
	refs := p.refs()
	if e != nil {
		for i := range e.Ports {
			port := &e.Ports[i]
			for _, u := range port.Endpoints {
				if u.Unused != (resolve.Reason{}) && !p.elsewhere(e, u) {
					out = append(out, newUnused(key, port, u, refs))
				}
			}
		}
	}
	return append(out, p.refused(key)...)
}

// elsewhere reports whether the only reason is the other family, and the Service has that
// family, too, which lists the endpoint.
func (p *Picture) elsewhere(e *resolve.Explanation, u resolve.EndpointUse) bool {
	return u.Unused.Code == resolve.CodeOtherFamily &&
		slices.ContainsFunc(e.Service.ClusterIPs, func(ip netip.Addr) bool { return ip.Is4() == u.Addr.Is4() })
}

func newUnused(key types.NamespacedName, port *resolve.PortExplanation, u resolve.EndpointUse, refs map[string]ref) Endpoint {
	address := u.Addr.String()
	if u.Port != 0 {
		address = netip.AddrPortFrom(u.Addr, u.Port).String()
	}
	r := refs[key.String()+" "+u.Addr.String()]
	out := Endpoint{
		Service: ownerOf(key, port.Port.Name), Protocol: port.Port.Proto.String(), Address: address,
		Pod: r.pod, Node: u.Node, Zone: u.Zone, Slice: u.Slice.Name, Unused: &u.Unused,
	}
	if u.NotLocal != (resolve.Reason{}) {
		out.NotLocal = &u.NotLocal
	}
	return out
}

func ownerOf(key types.NamespacedName, port string) string {
	if port == "" {
		return key.String()
	}
	return key.String() + ":" + port
}

// refused returns the endpoints that the conversion of the slices refuses.
func (p *Picture) refused(key types.NamespacedName) []Endpoint {
	var out []Endpoint
	for _, s := range p.Objects.SlicesOf(key) {
		_, problems := convert.Slice(s)
		for _, pr := range problems {
			i, ok := index(pr.Field, "endpoints")
			if !ok || i >= len(s.Endpoints) {
				continue
			}
			at := Endpoint{Service: key.String(), Protocol: "any", Slice: s.Name, Unused: &resolve.Reason{Code: resolve.CodeRefused, Text: pr.Text}}
			if e := &s.Endpoints[i]; len(e.Addresses) > 0 {
				at.Address = e.Addresses[0]
				if e.NodeName != nil {
					at.Node = *e.NodeName
				}
				if e.TargetRef != nil && e.TargetRef.Kind == "Pod" {
					at.Pod = e.TargetRef.Name
				}
			}
			out = append(out, at)
		}
	}
	return out
}

// index reads the number of a field such as "endpoints[3].addresses[0]".
func index(field, list string) (int, bool) {
	rest, ok := strings.CutPrefix(field, list+"[")
	text, _, closed := strings.Cut(rest, "]")
	n, err := strconv.Atoi(text)
	return n, ok && closed && err == nil
}

// where describes an endpoint for a sentence: "10.244.1.3:8080 (pod web-0 on node-1)".
func (e *Endpoint) where() string {
	var words []string
	if e.Pod != "" {
		words = append(words, "pod "+e.Pod)
	}
	if e.Node != "" {
		words = append(words, "on "+e.Node)
	}
	if len(words) == 0 {
		return e.Address
	}
	return fmt.Sprintf("%s (%s)", e.Address, strings.Join(words, " "))
}
