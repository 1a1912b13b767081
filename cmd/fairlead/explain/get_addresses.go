// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"fairlead/cmd/fairlead/output"
	"fairlead/cmd/fairlead/podready"
	"fairlead/internal/inet"
	"fairlead/nat/listing"
	"fairlead/nat/ruleset"
)

// HostPortRow is a port of this node that belongs to a pod.
type HostPortRow struct {
	listing.HostPort
	Node string `json:"node,omitempty"` // of the Pod
	// Note says what is wrong with the Pod; "" if nothing is, or if it is not known.
	Note string `json:"note,omitempty"`
}

func (p *Picture) getHostPorts(ctx context.Context, name string) (*output.Result, error) {
	if p.Table == nil {
		return nil, ErrNoTable
	}
	t := &output.Table{Titles: []string{"POD", "PROTOCOL", "ADDRESS", "ENDPOINT", "NOTE", "NODE"}, Wide: 1, Empty: "No port of this node belongs to a pod."}
	list := []HostPortRow{}
	pods := map[string]map[string]*corev1.Pod{} // by namespace
	for _, h := range p.Table.HostPorts() {
		if name != "" && h.Pod != name {
			continue
		}
		row := HostPortRow{HostPort: h}
		key := nameOf(h.Pod)
		if _, read := pods[key.Namespace]; !read {
			pods[key.Namespace] = p.podsByName(ctx, key.Namespace)
		}
		if of := pods[key.Namespace]; of != nil {
			row.Node, row.Note = judgePod(of[key.Name], h.Endpoint)
		}
		list = append(list, row)
		t.Add(h.Pod, h.Proto, h.Address, h.Endpoint, row.Note, row.Node)
	}
	return &output.Result{Text: t, Value: list}, nil
}

// podsByName returns the Pods of a namespace, or nil if they could not be read.
func (p *Picture) podsByName(ctx context.Context, namespace string) map[string]*corev1.Pod {
	list, err := p.node.Pods(ctx, namespace)
	if err != nil {
		return nil
	}
	out := map[string]*corev1.Pod{}
	for _, pod := range list {
		if pod.Namespace == namespace {
			out[pod.Name] = pod
		}
	}
	return out
}

// judgePod says why connections to the port of a Pod may fail.
func judgePod(pod *corev1.Pod, endpoint string) (node, note string) {
	if pod == nil {
		return "", "there is no such Pod any more"
	}
	has := false
	for _, ip := range pod.Status.PodIPs {
		a, err := netip.ParseAddr(ip.IP)
		has = has || err == nil && a.Unmap().String() == host(endpoint)
	}
	switch {
	case !has:
		note = "the Pod has another address"
	case !podready.Is(pod):
		note = "the Pod is not ready: " + stateOf(pod)
	}
	return pod.Spec.NodeName, note
}

// ClientRow is a client that session affinity keeps with an endpoint.
type ClientRow struct {
	Service string `json:"service"`
	listing.Client
	// From is the pod or node that the client is, as far as the objects say.
	From string `json:"from,omitempty"`
	Pod  string `json:"pod,omitempty"`  // of the endpoint
	Node string `json:"node,omitempty"` // of the endpoint
	// Note is set if the Service has no such endpoint any more.
	Note string `json:"note,omitempty"`
}

func (p *Picture) getAffinity(name string) (*output.Result, error) {
	if p.Table == nil {
		return nil, ErrNoTable
	}
	owners := map[string]string{}
	for _, f := range p.Table.Frontends("") {
		owners[f.Address+" "+f.Proto] = f.Service
	}
	refs, who := p.refs(), p.who()
	t := &output.Table{
		Titles: []string{"SERVICE", "ADDRESS", "PROTOCOL", "CLIENT", "FROM", "ENDPOINT", "POD", "EXPIRES", "NOTE", "NODE"}, Wide: 1,
		Empty: "Session affinity keeps no client.",
	}
	list := []ClientRow{}
	for _, c := range p.Table.Clients() {
		owner := owners[c.Address+" "+c.Proto]
		if name != "" && !listing.IsOwner(owner, name) {
			continue
		}
		service, _, _ := strings.Cut(owner, ":")
		r, known := refs[service+" "+host(c.Endpoint)]
		row := ClientRow{Service: owner, Client: c, From: who[c.Client], Pod: r.pod, Node: r.node}
		switch {
		case owner == "":
			row.Note = "no Service has the address any more"
		case !known && p.Objects != nil && p.Objects.Service(nameOf(service)) != nil:
			row.Note = "the Service has no such endpoint any more"
		}
		list = append(list, row)
		t.Add(owner, c.Address, c.Proto, c.Client, row.From, c.Endpoint, row.Pod, c.Expires, row.Note, row.Node)
	}
	return &output.Result{Text: t, Value: list}, nil
}

// mostClaims bounds the names of one address.
const mostClaims = 3

// who names the pods that are endpoints, and the nodes, by their addresses. Who may write
// EndpointSlices can claim any address, so all that claim one are named.
func (p *Picture) who() map[string]string {
	out := map[string]string{}
	if p.Objects == nil {
		return out
	}
	claims := map[string][]string{}
	claim := func(address, name string) {
		if a, err := netip.ParseAddr(address); err == nil {
			at := a.Unmap().String()
			claims[at] = append(claims[at], name)
		}
	}
	for _, s := range p.Objects.Slices {
		for i := range s.Endpoints {
			e := &s.Endpoints[i]
			if e.TargetRef == nil || e.TargetRef.Kind != "Pod" {
				continue
			}
			for _, text := range e.Addresses {
				claim(text, "pod "+types.NamespacedName{Namespace: s.Namespace, Name: e.TargetRef.Name}.String())
			}
		}
	}
	for _, n := range p.Objects.Nodes {
		for _, addr := range n.Status.Addresses {
			claim(addr.Address, "node "+n.Name)
		}
	}
	for at, names := range claims {
		slices.Sort(names)
		names = slices.Compact(names)
		if more := len(names) - mostClaims; more > 0 {
			names = append(names[:mostClaims], fmt.Sprintf("%d others", more))
		}
		out[at] = strings.Join(names, " or ")
	}
	return out
}

// EgressRow is a range that masquerade of connections out of the cluster depends on.
type EgressRow struct {
	Role  string `json:"role"` // "source", "kept destination" or "node"
	Range string `json:"range"`
	// Of says what the range is, as far as the objects and flags say.
	Of string `json:"of,omitempty"`
}

func (p *Picture) getEgress() (*output.Result, error) {
	if p.Table == nil {
		return nil, ErrNoTable
	}
	who := p.who()
	list := []EgressRow{}
	for _, f := range inet.Families() {
		for _, part := range []struct {
			kind ruleset.Kind
			role string
		}{{ruleset.Egress, "source"}, {ruleset.NoMasquerade, "kept destination"}} {
			for _, r := range p.Table.Found.Ranges[ruleset.Set{Kind: part.kind, Family: f}] {
				list = append(list, EgressRow{part.role, r.String(), p.rangeOf(r)})
			}
		}
	}
	for e := range p.Table.Found.Elements.All() {
		if e.Set.Kind == ruleset.Nodes {
			addr := e.Client.Addr().String()
			list = append(list, EgressRow{"node", addr, who[addr]})
		}
	}
	t := &output.Table{Titles: []string{"ROLE", "RANGE", "OF"}, Empty: "This node masquerades nothing that pods send out of the cluster."}
	for _, r := range list {
		t.Add(r.Role, r.Range, r.Of)
	}
	return &output.Result{Text: t, Value: list}, nil
}

// rangeOf names a range of addresses.
func (p *Picture) rangeOf(r netip.Prefix) string {
	for _, c := range p.Config.Table.ClusterCIDRs {
		if c.Masked() == r {
			return "--cluster-cidr"
		}
	}
	if p.Objects != nil {
		for _, n := range p.Objects.Nodes {
			for _, text := range n.Spec.PodCIDRs {
				if c, err := netip.ParsePrefix(text); err == nil && c.Masked() == r {
					return fmt.Sprintf("pods of node %s", n.Name)
				}
			}
		}
	}
	switch {
	case r.Addr().IsMulticast():
		return "multicast"
	case r.Addr() == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "broadcast"
	case r.Addr().IsLinkLocalUnicast():
		return "link-local"
	}
	return ""
}
