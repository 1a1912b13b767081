// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"text/template"

	"fairlead/internal/lab"
)

// labService is a Service of the lab with its endpoints. It becomes one file.
type labService struct {
	Name       string
	ClusterIPs []netip.Addr
	Port       uint16
	NodePort   uint16
	TargetPort uint16
	Endpoints  []labEndpoint
}

// labEndpoint is a pod behind a labService.
type labEndpoint struct {
	Pod         *lab.Pod
	Server      *lab.Server
	Terminating bool // out of use for new connections, alive for old ones
}

// Slices returns the endpoints once per family, as the API has them.
func (s labService) Slices() []labSlice {
	var out []labSlice
	for _, vip := range s.ClusterIPs {
		slice := labSlice{Service: s, Type: "IPv4"}
		if vip.Is6() {
			slice.Type = "IPv6"
		}
		for _, e := range s.Endpoints {
			addr := e.Pod.Addr4
			if vip.Is6() {
				addr = e.Pod.Addr6
			}
			slice.Endpoints = append(slice.Endpoints, labAddress{Addr: addr, labEndpoint: e})
		}
		out = append(out, slice)
	}
	return out
}

// labSlice is the EndpointSlice of one family.
type labSlice struct {
	Service   labService
	Type      string
	Endpoints []labAddress
}

// labAddress is an endpoint in one family.
type labAddress struct {
	labEndpoint
	Addr netip.Addr
}

// serviceManifest is written by hand rather than by an encoder, because people
// edit it.
const serviceManifest = `# Edit and save: the agents follow at once.
apiVersion: v1
kind: Service
metadata:
  name: {{.Name}}
  namespace: default
spec:
  type: NodePort
  clusterIP: "{{index .ClusterIPs 0}}"
  clusterIPs:{{range .ClusterIPs}}
  - "{{.}}"{{end}}
  ipFamilyPolicy: PreferDualStack
  ipFamilies:{{range .Slices}}
  - {{.Type}}{{end}}
  ports:
  - name: hello
    protocol: TCP
    port: {{.Port}}
    targetPort: {{.TargetPort}}
    nodePort: {{.NodePort}}
{{- range .Slices}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: {{.Service.Name}}-{{if eq .Type "IPv4"}}ipv4{{else}}ipv6{{end}}
  namespace: default
  labels:
    kubernetes.io/service-name: {{.Service.Name}}
addressType: {{.Type}}
ports:
- name: hello
  protocol: TCP
  port: {{.Service.TargetPort}}
endpoints:{{if not .Endpoints}} []{{end}}
{{- range .Endpoints}}
- addresses: ["{{.Addr}}"]
  nodeName: {{.Pod.Node.Name}}
  targetRef: {kind: Pod, namespace: default, name: {{.Pod.Name}}}
  conditions: {ready: {{not .Terminating}}, serving: true, terminating: {{.Terminating}}}
{{- end}}
{{- end}}
`

const nodesManifest = `apiVersion: v1
kind: List
items:
{{- range .}}
- apiVersion: v1
  kind: Node
  metadata:
    name: {{.Name}}
  spec:
    podCIDR: "{{index .PodCIDRs 0}}"
    podCIDRs:{{range .PodCIDRs}}
    - "{{.}}"{{end}}
  status:
    addresses:{{range .Addrs}}
    - {type: InternalIP, address: "{{.}}"}{{end}}
    - {type: Hostname, address: {{.Name}}}
{{- end}}
`

// writeManifest fills in a template and puts the result in place by a rename,
// so that no agent ever reads half of it.
func writeManifest(dir, name, text string, data any) error {
	tmpl, err := template.New(name).Parse(text)
	if err != nil {
		return fmt.Errorf("parse template of %s: %w", name, err)
	}
	var out bytes.Buffer
	if err := tmpl.Execute(&out, data); err != nil {
		return fmt.Errorf("fill in %s: %w", name, err)
	}
	temporary := filepath.Join(dir, "."+name+".tmp")
	if err := os.WriteFile(temporary, out.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write manifest: %w", err)
	}
	if err := os.Rename(temporary, filepath.Join(dir, name)); err != nil {
		return fmt.Errorf("write manifest: %w", err)
	}
	return nil
}
