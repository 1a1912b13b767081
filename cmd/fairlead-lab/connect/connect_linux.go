// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package connect

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"fairlead/cmd/fairlead-lab/world"
	"fairlead/cmd/fairlead/reach/plan"
	"fairlead/cmd/fairlead/reach/report"
	"fairlead/cmd/fairlead/reach/talk"
	"fairlead/internal/inet"
	"fairlead/internal/lab"
)

const (
	hostPort  = 18471
	podPort   = 18472 // hostPort of the servers in the pod network
	firstVIP  = 40    // ClusterIPs of Services, the last byte
	firstPort = 30100 // their NodePorts
)

// Bed is a cluster with servers and Services that can be tried, also after something was
// broken.
type Bed struct {
	*world.World
	plan    plan.World
	servers []*talk.Server
	clients map[plan.Client]*lab.Host
}

// Run makes servers and Services in a cluster without pods, starts the agents, and tries
// everything.
func Run(ctx context.Context, w *world.World) (*report.Report, error) {
	b, err := New(w)
	if err != nil {
		return nil, err
	}
	if err := w.StartAgents(); err != nil {
		return nil, err
	}
	serving, end := context.WithCancel(ctx)
	served := make(chan error, 1)
	go func() { served <- b.Serve(serving) }()
	r, err := b.Try(ctx, talk.Settle)
	end()
	return r, errors.Join(err, <-served)
}

// Serve runs the servers until ctx is done, and returns nil then.
func (b *Bed) Serve(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, s := range b.servers {
		g.Go(func() error { return s.Run(ctx) })
	}
	return g.Wait()
}

// New makes pods, servers and Services.
func New(w *world.World) (*Bed, error) {
	b := &Bed{World: w, plan: plan.World{Namespace: "default", HostPort: hostPort, PodHostPort: podPort}, clients: map[plan.Client]*lab.Host{{}: w.Cluster.Outside}}
	backends := map[plan.Backends][]world.Endpoint{}
	for i, n := range w.Cluster.Nodes {
		server, err := n.AddPod("server-" + n.Name)
		if err != nil {
			return nil, err
		}
		client, err := n.AddPod("client-" + n.Name)
		if err != nil {
			return nil, err
		}
		if err := errors.Join(b.listen(server.Host, plan.PodServer(n.Name), plan.PodPort),
			b.listen(client.Host, plan.ClientServer(n.Name), plan.PodPort), b.listen(n.Host, plan.NodeServer(n.Name), hostPort)); err != nil {
			return nil, err
		}
		b.clients[plan.Client{Node: n.Name}], b.clients[plan.Client{Node: n.Name, Host: true}] = client.Host, n.Host
		b.plan.Nodes = append(b.plan.Nodes, plan.Node{Name: n.Name, Addrs: n.Addrs(), Pod: server.Addrs()})
		backends[plan.Servers] = append(backends[plan.Servers], world.Endpoint{Pod: server})
		backends[plan.Clients] = append(backends[plan.Clients], world.Endpoint{Pod: client})
		if i == 0 {
			backends[plan.First] = backends[plan.Servers]
		}
	}
	return b, errors.Join(b.leadIn(), w.WriteNodes(), b.writePods(), b.writeServices(backends))
}

// leadIn leads addresses that no network has to the first node, for the host outside.
func (b *Bed) leadIn() error {
	var errs []error
	for _, a := range b.families("192.0.2.200", "2001:db8::200") {
		bits := 24
		if a.Is6() {
			bits = 64
		}
		errs = append(errs, b.Cluster.RouteVIPs(netip.PrefixFrom(a, bits).Masked(), b.Cluster.Nodes[0]))
	}
	return errors.Join(errs...)
}

// listen opens a server in a namespace.
func (b *Bed) listen(h *lab.Host, name string, port uint16) error {
	return h.NS.Do(func() error {
		s, err := talk.Listen(name, port)
		if err == nil {
			b.servers = append(b.servers, s)
		}
		return err
	})
}

// writePods writes the Pods of the servers, whose hostPort leads to them.
func (b *Bed) writePods() error {
	const pod = "---\napiVersion: v1\nkind: Pod\nmetadata: {name: server-%[1]s, namespace: default}\n" +
		"spec:\n  nodeName: %[1]s\n  containers:\n  - name: server\n    ports:\n    - {hostPort: %[2]d, containerPort: %[3]d, protocol: TCP}\n    - {hostPort: %[2]d, containerPort: %[3]d, protocol: UDP}\n" +
		"status:\n  phase: Running\n  podIPs:\n"
	var out strings.Builder
	for _, n := range b.plan.Nodes {
		fmt.Fprintf(&out, pod, n.Name, podPort, plan.PodPort)
		for _, ip := range n.Pod {
			fmt.Fprintf(&out, "  - {ip: \"%s\"}\n", ip)
		}
	}
	return world.WriteManifest(b.Manifests, "pods.yaml", out.String())
}

// writeServices writes all Services but headless ones, which only names lead to.
func (b *Bed) writeServices(backends map[plan.Backends][]world.Endpoint) error {
	external := b.families("192.0.2.200", "2001:db8::200")
	balancer := b.families("192.0.2.201", "2001:db8::201")
	var errs []error
	for i, s := range plan.Services(external, balancer) {
		if s.Kind == plan.Headless {
			continue
		}
		s.ClusterIPs = world.VIPs(b.Cluster.Config, firstVIP+i)
		out := world.Service{
			Name: s.Name, Proto: inet.TCP, ClusterIPs: s.ClusterIPs, Port: plan.ServicePort, TargetPort: plan.PodPort, Endpoints: backends[s.Backends],
			Sticky: s.Kind == plan.Affinity, Local: s.Kind == plan.ExternalLocal || s.Kind == plan.BalancerLocal, Internal: s.Kind == plan.InternalLocal || s.Kind == plan.Hairpin,
		}
		if s.Proto == plan.UDP {
			out.Proto = inet.UDP
		}
		switch s.Kind {
		case plan.NodePort, plan.ExternalLocal:
			s.NodePort = firstPort + uint16(i)
			out.NodePort = s.NodePort
		case plan.ExternalIP:
			out.External = s.IPs
		case plan.SourceRanges:
			out.Balancer, out.SourceRanges = s.IPs, plan.Ranges()
		case plan.LoadBalancer, plan.BalancerLocal:
			out.Balancer = s.IPs
		}
		b.plan.Services = append(b.plan.Services, s)
		errs = append(errs, b.Write(out))
	}
	return errors.Join(errs...)
}

// families returns the addresses of the lab's IP versions.
func (b *Bed) families(v4, v6 string) []netip.Addr {
	out := []netip.Addr{netip.MustParseAddr(v4)}
	if b.Cluster.Config.IPv6 {
		out = append(out, netip.MustParseAddr(v6))
	}
	return out
}

// Try tries everything once. A check that fails is repeated for the time that the world has to
// settle.
func (b *Bed) Try(ctx context.Context, settle time.Duration) (*report.Report, error) {
	start := time.Now()
	var mu sync.Mutex
	var results []plan.Result
	var clients sync.WaitGroup
	for who, host := range b.clients {
		clients.Go(func() {
			c := talk.Client{Dial: from(host), Settle: settle}
			c.Run(ctx, b.plan.Checks(who), func(r plan.Result) {
				if r.Failed() {
					command, node := r.NextCommand()
					if node == "" { // the first one gets what is for all
						node = b.plan.Nodes[0].Name
					}
					r.Next = "on " + node + ": " + command
				}
				mu.Lock()
				defer mu.Unlock()
				results = append(results, r)
			})
		})
	}
	clients.Wait()
	return report.New(results, time.Since(start).Seconds()), ctx.Err()
}

// from returns a dialer inside the namespace of a host.
func from(h *lab.Host) talk.Dialer {
	return func(ctx context.Context, network, address string) (conn net.Conn, err error) {
		err = h.NS.Do(func() error {
			conn, err = new(net.Dialer).DialContext(ctx, network, address)
			return err
		})
		return conn, err
	}
}
