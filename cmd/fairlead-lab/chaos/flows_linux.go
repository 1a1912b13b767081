// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"fairlead/internal/chaos"
	"fairlead/internal/inet"
	"fairlead/internal/lab"
	"fairlead/internal/netns"
)

// dial makes one connection of a client, or asks one question from a new port.
func (r *runner) dial(ctx context.Context, c *client) (lab.Reply, error) {
	if c.to.Proto != inet.TCP {
		return c.from.Dial(ctx, c.to)
	}
	c.flow = chaos.Flow{Since: r.now(), To: netip.AddrPortFrom(c.to.IP, c.to.Port)}
	conn, err := c.from.Socket(ctx, c.to)
	if err != nil {
		return lab.Reply{}, err // the kernel's entry is not established: the agent deletes it
	}
	c.flow.Client = conn.Source()
	reply, err := conn.Greeting(ctx)
	return reply, errors.Join(err, conn.Close())
}

// datesFlows makes the kernel of each node remember when a flow began.
func (r *runner) datesFlows() error {
	for _, node := range r.Cluster.Nodes {
		if err := node.Sysctl("netfilter/nf_conntrack_timestamp", "1"); err != nil {
			return err
		}
	}
	return nil
}

// resumed reports whether a server answered the present connection of a client because the kernel
// of a node took it for an earlier one. Nodes are asked at once, while they keep the entry.
func (r *runner) resumed(c *client, server string) bool {
	if !c.flow.Client.IsValid() {
		return false
	}
	conn := c.flow
	for _, e := range r.pool {
		if e.Pod.Name == server {
			conn.Servers = e.Pod.Addrs()
		}
	}
	for _, node := range r.Cluster.Nodes {
		entries, err := entriesOf(node.NS, conn.Client, r.start)
		if err != nil {
			r.note("%v", err) // the answer is then not excused
		}
		if chaos.Resumed(&conn, entries) {
			return true
		}
	}
	return false
}

// listTries bounds how often the entries are listed that others change meanwhile.
const listTries = 5

// entriesOf returns the TCP flows of a client's port that connection tracking has entries of. An
// entry without a time began before the kernel remembered times.
func entriesOf(ns *netns.NS, client netip.AddrPort, start time.Time) (entries []chaos.Flow, err error) {
	family := netlink.InetFamily(unix.AF_INET)
	if client.Addr().Is6() {
		family = unix.AF_INET6
	}
	err = ns.Do(func() error {
		handle, err := netlink.NewHandle(unix.NETLINK_NETFILTER)
		if err != nil {
			return err
		}
		defer handle.Close()
		var list []*netlink.ConntrackFlow
		for range listTries {
			if list, err = handle.ConntrackTableList(netlink.ConntrackTable, family); !errors.Is(err, netlink.ErrDumpInterrupted) {
				break
			}
		}
		for _, f := range list {
			if e := entryOf(f, start); f.Forward.Protocol == unix.IPPROTO_TCP && e.Client == client {
				entries = append(entries, e)
			}
		}
		if errors.Is(err, netlink.ErrDumpInterrupted) {
			return nil
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list flows of %s: %w", client, err)
	}
	return entries, nil
}

func entryOf(f *netlink.ConntrackFlow, start time.Time) chaos.Flow {
	ip := func(b []byte) netip.Addr {
		out, _ := netip.AddrFromSlice(b)
		return out.Unmap()
	}
	return chaos.Flow{
		Client:  netip.AddrPortFrom(ip(f.Forward.SrcIP), f.Forward.SrcPort),
		To:      netip.AddrPortFrom(ip(f.Forward.DstIP), f.Forward.DstPort),
		Servers: []netip.Addr{ip(f.Reverse.SrcIP)},
		Since:   time.Unix(0, int64(f.TimeStart)).Sub(start),
	}
}
