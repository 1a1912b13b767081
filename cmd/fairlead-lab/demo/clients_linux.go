// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"fairlead/cmd/fairlead-lab/world"
	"fairlead/internal/inet"
)

// stepClients replaces the only pod behind clients that remember, or whose
// packets do.
func stepClients(ctx context.Context, d *demo) error {
	if err := d.datagrams(ctx); err != nil {
		return err
	}
	return d.sticky(ctx)
}

// datagrams is the case of DNS: a resolver asks from one port all the time, and so
// its flow never ends by itself.
func (d *demo) datagrams(ctx context.Context) error {
	dns := world.Service{Name: "dns", Proto: inet.UDP, Port: 53, TargetPort: 53, ClusterIPs: world.VIPs(d.Cluster.Config, 53)}
	if err := d.replicas(&dns, "dns-1"); err != nil {
		return err
	}
	at := dns.At(dns.ClusterIPs[0])
	if err := world.Poll(ctx, soon, func() bool { return d.Client.Try(ctx, at) != "" && d.answers(ctx, at, "dns-1") }, "dns-1 does not answer"); err != nil {
		return err
	}
	flow, err := d.Client.Open(ctx, at)
	if err != nil {
		return err
	}
	defer func() { _ = flow.Close() }()
	d.say("client asks %s over UDP from its port %d, and goes on doing so; %s answers", at.AddrPort(), flow.Source().Port(), flow.Reply.Server)
	old := dns.Endpoints
	dns.Endpoints = nil
	if err := d.replicas(&dns, "dns-2"); err != nil {
		return err
	}
	start := time.Now()
	asked := 0
	err = world.Poll(ctx, soon, func() bool {
		asked++
		try, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		defer cancel()
		reply, err := flow.Ask(try)
		return err == nil && reply.Server == "dns-2"
	}, "dns-2 never answers")
	d.check(err == nil, "dns-2 replaces dns-1: the same port is answered by dns-2 after %s (question %d)", since(start), asked)
	return d.remove(dns, append(old, dns.Endpoints...)...)
}

// answers reports whether a server answers.
func (d *demo) answers(ctx context.Context, at inet.Addr, server string) bool {
	try, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	reply, err := d.Client.Dial(try, at)
	return err == nil && reply.Server == server
}

// sticky sends all connections of a client to one pod, until that is gone.
func (d *demo) sticky(ctx context.Context) error {
	cart := world.Service{Name: "cart", Port: 80, TargetPort: world.WebPort, ClusterIPs: world.VIPs(d.Cluster.Config, 30), Sticky: true}
	if err := d.replicas(&cart, "cart-1", "cart-2", "cart-3"); err != nil {
		return err
	}
	at := cart.At(cart.ClusterIPs[0])
	const connections = 30
	first, err := d.settled(ctx, at)
	if err != nil {
		return err
	}
	d.check(d.same(ctx, at, first, connections), "cart.yaml has sessionAffinity: all of %d connections go to %s, one of three pods", connections, first)
	var gone world.Endpoint
	kept := cart.Endpoints[:0:0]
	for _, e := range cart.Endpoints {
		if e.Pod.Name == first {
			gone = e
		} else {
			kept = append(kept, e)
		}
	}
	cart.Endpoints = kept
	if err := d.Write(cart); err != nil {
		return err
	}
	var second string
	err = world.Poll(ctx, soon, func() bool {
		second, err = d.settled(ctx, at)
		return err == nil && second != first
	}, "client is still sent to "+first)
	d.check(err == nil && d.same(ctx, at, second, connections), "%s leaves: all of %d connections go to %s", first, connections, second)
	return d.remove(cart, append(cart.Endpoints, gone)...)
}

// remove takes a Service away, and pods.
func (d *demo) remove(s world.Service, pods ...world.Endpoint) error {
	err := os.Remove(filepath.Join(d.Manifests, s.Name+".yaml"))
	for _, e := range pods {
		err = errors.Join(err, e.Pod.Close())
	}
	return err
}

// settled returns who answers, once somebody does.
func (d *demo) settled(ctx context.Context, at inet.Addr) (server string, err error) {
	err = world.Poll(ctx, soon, func() bool {
		try, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		defer cancel()
		reply, err := d.Client.Dial(try, at)
		server = reply.Server
		return err == nil
	}, "nobody answers")
	return server, err
}

// same reports whether n connections are answered by one server.
func (d *demo) same(ctx context.Context, at inet.Addr, server string, n int) bool {
	for range n {
		if reply, err := d.Client.Dial(ctx, at); err != nil || reply.Server != server {
			return false
		}
	}
	return true
}

// replicas starts pods with a server each and puts them behind a Service.
func (d *demo) replicas(s *world.Service, names ...string) error {
	for i, name := range names {
		pod, err := d.Cluster.Nodes[(i+1)%len(d.Cluster.Nodes)].AddPod(name)
		if err != nil {
			return err
		}
		server, err := pod.Serve(s.At(s.ClusterIPs[0]).Proto, s.TargetPort)
		if err != nil {
			return err
		}
		s.Endpoints = append(s.Endpoints, world.Endpoint{Pod: pod, Server: server})
	}
	return d.Write(*s)
}
