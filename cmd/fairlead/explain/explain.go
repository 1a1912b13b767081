// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"fairlead/internal/inet"
	"fairlead/nat/listing"
	"fairlead/nat/ruleset"
	"fairlead/proxier/objects"
)

// Report is what explain says about a Service or an address.
type Report struct {
	Subject string `json:"subject"`
	Kind    string `json:"kind,omitempty"` // type of the Service
	// Findings are causes of failures, the most important first; none if all is well.
	Findings []Finding  `json:"findings"`
	Paths    []Path     `json:"paths"`
	Unused   []Endpoint `json:"unused,omitempty"` // endpoints that no client of this node gets
	// LeftOut is how many addresses of the Service were not explained.
	LeftOut int `json:"leftOut,omitempty"`
	// Missing are parts of the node that could not be read.
	Missing []string `json:"missing,omitempty"`
}

// maxPaths bounds the addresses of a Service that a report is about.
const maxPaths = 40

// Explain reports on a Service or an address. from is a Pod, a Node, an address, "pod",
// "node" or "outside"; "" is a pod of this node for ClusterIPs and a host outside for all
// other addresses.
func Explain(ctx context.Context, p *Picture, subject, from string) (*Report, error) {
	s, err := ParseSubject(subject)
	if err == nil && s.Service.Name == "" && s.Addr.Port == 0 {
		err = noSubject(subject, "the port is missing")
	}
	if err == nil && s.Service.Name == "" && !s.Addr.IP.IsValid() {
		err = noSubject(subject, "the address is missing")
	}
	if err != nil {
		return nil, err
	}
	if s.Service.Name == "" {
		return p.explainAddr(ctx, s, from)
	}
	p.readPods(ctx, s.Service.Namespace)
	c, err := p.clientOf(ctx, from, s.Service.Namespace)
	if err != nil {
		return nil, err
	}
	if !p.knows(s.Service.String()) {
		return nil, p.unknownService(s.Service.String())
	}
	r := &Report{Subject: s.Service.String(), Findings: []Finding{}, Paths: []Path{}}
	if p.Objects != nil {
		p.explainObject(r, s.Service)
	}
	p.explainTable(r, s, c)
	for _, e := range p.Endpoints(s.Service.String()) {
		if e.Unused != nil && e.Unused.Code != codeNotInTable { // which some clients get
			r.Unused = append(r.Unused, e)
		}
	}
	for _, path := range r.Paths {
		r.Findings = append(r.Findings, path.Findings...)
	}
	r.Findings, r.Missing = unique(r.Findings), p.Missing
	return r, nil
}

// explainAddr reports on an address and port.
func (p *Picture) explainAddr(ctx context.Context, s *Subject, from string) (*Report, error) {
	c, err := p.clientOf(ctx, cmp.Or(from, "pod"), "default")
	if err != nil {
		return nil, err
	}
	path := p.path(c, s.Addr, p.ownerAt(s.Addr))
	owner := path.Owner
	r := &Report{Subject: s.Addr.String(), Paths: []Path{path}, Findings: []Finding{}, Missing: p.Missing}
	if service, _, ok := strings.Cut(owner, ":"); ok || owner != "" {
		key := nameOf(service)
		p.readPods(ctx, key.Namespace)
		if p.Objects != nil {
			p.explainObject(r, key)
		}
	} else {
		r.Findings = append(r.Findings, p.nobody(s.Addr)...)
	}
	r.Findings = unique(append(r.Findings, path.Findings...))
	return r, nil
}

// ownerAt returns the comment of the frontend at an address.
func (p *Picture) ownerAt(a inet.Addr) string {
	if p.Table == nil {
		return ""
	}
	local := p.Network != nil && p.Network.IsLocal(a.IP)
	for e := range p.Table.Found.Elements.All() {
		if e.Set.Kind == ruleset.VIPs && e.Key == a || local && e.Set.Kind == ruleset.NodePorts && e.Key == nodePort(a) {
			return e.Comment
		}
	}
	return ""
}

// nobody says what is near an address that no Service has.
func (p *Picture) nobody(a inet.Addr) []Finding {
	if p.Table == nil {
		return nil
	}
	var ports []string
	for _, f := range p.Table.Frontends("") {
		if at, err := netip.ParseAddrPort(f.Address); err == nil && at.Addr() == a.IP {
			ports = append(ports, fmt.Sprintf("%d/%s of %s", at.Port(), f.Proto, f.Service))
		}
	}
	if len(ports) > 0 {
		return []Finding{{"other-port", fmt.Sprintf("No Service has port %d/%s of %s; it has %s.", a.Port, a.Proto, a.IP, named(ports)), "Connect to one of these ports, or add the port to the Service."}}
	}
	return []Finding{{"no-service", fmt.Sprintf("No Service has %s in the kernel of this node.", a), "Compare with fairlead get services, and with spec.externalIPs and status.loadBalancer of the Service."}}
}

// explainObject adds what the objects say about a Service.
func (p *Picture) explainObject(r *Report, key types.NamespacedName) {
	svc := p.Objects.Service(key)
	if svc == nil {
		r.Findings = append(r.Findings, Finding{"no-object", fmt.Sprintf("There is no Service %s any more, or yet.", key), ""})
	} else {
		r.Kind = string(svc.Spec.Type)
		if f := p.serviceFinding(svc); f != nil {
			r.Findings = append(r.Findings, *f)
		}
	}
	for _, pr := range p.problemsOf(objects.KindService, key) {
		r.Findings = append(r.Findings, problemFinding(pr))
	}
	for _, s := range p.Objects.SlicesOf(key) {
		for _, pr := range p.problemsOf(objects.KindSlice, types.NamespacedName{Namespace: s.Namespace, Name: s.Name}) {
			r.Findings = append(r.Findings, problemFinding(pr))
		}
	}
	r.Findings = append(r.Findings, p.endpointFindings(key)...)
	r.Findings = append(r.Findings, p.differs(key)...)
}

func problemFinding(pr objects.Problem) Finding {
	code, remedy := "problem", ""
	if strings.Contains(pr.Text, " belongs to Service ") {
		code, remedy = "lost-claim", "Give each Service an address and port of its own."
	}
	return Finding{code, pr.String() + ".", remedy}
}

// maxDiffers bounds the differences that a report names.
const maxDiffers = 3

// differs says how the kernel differs from the objects, as far as it concerns a Service:
// its elements and what all Services share.
func (p *Picture) differs(key types.NamespacedName) []Finding {
	var lines []string
	n := 0
	for _, d := range p.differences() {
		_, comment, has := strings.Cut(d.Object, ` comment "`)
		if comment, _, _ = strings.Cut(comment, `"`); has && !listing.IsOwner(comment, key.String()) {
			continue
		}
		if n++; n <= maxDiffers {
			lines = append(lines, strings.Join(strings.Fields(d.String()), " "))
		}
	}
	if n == 0 {
		return nil
	}
	if n > maxDiffers {
		lines = append(lines, fmt.Sprintf("and %d more", n-maxDiffers))
	}
	return []Finding{{"differs", "The table in the kernel differs from what the objects ask for: " + strings.Join(lines, "; ") + ".",
		"A running agent repairs this at once: check that it runs and read its log. fairlead diff lists all differences; without the flags of the agent it finds too many."}}
}

// explainTable adds a path for each address of a Service.
func (p *Picture) explainTable(r *Report, s *Subject, c *client) {
	if p.Table == nil {
		r.Findings = append([]Finding{{"no-table", "This node has no table of fairlead, so it serves no Service: " + strings.Join(p.Missing, " "), "Check that the agent runs on this node, and read its log."}}, r.Findings...)
		return
	}
	for _, f := range p.frontends(s) {
		if len(r.Paths) == maxPaths {
			r.LeftOut++
			continue
		}
		from := c
		if from == nil {
			from = &client{words: "a host outside of the cluster", addrs: outside()}
			if f.cluster {
				from = p.anyPod()
			}
		}
		r.Paths = append(r.Paths, p.path(from, f.dial, f.owner))
	}
}

// dialled is an address of a Service and how to dial it.
type dialled struct {
	dial    inet.Addr
	owner   string
	cluster bool // a ClusterIP
}

// frontends returns the addresses of a Service that the table or the objects give it, ClusterIPs first.
func (p *Picture) frontends(s *Subject) []dialled {
	var svc *corev1.Service
	if p.Objects != nil {
		svc = p.Objects.Service(s.Service)
	}
	isCluster := func(a inet.Addr) bool {
		return svc != nil && (svc.Spec.ClusterIP == a.IP.String() || slices.Contains(svc.Spec.ClusterIPs, a.IP.String()))
	}
	var out []dialled
	list := p.Table.Frontends(s.Service.String())
	list = append(list, p.absent(s.Service, list)...)
	for i := range list {
		f := &list[i]
		if s.Port != 0 && f.Key.Port != s.Port || s.Proto != 0 && f.Key.Proto != s.Proto {
			continue
		}
		d := dialled{dial: f.Key, owner: f.Service, cluster: isCluster(f.Key) || svc == nil && !f.Key.IsNodePort()}
		if f.Key.IsNodePort() {
			if d.dial.IP = p.nodeAddr(inet.FamilyOf(f.Key.IP)); !d.dial.IP.IsValid() {
				continue
			}
		}
		out = append(out, d)
	}
	slices.SortFunc(out, func(a, b dialled) int {
		if a.cluster != b.cluster {
			return map[bool]int{true: -1, false: 1}[a.cluster]
		}
		return a.dial.Compare(b.dial)
	})
	return out
}

// nodeAddr returns the address of this node by which others connect to its ports.
func (p *Picture) nodeAddr(f inet.Family) netip.Addr {
	if p.Objects != nil {
		if n := p.Objects.Node(p.Config.Table.NodeName); n != nil {
			for _, a := range n.Status.Addresses {
				ip, err := netip.ParseAddr(a.Address)
				if err == nil && inet.FamilyOf(ip) == f && a.Type == corev1.NodeInternalIP {
					return ip
				}
			}
		}
	}
	if p.Network == nil {
		return netip.Addr{}
	}
	for i := range p.Network.Links {
		for _, a := range p.Network.Links[i].Addrs {
			if ip := a.Addr(); inet.FamilyOf(ip) == f && ip.IsGlobalUnicast() {
				return ip
			}
		}
	}
	return netip.Addr{}
}
