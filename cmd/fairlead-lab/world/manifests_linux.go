// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package world

import (
	"cmp"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"fairlead/internal/inet"
	"fairlead/internal/lab"
)

// Service is a Service of the lab with its endpoints. Write makes it one file.
type Service struct {
	Name       string
	Proto      inet.Proto // TCP unless set
	ClusterIPs []netip.Addr
	Port       uint16
	NodePort   uint16 // 0 for none
	TargetPort uint16
	Sticky     bool // sessionAffinity: ClientIP
	Local      bool // externalTrafficPolicy: Local
	Endpoints  []Endpoint
	Internal   bool         // internalTrafficPolicy: Local
	External   []netip.Addr // externalIPs
	Balancer   []netip.Addr // of a load balancer
	// SourceRanges are the clients of the load balancer; empty for all.
	SourceRanges []netip.Prefix
}

// Endpoint is a pod behind a Service.
type Endpoint struct {
	Pod         *lab.Pod
	Server      *lab.Server
	Terminating bool // out of use for new connections, alive for old ones
}

// At returns a VIP of the Service with its port.
func (s Service) At(vip netip.Addr) inet.Addr {
	return inet.Addr{IP: vip, Port: s.Port, Proto: cmp.Or(s.Proto, inet.TCP)}
}

func (s Service) typ() string {
	if len(s.Balancer) > 0 {
		return "LoadBalancer"
	}
	if s.NodePort == 0 {
		return "ClusterIP"
	}
	return "NodePort"
}

// protocol returns the protocol as the API spells it.
func (s Service) protocol() string { return strings.ToUpper(s.At(netip.Addr{}).Proto.String()) }

// slices returns the endpoints once per family, as the API has them.
func (s Service) slices() []slice {
	var out []slice
	for _, vip := range s.ClusterIPs {
		one := slice{Service: s, Type: "IPv4"}
		if vip.Is6() {
			one.Type = "IPv6"
		}
		for _, e := range s.Endpoints {
			addr := e.Pod.Addr4
			if vip.Is6() {
				addr = e.Pod.Addr6
			}
			one.Endpoints = append(one.Endpoints, address{Addr: addr, Endpoint: e})
		}
		out = append(out, one)
	}
	return out
}

// slice is the EndpointSlice of one family.
type slice struct {
	Service   Service
	Type      string
	Endpoints []address
}

// address is an endpoint in one family.
type address struct {
	Endpoint
	Addr netip.Addr
}

// Manifest returns the Service and its EndpointSlices as YAML. It is written by hand rather than by an encoder, because people edit it;
// nor by text/template, which makes the linker keep every method of every type
// of the API: 20 MB.
func (s Service) Manifest() string {
	list := s.slices()
	var b strings.Builder
	fmt.Fprintf(&b, `# Edit and save: the agents follow at once.
apiVersion: v1
kind: Service
metadata:
  name: %s
  namespace: default
spec:
  type: %s
  clusterIP: "%s"
  clusterIPs:
`, s.Name, s.typ(), s.ClusterIPs[0])
	writeList(&b, "", "  - \"%s\"\n", s.ClusterIPs)
	if s.Local {
		b.WriteString("  externalTrafficPolicy: Local\n")
	}
	if s.Internal {
		b.WriteString("  internalTrafficPolicy: Local\n")
	}
	writeList(&b, "  externalIPs:\n", "  - \"%s\"\n", s.External)
	writeList(&b, "  loadBalancerSourceRanges:\n", "  - \"%s\"\n", s.SourceRanges)
	b.WriteString("  ipFamilyPolicy: PreferDualStack\n  ipFamilies:\n")
	for _, one := range list {
		fmt.Fprintf(&b, "  - %s\n", one.Type)
	}
	if s.Sticky {
		b.WriteString("  sessionAffinity: ClientIP\n  sessionAffinityConfig: {clientIP: {timeoutSeconds: 10800}}\n")
	}
	fmt.Fprintf(&b, `  ports:
  - name: hello
    protocol: %s
    port: %d
    targetPort: %d
`, s.protocol(), s.Port, s.TargetPort)
	if s.NodePort != 0 {
		fmt.Fprintf(&b, "    nodePort: %d\n", s.NodePort)
	}
	writeList(&b, "status:\n  loadBalancer:\n    ingress:\n", "    - {ip: \"%s\"}\n", s.Balancer)
	for _, one := range list {
		one.write(&b)
	}
	return b.String()
}

// writeList writes a line for each of a list, behind a title if there are any.
func writeList[T any](b *strings.Builder, title, line string, list []T) {
	if len(list) > 0 {
		b.WriteString(title)
	}
	for _, one := range list {
		fmt.Fprintf(b, line, one)
	}
}

func (s slice) write(b *strings.Builder) {
	fmt.Fprintf(b, `---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: %s-%s
  namespace: default
  labels:
    kubernetes.io/service-name: %s
addressType: %s
ports:
- name: hello
  protocol: %s
  port: %d
endpoints:`, s.Service.Name, strings.ToLower(s.Type), s.Service.Name, s.Type, s.Service.protocol(), s.Service.TargetPort)
	if len(s.Endpoints) == 0 {
		b.WriteString(" []")
	}
	for _, e := range s.Endpoints {
		fmt.Fprintf(b, `
- addresses: ["%s"]
  nodeName: %s
  targetRef: {kind: Pod, namespace: default, name: %s}
  conditions: {ready: %v, serving: true, terminating: %v}`, e.Addr, e.Pod.Node.Name, e.Pod.Name, !e.Terminating, e.Terminating)
	}
	b.WriteString("\n")
}

// NodesManifest returns the Node objects of the lab.
func NodesManifest(nodes []*lab.Node) string {
	var b strings.Builder
	b.WriteString("apiVersion: v1\nkind: List\nitems:\n")
	for _, n := range nodes {
		fmt.Fprintf(&b, `- apiVersion: v1
  kind: Node
  metadata:
    name: %s
  spec:
    podCIDR: "%s"
    podCIDRs:
`, n.Name, n.PodCIDRs[0])
		for _, p := range n.PodCIDRs {
			fmt.Fprintf(&b, "    - \"%s\"\n", p)
		}
		b.WriteString("  status:\n    addresses:\n")
		for _, a := range n.Addrs() {
			fmt.Fprintf(&b, "    - {type: InternalIP, address: \"%s\"}\n", a)
		}
		fmt.Fprintf(&b, "    - {type: Hostname, address: %s}\n", n.Name)
	}
	return b.String()
}

// WriteManifest puts text in place by a rename, so that no agent ever reads half
// of it.
func WriteManifest(dir, name, text string) error {
	temporary := filepath.Join(dir, "."+name+".tmp")
	if err := os.WriteFile(temporary, []byte(text), 0o644); err != nil {
		return fmt.Errorf("write manifest: %w", err)
	}
	if err := os.Rename(temporary, filepath.Join(dir, name)); err != nil {
		return fmt.Errorf("write manifest: %w", err)
	}
	return nil
}
