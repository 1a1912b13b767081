// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package rebuild

import (
	"context"
	"errors"
	"fmt"
	"os"

	"fairlead/cmd/fairlead-lab/rebuild/plan"
	"fairlead/cmd/fairlead/inspect"
	"fairlead/cmd/fairlead/view"
	"fairlead/internal/inet"
	"fairlead/internal/lab"
	"fairlead/nat/listing"
)

// Node is a node that was rebuilt. Its namespaces live until Close.
type Node struct {
	*lab.Host
	// Outside is the host at the other end of the node's uplinks. It has the addresses of
	// the gateways and sends everything to the node.
	Outside *lab.Host
	Pods    []Pod
	Bundle  Bundle
	LeftOut []string // in sentences, which may hold any characters

	plan *plan.Node
	ipv6 bool
}

// Pod is a pod of the node.
type Pod struct {
	*lab.Host
	plan.Pod
}

// Bundle is what was read.
type Bundle struct {
	File    string
	About   view.About
	Config  view.Config
	Objects *view.Objects // nil if the bundle has none
	CNI     []view.CNIFile
	Table   *listing.Table // nil if the kernel had none
}

// New reads a bundle and builds its node.
func New(ctx context.Context, file string, limits plan.Limits) (*Node, error) {
	n := &Node{Bundle: Bundle{File: file}}
	if err := n.read(ctx, limits); err != nil {
		return nil, err
	}
	for _, step := range []func(context.Context) error{n.addHosts, n.setNodeSysctls, n.addLinks, n.addPods, n.setDeviceSysctls, n.addRoutes, n.addNeighbours, n.addTable} {
		if err := errors.Join(context.Cause(ctx), step(ctx)); err != nil {
			return nil, errors.Join(fmt.Errorf("rebuild %s: %w", n.plan.Name, err), n.Close())
		}
	}
	return n, nil
}

// read reads the parts of the bundle. A node needs its configuration and its network;
// without another part it is built as far as that goes.
func (n *Node) read(ctx context.Context, limits plan.Limits) error {
	from, err := inspect.OpenBundle(n.Bundle.File)
	if err != nil {
		return err
	}
	parts := plan.Parts{}
	if parts.About, err = from.About(ctx); err != nil {
		return err
	}
	if parts.Config, err = from.Config(ctx); err != nil {
		return err
	}
	if parts.Network, err = from.Network(ctx); err != nil {
		return err
	}
	var missing []string
	note := func(err error) {
		if err != nil {
			missing = append(missing, fmt.Sprintf("A part of the bundle is missing: %v.", err))
		}
	}
	parts.Objects, err = from.Objects(ctx)
	note(err)
	parts.Sysctls, err = from.Sysctls(ctx)
	note(err)
	n.Bundle.CNI, err = from.CNI(ctx)
	note(err)
	n.Bundle.Table, err = from.Table(ctx)
	if !errors.Is(err, view.ErrAbsent) && err != nil {
		return err // a broken one: the node without it would behave in another way
	}
	note(err)
	n.Bundle.About, n.Bundle.Config, n.Bundle.Objects = *parts.About, *parts.Config, parts.Objects
	if n.plan, err = plan.New(&parts, limits); err != nil {
		return fmt.Errorf("--bundle: %s: %w", n.Bundle.File, err)
	}
	n.LeftOut = append(missing, n.plan.LeftOut...)
	return nil
}

func (n *Node) leaveOut(format string, args ...any) {
	n.LeftOut = append(n.LeftOut, fmt.Sprintf(format, args...))
}

func (n *Node) addHosts(context.Context) (err error) {
	_, missing := os.Stat("/proc/sys/net/ipv6")
	n.ipv6 = missing == nil
	if n.Host, err = lab.NewHost("node", n.ipv6); err != nil {
		return err
	}
	n.Outside, err = lab.NewHost("outside", n.ipv6)
	return err
}

// addPods makes the pods, and starts a server on each port that an EndpointSlice names.
func (n *Node) addPods(ctx context.Context) error {
	for i := range n.plan.Pods {
		p := &n.plan.Pods[i]
		if err := errors.Join(context.Cause(ctx), n.addPod(p)); err != nil {
			return fmt.Errorf("pod %q: %w", p.Title, err)
		}
	}
	for _, port := range n.plan.Ports {
		if _, err := n.ServeAs("node", port.Proto, port.Port, port.IP); err != nil {
			n.leaveOut("Nothing answers on %s of the node: %v.", port, err)
		}
	}
	return nil
}

func (n *Node) addPod(p *plan.Pod) error {
	host, err := lab.NewHost(p.Host, n.ipv6)
	if err != nil {
		return err
	}
	n.Pods = append(n.Pods, Pod{host, *p})
	if p.NoDevice {
		n.leaveOut("The bundle does not say which device leads to pod %q. It has %s, without a route unless one names its address.", p.Title, p.Device.Name)
	}
	if err := lab.Wire(n.Host, p.Device.Name, host, "eth0", p.Device.MTU); err != nil {
		return err
	}
	if err := errors.Join(setMAC(host, "eth0", p.MAC), n.dress(&p.Device), host.Connect(p.Addrs, p.Gateways)); err != nil {
		return err
	}
	for _, port := range p.Ports {
		for _, ip := range host.Addrs() {
			at := inet.Addr{IP: ip, Port: port.Port, Proto: port.Proto}
			if _, err := host.ServeAs(p.Title, at.Proto, at.Port, at.IP); err != nil {
				n.leaveOut("Nothing answers on %s: %v.", at, err)
			}
		}
	}
	return nil
}

// Close ends everything that runs in the node and its pods, and releases the namespaces.
func (n *Node) Close() error {
	var errs []error
	for _, p := range n.Pods {
		errs = append(errs, p.Close())
	}
	for _, h := range []*lab.Host{n.Outside, n.Host} {
		if h != nil {
			errs = append(errs, h.Close())
		}
	}
	return errors.Join(errs...)
}
