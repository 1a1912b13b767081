// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package rig

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead/internal/inet"
	"fairlead/internal/lab"
)

// Pair is two nodes whose pods reach each other through an overlay only: near has the
// client, and far the server.
type Pair struct {
	Near, Far      *Seat
	Client, Server *lab.Pod

	subjects []Subject // that run on both nodes
	agents   map[*Seat][]*Agent
}

// podMTU leaves room for the headers of VXLAN in an underlay of 1500 bytes.
const podMTU = 1450

// NewPair adds two nodes to the cluster; their Node objects are created by Join.
func (r *Rig) NewPair(subjects ...Subject) (*Pair, error) {
	p := &Pair{subjects: subjects, agents: map[*Seat][]*Agent{}}
	for _, end := range []struct {
		seat **Seat
		pod  **lab.Pod
		name string
	}{{&p.Near, &p.Client, "near"}, {&p.Far, &p.Server, "far"}} {
		n, err := r.Cluster.AddNode()
		if err != nil {
			return nil, err
		}
		pod, err := n.AddPod(end.name)
		if err != nil {
			return nil, err
		}
		link, err := pod.Netlink().LinkByName("eth0")
		if err != nil {
			return nil, fmt.Errorf("find eth0 of pod %s: %w", pod.Name, err)
		}
		if err := pod.Netlink().LinkSetMTU(link, podMTU); err != nil {
			return nil, fmt.Errorf("set MTU of pod %s: %w", pod.Name, err)
		}
		*end.seat, *end.pod = &Seat{Node: n}, pod
	}
	p.Near.Client = p.Client
	if _, err := p.Server.Serve(inet.TCP, podPort); err != nil {
		return nil, err
	}
	return p, errors.Join(Echo(p.Server.Host, p.Server.Name, echoPort), Sink(p.Server.Host))
}

// Addr is where the server answers.
func (p *Pair) Addr() netip.AddrPort { return netip.AddrPortFrom(p.Server.Addr4, echoPort) }

// SinkAddr is where the packets of Packets go.
func (p *Pair) SinkAddr() netip.AddrPort { return netip.AddrPortFrom(p.Server.Addr4, sinkPort) }

// Join creates the Node object of a seat and starts the subjects there.
func (r *Rig) Join(ctx context.Context, p *Pair, s *Seat) error {
	if err := r.addNode(ctx, s.Node); err != nil {
		return err
	}
	for _, subject := range p.subjects {
		a, err := r.Start(ctx, subject, s)
		if err != nil {
			return err
		}
		p.agents[s] = append(p.agents[s], a)
	}
	return nil
}

// Leave ends the subjects of a seat, deletes the Node object, and removes from the node
// what they made.
func (r *Rig) Leave(ctx context.Context, p *Pair, s *Seat) error {
	var errs []error
	for _, a := range p.agents[s] {
		errs = append(errs, a.Stop())
	}
	delete(p.agents, s)
	errs = append(errs, r.API.CoreV1().Nodes().Delete(ctx, s.Node.Name, metav1.DeleteOptions{}), s.Flush())
	return errors.Join(append(errs, s.NoTunnels())...)
}

// NoTunnels removes the devices of VXLAN from the node.
func (s *Seat) NoTunnels() error {
	links, err := s.Node.Netlink().LinkList()
	errs := []error{err}
	for _, l := range links {
		if l.Type() == "vxlan" {
			errs = append(errs, s.Node.Netlink().LinkDel(l))
		}
	}
	return errors.Join(errs...)
}

// Unpair ends all subjects of a pair and takes its nodes out of the cluster.
func (r *Rig) Unpair(ctx context.Context, p *Pair) error {
	var errs []error
	for _, s := range []*Seat{p.Near, p.Far} {
		if p.agents[s] != nil {
			errs = append(errs, r.Leave(ctx, p, s))
		}
		errs = append(errs, s.Node.Close())
	}
	return errors.Join(errs...)
}

// Agent is the first subject on a seat.
func (p *Pair) Agent(s *Seat) *Agent { return p.agents[s][0] }

// Alive returns an error if a subject of the pair has ended.
func (p *Pair) Alive() error {
	var errs []error
	for _, list := range p.agents {
		for _, a := range list {
			errs = append(errs, a.Alive())
		}
	}
	return errors.Join(errs...)
}

// Meet dials the server until it answers, and returns ErrLate after patience.
func (p *Pair) Meet(ctx context.Context, patience time.Duration) error {
	return p.Near.await(ctx, inet.Addr{IP: p.Server.Addr4, Port: podPort, Proto: inet.TCP}, p.Server.Name, patience)
}

// Apart returns an error if the server still answers.
func (p *Pair) Apart(ctx context.Context) error {
	if err := p.Meet(ctx, 0); !errors.Is(err, ErrLate) {
		return fmt.Errorf("%s is reached without an overlay: %w", p.Server.Name, err)
	}
	return nil
}

// Rules waits until kube-proxy has written Service probe on a seat.
func (s *Seat) Rules(ctx context.Context, patience time.Duration) error {
	return poll(ctx, patience, func() error {
		out, err := s.Nft("list ruleset")
		if err == nil && !strings.Contains(out, Probe.IP.String()) {
			err = fmt.Errorf("%s has no rule for Service %s", s.Node.Name, probe)
		}
		return err
	})
}

func (r *Rig) addNode(ctx context.Context, n *lab.Node) error {
	node := &corev1.Node{
		// The controller manager annotates every Node, and flannel relies on it.
		ObjectMeta: metav1.ObjectMeta{Name: n.Name, Annotations: map[string]string{"node.alpha.kubernetes.io/ttl": "0"}},
		Spec:       corev1.NodeSpec{PodCIDR: n.PodCIDRs[0].String(), PodCIDRs: []string{n.PodCIDRs[0].String()}},
		Status:     corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: n.Addr4.String()}}},
	}
	if _, err := r.API.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("create node %s: %w", n.Name, err)
	}
	return nil
}

// Flannel is the real one with backend vxlan, which masquerades with nftables.
func Flannel() Subject {
	return Subject{FlannelOnly, func(r *Rig, s *Seat, kubeconfig string) (*exec.Cmd, error) {
		path := func(name string) string { return filepath.Join(r.Dir, s.Node.Name+"-"+name) }
		conf := fmt.Sprintf(`{"Network": %q, "EnableNFTables": true, "Backend": {"Type": "vxlan"}}`, PodNet)
		if err := os.WriteFile(path("net-conf.json"), []byte(conf), 0o600); err != nil {
			return nil, err
		}
		cmd := exec.Command(filepath.Join(r.Bin, "flanneld"), "--kube-subnet-mgr", "--kubeconfig-file", kubeconfig,
			"--net-config-path", path("net-conf.json"), "--subnet-file", path("subnet.env"), "--iface", "eth0", "--ip-masq")
		cmd.Env = append(os.Environ(), "NODE_NAME="+s.Node.Name, "XTABLES_LOCKFILE="+path("xtables.lock"))
		return cmd, nil
	}}
}

// ByHand makes the devices and entries of VXLAN with ip and bridge, as a person would.
func (p *Pair) ByHand() error {
	for _, end := range [][2]*Seat{{p.Near, p.Far}, {p.Far, p.Near}} {
		n, peer := end[0].Node, end[1].Node
		mac := func(n *lab.Node) string { return fmt.Sprintf("02:00:00:00:00:%02x", n.Number) }
		gateway := peer.PodCIDRs[0].Addr()
		for _, command := range []string{
			fmt.Sprintf("ip link add hand address %s mtu %d type vxlan id 1 local %s dstport 8472 nolearning", mac(n), podMTU, n.Addr4),
			"ip link set hand up",
			fmt.Sprintf("ip address add %s/32 dev hand", n.PodCIDRs[0].Addr()),
			fmt.Sprintf("ip neighbour add %s lladdr %s dev hand nud permanent", gateway, mac(peer)),
			fmt.Sprintf("ip route add %s via %s dev hand onlink", peer.PodCIDRs[0], gateway),
			fmt.Sprintf("bridge fdb add %s dev hand dst %s permanent", mac(peer), peer.Addr4),
		} {
			err := n.NS.Do(func() error {
				words := strings.Fields(command)
				out, err := exec.Command(words[0], words[1:]...).CombinedOutput()
				if err != nil {
					return fmt.Errorf("%s on %s: %w: %s", command, n.Name, err, out)
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}
