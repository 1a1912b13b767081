// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"fairlead/cmd/fairlead-lab/apiserver"
	"fairlead/cmd/fairlead-lab/oom"
	"fairlead/cmd/fairlead-lab/world"
	"fairlead/internal/inet"
	"fairlead/internal/lab"
)

const (
	poolSize = 6
	apiPort  = 6443
	diskSize = "64k" // of the directory of CNI configurations
)

// setUp makes pods, Services, an API server outside of the cluster, and agents.
func (r *runner) setUp(ctx context.Context) error {
	if err := r.startAPI(ctx); err != nil {
		return err
	}
	for _, node := range r.Cluster.Nodes {
		if err := mountDisk(node.CNIConfDir()); err != nil {
			return err
		}
	}
	if err := r.api.Apply(world.NodesManifest(r.Cluster.Nodes)); err != nil {
		return err
	}
	for _, node := range r.Cluster.Nodes {
		if err := r.startAgent(node); err != nil {
			return err
		}
	}
	if err := r.populate(); err != nil {
		return err
	}
	for _, s := range r.services {
		if s.proto() != inet.TCP {
			continue
		}
		if err := r.WaitAgents(ctx, s.Service); err != nil {
			return err
		}
	}
	return r.settle(ctx)
}

// addFirewalls gives each node the rule that most firewalls begin with. So connections are
// tracked without our table, too, as on most machines. Events delete it.
func (r *runner) addFirewalls(ctx context.Context) error {
	const rules = "add table inet firewall; add chain inet firewall forward { type filter hook forward priority 0; }; " +
		"flush chain inet firewall forward; add rule inet firewall forward ct state established,related accept"
	for _, node := range r.Cluster.Nodes {
		if _, err := world.RunIn(ctx, node.Host, "nft", rules); err != nil {
			return err
		}
	}
	return nil
}

// makeGroups makes a memory control group for the agent of each node, or says why the
// kernel cannot be made to end an agent. Whoever chose the prefix removes them.
func (r *runner) makeGroups(prefix string) {
	for _, node := range r.Cluster.Nodes {
		g, err := oom.New(prefix + "-" + node.Name)
		if err != nil {
			fmt.Fprintf(r.out, "for want of memory an agent's next allocation fails, and the kernel ends none: %v\n", err)
			return
		}
		r.groups[node.Name] = g
	}
}

// startAPI starts the API server on the host outside, and leads agents to it.
func (r *runner) startAPI(ctx context.Context) error {
	at := netip.AddrPortFrom(r.Cluster.Outside.Addr4, apiPort)
	r.api = apiserver.New(func() (l net.Listener, err error) {
		err = r.Cluster.Outside.NS.Do(func() error {
			l, err = new(net.ListenConfig).Listen(ctx, "tcp", at.String())
			return err
		})
		return l, err
	})
	r.Kubeconfig = filepath.Join(r.Dir, "kubeconfig")
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: lab, cluster: {server: "http://%s"}}]
users: [{name: lab, user: {}}]
contexts: [{name: lab, context: {cluster: lab, user: lab}}]
current-context: lab
`, at)
	if err := os.WriteFile(r.Kubeconfig, []byte(text), 0o600); err != nil {
		return fmt.Errorf("write kubeconfig: %w", err)
	}
	return r.api.Start()
}

// mountDisk gives a directory a small file system of its own.
func mountDisk(dir string) error {
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+diskSize); err != nil {
		return fmt.Errorf("mount tmpfs on %s: %w", dir, err)
	}
	return nil
}

// populate makes the client, the pool and the Services.
func (r *runner) populate() (err error) {
	if r.Client, err = r.Cluster.Nodes[0].AddPod("client"); err != nil {
		return err
	}
	if _, err = r.Client.Serve(inet.TCP, world.WebPort); err != nil { // for itself
		return err
	}
	for i := range poolSize {
		e, err := r.AddWebPod(fmt.Sprintf("web-%d", i+1), i)
		if err == nil {
			_, err = e.Pod.Serve(inet.UDP, world.WebPort)
		}
		if err != nil {
			return err
		}
		r.pool = append(r.pool, e)
	}
	cfg := r.Cluster.Config
	for _, s := range []world.Service{
		{Name: "web", Port: 80, NodePort: 30080, TargetPort: world.WebPort, ClusterIPs: world.VIPs(cfg, 10)},
		{Name: "dns", Proto: inet.UDP, Port: 53, TargetPort: world.WebPort, ClusterIPs: world.VIPs(cfg, 53)},
		{Name: "cart", Port: 80, TargetPort: world.WebPort, ClusterIPs: world.VIPs(cfg, 30), Sticky: true},
	} {
		s.Endpoints = append(s.Endpoints, r.pool[:poolSize/2]...)
		r.services = append(r.services, &service{Service: s, left: map[string]time.Duration{}})
		if err := r.api.Apply(s.Manifest()); err != nil {
			return err
		}
	}
	return nil
}

// nodePort returns the NodePort of web on a node, in the family of vip.
func (r *runner) nodePort(node *lab.Node, vip netip.Addr) inet.Addr {
	at := inet.Addr{IP: node.Addr4, Port: r.services[0].NodePort, Proto: inet.TCP}
	if vip.Is6() {
		at.IP = node.Addr6
	}
	return at
}
