// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"fairlead/internal/inet"
	"fairlead/internal/lab"
)

// stepReach dials every address of the Service from every kind of client, and
// looks at which source the pod saw.
func stepReach(ctx context.Context, d *demo) error {
	first, last := d.Cluster.Nodes[0], d.Cluster.Nodes[len(d.Cluster.Nodes)-1]
	for i, vip := range d.Web.ClusterIPs {
		clusterIP, nodePort := d.Web.At(vip), d.nodePort(last, vip)
		d.reach(ctx, d.Client.Host, "ClusterIP", clusterIP, d.Client.Addrs()[i])
		d.reach(ctx, first.Host, "ClusterIP", clusterIP, netip.Addr{})
		d.reach(ctx, d.Client.Host, "NodePort", nodePort, netip.Addr{})
		d.reach(ctx, d.Cluster.Outside, "NodePort", nodePort, netip.Addr{})
	}
	return d.hairpin(ctx)
}

// reach checks that one of the pods of web answers, and that it saw source if
// that is given: pods must see pods.
func (d *demo) reach(ctx context.Context, from *lab.Host, kind string, at inet.Addr, source netip.Addr) {
	reply, err := from.Dial(ctx, at)
	ok := err == nil && strings.HasPrefix(reply.Server, d.Web.Name+"-")
	if source.IsValid() {
		ok = ok && reply.Source.Addr() == source
	}
	d.check(ok, "%-8s -> %-9s %-26s %s", from.Name, kind, at.AddrPort(), lab.Outcome(reply, err))
}

// hairpin lets a pod dial its own Service until it is its own backend.
func (d *demo) hairpin(ctx context.Context) error {
	const most = 200
	pod := d.Web.Endpoints[0].Pod
	for n := range most {
		reply, err := pod.Dial(ctx, d.Web.At(d.Web.ClusterIPs[0]))
		if err != nil {
			d.check(false, "%s -> its own Service: %v", pod.Name, err)
			return nil
		}
		if reply.Server == pod.Name {
			d.check(true, "%s dials its own Service and is given itself (connection %d)", pod.Name, n+1)
			return nil
		}
	}
	return errors.New("a pod was never given itself by its own Service")
}

// nodePort returns the NodePort of web on a node, in the family of like.
func (d *demo) nodePort(node *lab.Node, like netip.Addr) inet.Addr {
	at := inet.Addr{IP: node.Addr4, Port: d.Web.NodePort, Proto: inet.TCP}
	if like.Is6() {
		at.IP = node.Addr6
	}
	return at
}

func family(a netip.Addr) string {
	if a.Is6() {
		return "IPv6"
	}
	return "IPv4"
}

func words[T fmt.Stringer](list []T) string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = v.String()
	}
	return strings.Join(out, " and ")
}
