// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"net/netip"
	"time"
)

// PerfServices returns the Services of a measurement: one in front of the server of the
// client's node, and one in front of that of another node.
func PerfServices() []Service {
	return []Service{
		{Name: Prefix + "near", Kind: NodePort, Proto: TCP, Backends: First},
		{Name: Prefix + "far", Kind: NodePort, Proto: TCP, Backends: Second},
	}
}

// Path is a way from the client on the first node to a server.
type Path struct {
	Server string `json:"server"` // "same node" or "other node"
	Via    string `json:"via"`    // "pod address", "ClusterIP" or "NodePort"
	Target string `json:"target"` // ADDRESS:PORT
}

// Figures are what was measured on a path. They are those of one client and one server,
// which share processors with everything else on their nodes.
type Figures struct {
	Path
	Connections float64       `json:"connectionsPerSecond"` // new ones, some at the same time
	P50         time.Duration `json:"p50Nanoseconds"`       // of a new connection with a request, one at a time
	P99         time.Duration `json:"p99Nanoseconds"`
	Bytes       float64       `json:"bytesPerSecond"` // of one connection
	Failed      int           `json:"failed"`         // connections
}

// Paths returns what a client on the first node measures: each server by its own address,
// and next to it through its Service.
func (w *World) Paths() (out []Path) {
	for _, f := range w.Families() {
		for i, server := range []string{"same node", "other node"} {
			if i >= len(w.Nodes) || i >= len(w.Services) {
				continue
			}
			s := &w.Services[i]
			add := func(via string, ip netip.Addr, port uint16) {
				if ip.IsValid() && port != 0 {
					out = append(out, Path{Server: server, Via: via, Target: at(ip, port)})
				}
			}
			add("pod address", pick(w.Nodes[i].Pod, f), PodPort)
			add("ClusterIP", pick(s.ClusterIPs, f), ServicePort)
			add("NodePort", pick(w.Nodes[0].Addrs, f), s.NodePort)
		}
	}
	return out
}
