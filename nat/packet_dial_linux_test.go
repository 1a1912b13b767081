// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nat_test

import (
	"context"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/mdlayher/netlink"
	"github.com/ti-mo/conntrack"

	"fairlead/internal/inet"
	"fairlead/internal/lab"
	"fairlead/internal/lab/labtest"
	"fairlead/internal/netns"
)

const (
	// answered is how long an answer may take on a machine with other things to
	// do, silence how long none has to come until we believe that none will.
	answered, silence = 20 * time.Second, 300 * time.Millisecond
)

// dial makes one connection from an address of the host, and says who answered
// and what he saw.
func dial(t *testing.T, from *lab.Host, src netip.Addr, to inet.Addr, wait time.Duration) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	c, err := from.OpenFrom(ctx, src, to)
	if err != nil {
		return lab.Outcome(lab.Reply{}, err)
	}
	defer func() { check(t, c.Close()) }()
	return c.Reply.String()
}

// open makes a connection that must succeed.
func open(t *testing.T, from *lab.Host, to inet.Addr) *lab.Conn {
	t.Helper()
	c, err := from.Open(labtest.Patient(t), to)
	check(t, err)
	return c
}

// expect fails the test unless a connection goes as wanted: "web saw ADDRESS", or
// one of the words of lab.Outcome.
func expect(t *testing.T, from *lab.Host, src netip.Addr, to inet.Addr, want string) {
	t.Helper()
	wait := answered
	if want == lab.ErrTimeout.Error() {
		wait = silence
	}
	if got := dial(t, from, src, to, wait); got != want {
		t.Errorf("%s to %s: got %q, want %q", from.Name, to, got, want)
	}
}

// eachWay calls f for both families and protocols.
func eachWay(t *testing.T, f func(t *testing.T, family int, proto inet.Proto)) {
	t.Helper()
	for i, name := range ipFamilies {
		for _, proto := range protos {
			t.Run(name+" "+proto.String(), func(t *testing.T) { f(t, i, proto) })
		}
	}
}

// gateway is how node-1 is seen by its own pods.
func (b *bed) gateway(family int) netip.Addr { return b.node.PodCIDRs[family].Addr().Next() }

// flows returns what connection tracking in ns knows of flows with the port at
// either end, as "source > destination".
func flows(t *testing.T, ns *netns.NS, port uint16) []string {
	t.Helper()
	c, err := conntrack.Dial(&netlink.Config{NetNS: ns.Fd()})
	check(t, err)
	defer func() { check(t, c.Close()) }()
	list, err := c.Dump(nil)
	check(t, err)
	var out []string
	for _, f := range list {
		if o := f.TupleOrig; o.Proto.SourcePort == port || o.Proto.DestinationPort == port {
			out = append(out, o.IP.SourceAddress.String()+" > "+o.IP.DestinationAddress.String())
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func at(ip netip.Addr, port uint16, proto inet.Proto) inet.Addr {
	return inet.Addr{IP: ip, Port: port, Proto: proto}
}

func single(ip netip.Addr) netip.Prefix { return netip.PrefixFrom(ip, ip.BitLen()) }

func singles(ips ...netip.Addr) []netip.Prefix {
	var out []netip.Prefix
	for _, ip := range ips {
		out = append(out, single(ip))
	}
	return out
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
