// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"fairlead/cmd/fairlead/output"
	"fairlead/proxier/convert"
	"fairlead/proxier/objects"
	"fairlead/proxier/resolve"
)

// Finding is a reason why connections fail or go another way than somebody expects.
type Finding struct {
	Code   string `json:"code"` // for programs
	Text   string `json:"text"`
	Remedy string `json:"remedy,omitempty"`
}

// short is the finding in a column of a table.
func (f *Finding) short() string { return strings.TrimSuffix(f.Text, ".") }

// notServed says why fairlead serves no address of a Service.
func (p *Picture) notServed(svc *corev1.Service) string {
	if f := p.serviceFinding(svc); f != nil {
		return f.short()
	}
	return "no address is in the kernel; see fairlead explain"
}

// serviceFinding returns why a Service is not for a node to serve, or nil.
func (p *Picture) serviceFinding(svc *corev1.Service) *Finding {
	proxy, other := svc.Labels[convert.LabelServiceProxyName]
	switch {
	case other:
		return &Finding{"other-proxy",
			fmt.Sprintf("Label %s gives the Service to another proxy, %q.", convert.LabelServiceProxyName, proxy),
			"Remove the label if fairlead is to serve it."}
	case svc.Spec.Type == corev1.ServiceTypeExternalName:
		return &Finding{"external-name",
			fmt.Sprintf("The Service is of type ExternalName: its name in DNS stands for %s, and it has no address.", svc.Spec.ExternalName),
			"Connect to its name, which DNS resolves."}
	case svc.Spec.ClusterIP == corev1.ClusterIPNone:
		return &Finding{"headless",
			"The Service is headless: its name in DNS stands for the addresses of its pods, and it has no address of its own.",
			"Connect to its name, which DNS resolves, or make a Service with a ClusterIP."}
	case svc.Spec.ClusterIP == "" && len(svc.Spec.ClusterIPs) == 0:
		return &Finding{"no-cluster-ip", "The Service has no ClusterIP.", "The API server allocates one; a manifest needs spec.clusterIP."}
	case len(svc.Spec.Ports) == 0:
		return &Finding{"no-ports", "The Service has no ports.", "Add spec.ports."}
	}
	return nil
}

// unknownService is the error about a Service that neither the table nor the objects
// have. It names Services that may be meant.
func (p *Picture) unknownService(name string) error {
	var names []string
	if p.Objects != nil {
		for _, s := range p.Objects.Services {
			names = append(names, s.Namespace+"/"+s.Name)
		}
	} else if p.Table != nil {
		for _, f := range p.Table.Frontends("") {
			service, _, _ := strings.Cut(f.Service, ":")
			names = objects.AppendNew(names, service)
		}
	}
	_, short, _ := strings.Cut(name, "/")
	var near []string
	for _, n := range names { // of another namespace
		if _, other, _ := strings.Cut(n, "/"); other == short {
			near = append(near, n)
		}
	}
	for _, n := range objects.Near(name, names, 3) {
		near = objects.AppendNew(near, n)
	}
	text := fmt.Sprintf("there is no Service %s", name)
	if p.Objects == nil {
		text = fmt.Sprintf("the table has no frontend of Service %s, and API objects were not read", name)
	}
	if len(near) > 0 {
		text += "; did you mean " + strings.Join(near[:min(3, len(near))], " or ") + "?"
	}
	return fmt.Errorf("%s", output.Clean(text))
}

// endpointFindings says why a Service has no endpoint, for all clients or for some.
func (p *Picture) endpointFindings(key types.NamespacedName) []Finding {
	if p.Objects == nil {
		return nil
	}
	svc := p.Objects.Service(key)
	e := p.wanted.Explain(key)
	if svc == nil || e == nil {
		return nil
	}
	var out []Finding
	refused := p.refused(key)
	for i := range e.Ports {
		port := &e.Ports[i]
		used, local := 0, 0
		for _, u := range port.Endpoints {
			if u.Unused == (resolve.Reason{}) {
				used++
			}
			if u.NotLocal == (resolve.Reason{}) {
				local++
			}
		}
		switch {
		case used == 0 && len(port.Endpoints)+len(refused) == 0:
			out = append(out, p.withoutEndpoints(svc)...)
		case used == 0:
			out = append(out, p.allUnused(svc, port, refused)...)
		case local == 0 && e.Service.InternalLocal:
			out = append(out, Finding{"internal-local",
				"internalTrafficPolicy is Local, and no endpoint runs on this node: connections to the ClusterIP are dropped here.",
				"Run a pod of the Service on this node, or set internalTrafficPolicy to Cluster."})
		}
		if used > 0 && port.Fallback != (resolve.Fallback{}) {
			out = append(out, Finding{"no-hints",
				fmt.Sprintf("The topology hints of the endpoints are not followed, so clients of this node get endpoints of all zones: %s.", port.Fallback),
				"Hints count when each endpoint that is ready has one and one of them is for this node or its zone; the label topology.kubernetes.io/zone of the Node names the zone."})
		}
		if used > 0 && local == 0 && e.Service.ExternalLocal {
			out = append(out, Finding{"external-local",
				"externalTrafficPolicy is Local, and no endpoint runs on this node: connections from outside the cluster are dropped here.",
				"Send clients to a node with an endpoint, which the health check of the Service names, or set externalTrafficPolicy to Cluster."})
		}
	}
	return unique(out)
}

// unique leaves out what is said of another port already.
func unique(list []Finding) []Finding {
	out := []Finding{}
	for _, f := range list {
		if !slices.Contains(out, f) {
			out = append(out, f)
		}
	}
	return out
}

// maxNamed bounds the endpoints and pods that one sentence names.
const maxNamed = 5

func named(list []string) string {
	list = slices.Compact(slices.Sorted(slices.Values(list)))
	if len(list) <= maxNamed {
		return strings.Join(list, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(list[:maxNamed], ", "), len(list)-maxNamed)
}

// allUnused says why no endpoint of a port is used, one finding for each kind of reason.
func (p *Picture) allUnused(svc *corev1.Service, port *resolve.PortExplanation, refused []Endpoint) []Finding {
	key := types.NamespacedName{Namespace: svc.Namespace, Name: svc.Name}
	by := map[string][]resolve.EndpointUse{}
	for _, u := range port.Endpoints {
		by[u.Unused.Code] = append(by[u.Unused.Code], u)
	}
	refs := p.refs()
	names := func(list []resolve.EndpointUse) string {
		var out []string
		for _, u := range list {
			e := newUnused(key, port, u, refs)
			out = append(out, e.where())
		}
		return named(out)
	}
	var out []Finding
	if list := by[resolve.CodePortName]; len(list) > 0 {
		out = append(out, p.portFinding(svc, port, list))
	}
	if list := by[resolve.CodeNotReady]; len(list) > 0 {
		out = append(out, Finding{"not-ready", fmt.Sprintf("No endpoint is ready: %s.", names(list)),
			fmt.Sprintf("Find out why the pods are not ready: kubectl -n %s describe pods", svc.Namespace)})
	}
	if list := by[resolve.CodeOtherFamily]; len(list) > 0 && len(by) == 1 {
		out = append(out, Finding{"other-family", fmt.Sprintf("The Service has an %s address, and all its endpoints are of the other family: %s.", port.Family, names(list)),
			"Set spec.ipFamilies to the family of the pods, or give the pods addresses of both families."})
	}
	for _, code := range []string{resolve.CodeRefused, resolve.CodeTwice, resolve.CodeBound, resolve.CodeDraining} {
		if list := by[code]; len(list) > 0 {
			out = append(out, Finding{code, fmt.Sprintf("An endpoint is not used, %s: %s.", list[0].Unused.Text, names(list)), ""})
		}
	}
	if len(refused) > 0 {
		out = append(out, Finding{"refused", fmt.Sprintf("The address of an endpoint is refused: %s.", refused[0].Unused.Text), "Correct the EndpointSlice " + refused[0].Slice + "."})
	}
	return out
}

// portFinding says why the slices do not have a port.
func (p *Picture) portFinding(svc *corev1.Service, port *resolve.PortExplanation, list []resolve.EndpointUse) Finding {
	text := list[0].Unused.Text
	for i := range svc.Spec.Ports {
		sp := &svc.Spec.Ports[i]
		if sp.Name == port.Port.Name && sp.TargetPort.StrVal != "" && strings.HasSuffix(text, "it has no ports") {
			return Finding{"target-port", fmt.Sprintf("targetPort %q of port %d is the name of no port of the pods, so the EndpointSlices have no port.", sp.TargetPort.StrVal, sp.Port),
				"Give a container of the pods a port of that name, or set targetPort to a number."}
		}
	}
	return Finding{"port-name", "The names of the ports differ: " + text + ".",
		"Give the port of the EndpointSlice the name and protocol that the Service has. The EndpointSlice controller does so for a Service with a selector; slices that others write need it."}
}
