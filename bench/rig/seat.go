// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package rig

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os/exec"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"fairlead/internal/inet"
	"fairlead/internal/lab"
)

// Seat is a node that one subject serves, with its pods.
type Seat struct {
	Node        *lab.Node
	Client      *lab.Pod
	Left, Right *lab.Pod

	// Flows is a Service of TCP and UDP with the endpoint Echo(), and NodePort its port
	// on the node.
	Flows    netip.AddrPort
	NodePort uint16
}

// Echo is the only endpoint of Flows.
func (s *Seat) Echo() netip.AddrPort { return netip.AddrPortFrom(s.Left.Addr4, echoPort) }

// manyNet are the addresses of all endpoints except those of the probes.
var manyNet = netip.MustParsePrefix("10.128.0.0/11")

// podPort is where all servers listen. echoPort is for the measurements of flows.
const (
	podPort  = 8080
	echoPort = 8081
)

func (r *Rig) newSeat(ctx context.Context, n *lab.Node) (*Seat, error) {
	if err := r.addNode(ctx, n); err != nil {
		return nil, err
	}
	s := &Seat{Node: n}
	pods := map[string]**lab.Pod{"client": &s.Client, "left": &s.Left, "right": &s.Right}
	for _, name := range []string{"client", "left", "right"} {
		p, err := n.AddPod(name)
		if err != nil {
			return nil, err
		}
		*pods[name] = p
	}
	for _, p := range []*lab.Pod{s.Left, s.Right} {
		if _, err := p.Serve(inet.TCP, podPort); err != nil {
			return nil, err
		}
		if err := Echo(p.Host, p.Name, echoPort); err != nil {
			return nil, err
		}
	}
	return s, s.addMany()
}

// addMany leads the addresses of all endpoints to one pod, which takes every packet for
// them as its own.
func (s *Seat) addMany() error {
	many, err := s.Node.AddPod("many")
	if err != nil {
		return err
	}
	if err := s.Node.SetRoute(manyNet, many.Addr4, many.Device()); err != nil {
		return err
	}
	lo, err := many.Netlink().LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find lo: %w", err)
	}
	_, all, err := net.ParseCIDR(manyNet.String())
	if err != nil {
		return err
	}
	own := &netlink.Route{Dst: all, LinkIndex: lo.Attrs().Index, Type: unix.RTN_LOCAL, Table: unix.RT_TABLE_LOCAL, Scope: unix.RT_SCOPE_HOST}
	if err := many.Netlink().RouteAdd(own); err != nil {
		return fmt.Errorf("add local route %s: %w", manyNet, err)
	}
	_, err = many.ServeAs("many", inet.TCP, podPort, netip.IPv4Unspecified())
	return err
}

// Flush removes all rules and flows of the node, as another program might.
func (s *Seat) Flush() error {
	if _, err := s.Nft("flush ruleset"); err != nil {
		return err
	}
	return s.FlushFlows()
}

// FlushFlows makes the node forget all flows, so that the next packet of each is a first
// one.
func (s *Seat) FlushFlows() error {
	return s.Node.NS.Do(func() error { return netlink.ConntrackTableFlush(netlink.ConntrackTable) })
}

// Nft runs nft with commands on the node and returns what it prints.
func (s *Seat) Nft(commands ...string) (string, error) {
	var out []byte
	err := s.Node.NS.Do(func() (err error) {
		out, err = exec.Command("nft", commands...).CombinedOutput()
		return err
	})
	if err != nil {
		return "", fmt.Errorf("nft %q on %s: %w: %s", commands, s.Node.Name, err, out)
	}
	return string(out), nil
}
