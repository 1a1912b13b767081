// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"errors"
	"fmt"
	"net/netip"
)

// Pod is a host on a node's pod network.
type Pod struct {
	*Host
	Node *Node

	device string      // the node's end of its veth
	cni    *attachment // nil unless plugins made it
}

// AddPod makes a pod with the next free addresses of the node's pod CIDRs.
// Addresses are never handed out twice. With PodLink CNI it waits for a conflist,
// and the plugins choose the address.
func (n *Node) AddPod(name string) (*Pod, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.pods[name] != nil {
		return nil, fmt.Errorf("add pod %s to %s: it exists", name, n.Name)
	}
	if n.last >= 254 {
		return nil, fmt.Errorf("add pod %s to %s: no address is left", name, n.Name)
	}
	host, err := newHost(n.cluster.Config, name)
	if err != nil {
		return nil, err
	}
	n.last++
	p := &Pod{Host: host, Node: n, device: fmt.Sprintf("veth%d", n.last)}
	if err := p.wire(n.last); err != nil {
		return nil, errors.Join(err, host.Close())
	}
	n.pods[name] = p
	return p, nil
}

// wire attaches the pod to its node; i is the host part of its addresses.
func (p *Pod) wire(i int) error {
	if p.Node.cluster.Config.PodLink == CNI {
		return p.wireCNI()
	}
	if err := veth(p.Node.Host, p.device, p.Host, uplink); err != nil {
		return err
	}
	if p.Node.cluster.Config.PodLink == Bridge {
		return p.wireBridge(i)
	}
	return p.wirePTP(i)
}

func (p *Pod) wireBridge(i int) error {
	if err := p.Node.enslave(p.device, cniBridge, true); err != nil {
		return err
	}
	var addrs, gateways []netip.Prefix
	for _, cidr := range p.Node.PodCIDRs {
		addrs = append(addrs, netip.PrefixFrom(nth(cidr, i), cidr.Bits()))
		gateways = append(gateways, single(nth(cidr, 1)))
	}
	return p.connect(addrs, gateways)
}

// wirePTP leaves the pod without neighbours: it has a host address, and its
// gateway is an address of the veth's other end.
func (p *Pod) wirePTP(i int) error {
	var addrs, gateways []netip.Prefix
	for _, cidr := range p.Node.PodCIDRs {
		addr, gateway := single(nth(cidr, i)), single(nth(cidr, 1))
		addrs, gateways = append(addrs, addr), append(gateways, gateway)
		if err := p.Node.AddAddr(p.device, gateway); err != nil {
			return err
		}
		if err := p.Node.SetRoute(addr, netip.Addr{}, p.device); err != nil {
			return err
		}
	}
	return p.connect(addrs, gateways)
}

// Device returns the name of the pod's device on its node.
func (p *Pod) Device() string { return p.device }

// Close removes the pod: its servers stop, its connections die with it.
func (p *Pod) Close() error {
	p.Node.mu.Lock()
	if p.Node.pods[p.Name] == p {
		delete(p.Node.pods, p.Name)
	}
	p.Node.mu.Unlock()

	p.mu.Lock()
	gone := p.closed
	p.mu.Unlock()
	if gone {
		return nil
	}
	if p.cni != nil {
		return errors.Join(p.unwireCNI(), p.Host.Close())
	}
	// A namespace without descriptors is taken apart some time later; the device
	// is removed now, so that the address is unreachable from here on.
	link, err := p.Node.link(p.device)
	if err == nil {
		err = p.Node.links.LinkDel(link)
	}
	return errors.Join(err, p.Host.Close())
}
