// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"fairlead/cmd/fairlead/output"
	"fairlead/cmd/fairlead/view"
	"fairlead/nat/listing"
)

// ErrNoTable means that a list is of the kernel's table alone, which could not be read.
var ErrNoTable = errors.New("the table in the kernel could not be read")

// Kinds returns what Get lists.
func Kinds() []string {
	return []string{"services", "endpoints", "nodes", "hostports", "affinity", "egress"}
}

// HasNames reports whether a name selects objects of a kind.
func HasNames(kind string) bool { return kind != "egress" }

// Get lists objects of a kind, those of one name or all for "".
func (p *Picture) Get(ctx context.Context, kind, name string) (*output.Result, error) {
	switch kind {
	case "services":
		return p.getServices(name)
	case "endpoints":
		return p.getEndpoints(name)
	case "nodes":
		return p.getNodes(name)
	case "hostports":
		return p.getHostPorts(ctx, name)
	case "affinity":
		return p.getAffinity(name)
	case "egress":
		return p.getEgress()
	}
	return nil, fmt.Errorf("%q is not one of %s", kind, strings.Join(Kinds(), ", "))
}

// ServiceRow is an address of a Service, or a Service without one.
type ServiceRow struct {
	listing.Frontend
	// Note says why connections fail, or why the Service is not served; "" if all is well.
	Note string `json:"note,omitempty"`
}

func (p *Picture) getServices(name string) (*output.Result, error) {
	list := p.serviceRows(name)
	if len(list) == 0 && name != "" {
		return nil, p.unknownService(name)
	}
	t := &output.Table{
		Titles: []string{"SERVICE", "PROTOCOL", "ADDRESS", "POLICY", "ENDPOINTS", "LOCAL", "STICKY", "SOURCES", "NOTE", "CHAIN"}, Wide: 1,
		Empty: "This node serves no Service.",
	}
	for i := range list {
		f := &list[i]
		local := 0
		for _, e := range f.Endpoints {
			if e.Local {
				local++
			}
		}
		if f.Address == "" {
			t.Add(f.Service, "", "", "", "", "", "", "", f.Note, "")
			continue
		}
		sources := "any"
		if f.Sources != nil {
			sources = strings.Join(f.Sources, ",")
		}
		t.Add(f.Service, f.Proto, f.Address, f.Policy, fmt.Sprint(len(f.Endpoints)), fmt.Sprint(local), yes(f.Sticky), sources, f.Note, f.Chain)
	}
	return &output.Result{Text: t, Value: list}, nil
}

// serviceRows returns the addresses of a Service, or of all for "": those of the table first.
func (p *Picture) serviceRows(name string) []ServiceRow {
	list := []ServiceRow{}
	served := map[string][]listing.Frontend{}
	if p.Table != nil {
		for _, f := range p.Table.Frontends(name) {
			service, _, _ := strings.Cut(f.Service, ":")
			served[service] = append(served[service], f)
			list = append(list, ServiceRow{f, p.noteOf(&f)})
		}
	}
	if p.Objects == nil {
		return list
	}
	for _, svc := range p.Objects.Services {
		key := types.NamespacedName{Namespace: svc.Namespace, Name: svc.Name}
		if name != "" && name != key.String() {
			continue
		}
		absent := p.absent(key, served[key.String()])
		for _, f := range absent {
			list = append(list, ServiceRow{f, "the table lacks the address" + seeExplain})
		}
		if len(served[key.String()])+len(absent) == 0 {
			list = append(list, ServiceRow{Frontend: listing.Frontend{Service: key.String()}, Note: p.notServed(svc)})
		}
	}
	return list
}

// noteOf says why connections to a frontend fail.
func (p *Picture) noteOf(f *listing.Frontend) string {
	service, _, _ := strings.Cut(f.Service, ":")
	if text := p.damageOf(f); text != "" {
		return text
	}
	switch f.Policy {
	case "reject", "drop":
		if findings := p.endpointFindings(nameOf(service)); len(findings) > 0 {
			return findings[0].short()
		}
	case "local":
		if !slices.ContainsFunc(f.Endpoints, func(e listing.Endpoint) bool { return e.Local }) {
			return "clients outside are dropped: no endpoint on this node"
		}
	}
	return ""
}

func nameOf(s string) types.NamespacedName {
	namespace, name, _ := strings.Cut(s, "/")
	return types.NamespacedName{Namespace: namespace, Name: name}
}

func yes(on bool) string {
	if on {
		return "yes"
	}
	return "no"
}

func (p *Picture) getEndpoints(name string) (*output.Result, error) {
	list := p.Endpoints(name)
	if len(list) == 0 && name != "" && !p.knows(name) {
		return nil, p.unknownService(name)
	}
	t := &output.Table{
		Titles: []string{"SERVICE", "PROTOCOL", "ADDRESS", "ENDPOINT", "POD", "NODE", "LOCAL", "CONNECTIONS", "UNUSED", "ZONE", "SLICE"}, Wide: 2,
		Empty: "There are no endpoints.",
	}
	for i := range list {
		e := &list[i]
		count, why := "", ""
		if e.Connections != nil {
			count = fmt.Sprint(*e.Connections)
		}
		if e.Unused != nil {
			why = e.Unused.Code + ": " + e.Unused.Text
		}
		t.Add(e.Service, e.Protocol, e.Frontend, e.Address, e.Pod, e.Node, yes(e.Local), count, why, e.Zone, e.Slice)
	}
	if list == nil {
		list = []Endpoint{}
	}
	return &output.Result{Text: t, Value: list}, nil
}

// NodeRow is a node of the cluster as this node reaches its pods.
type NodeRow struct {
	Name     string   `json:"name"`
	Addrs    []string `json:"addresses"`
	PodCIDRs []string `json:"podCIDRs"`
	Zone     string   `json:"zone,omitempty"`
	This     bool     `json:"this,omitempty"`
	// Ways says for each range of pods how packets get there.
	Ways []string `json:"ways"`
}

func (p *Picture) getNodes(name string) (*output.Result, error) {
	if p.Objects == nil {
		return nil, errors.New("nodes are API objects, which could not be read: " + strings.Join(p.Missing, " "))
	}
	t := &output.Table{Titles: []string{"NODE", "ADDRESSES", "PODS", "WAY", "ZONE"}, Wide: 1, Empty: "There are no Nodes."}
	list := []NodeRow{}
	for _, n := range p.Objects.Nodes {
		if name != "" && n.Name != name {
			continue
		}
		row := p.nodeRow(n)
		list = append(list, row)
		t.Add(row.Name, strings.Join(row.Addrs, ","), strings.Join(row.PodCIDRs, ","), strings.Join(row.Ways, "; "), row.Zone)
	}
	if len(list) == 0 && name != "" {
		return nil, fmt.Errorf("there is no Node %s", output.Clean(name))
	}
	return &output.Result{Text: t, Value: list}, nil
}

func (p *Picture) nodeRow(n *corev1.Node) NodeRow {
	row := NodeRow{Name: n.Name, Addrs: []string{}, PodCIDRs: n.Spec.PodCIDRs, Zone: n.Labels[corev1.LabelTopologyZone], This: n.Name == p.Config.Table.NodeName, Ways: []string{}}
	for _, a := range n.Status.Addresses {
		if a.Type == corev1.NodeInternalIP {
			row.Addrs = append(row.Addrs, a.Address)
		}
	}
	if row.PodCIDRs == nil {
		row.PodCIDRs = []string{}
	}
	if row.This {
		row.Ways = append(row.Ways, "this node")
		return row
	}
	if p.Network == nil {
		return row
	}
	for _, cidr := range n.Spec.PodCIDRs {
		if c, err := netip.ParsePrefix(cidr); err == nil {
			hop := p.hopTo(view.Way{Dst: c.Addr().Next().Next()}, nil)
			row.Ways = append(row.Ways, hop.words())
		}
	}
	return row
}

// knows reports whether the table or the objects have a Service.
func (p *Picture) knows(name string) bool {
	if p.Table != nil && p.Table.HasService(name) {
		return true
	}
	key := nameOf(name)
	return p.Objects != nil && (p.Objects.Service(key) != nil || len(p.Objects.SlicesOf(key)) > 0)
}
