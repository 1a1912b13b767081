// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"fairlead/internal/inet"
	"fairlead/internal/lab"
	"fairlead/nat/evaluate"
	"fairlead/nat/kernel"
	tablelist "fairlead/nat/listing"
	"fairlead/nat/ruleset"
)

// The packet tests of this package compare what real packets meet with what package
// evaluate says about the table in the kernel, for each expectation.

// foresee returns what the evaluation of the table says about a connection, in the words
// of probe.
func (b *bed) foresee(t *testing.T, client origin, to inet.Addr) string {
	t.Helper()
	family := 0
	if to.IP.Is6() {
		family = 1
	}
	p := evaluate.Packet{Src: netip.AddrPortFrom(client.addr[family], 40000), Dst: to}
	host := &nodeHost{b.node.Netlink()}
	if client.host != b.node.Host {
		p.IIF, _ = host.Out(evaluate.Packet{Dst: inet.Addr{IP: client.addr[family]}}, 0)
	}
	var names []string
	mark := ""
	sum := 0.0
	for _, o := range evaluate.New(b.load(t)).Evaluate(p, host) {
		sum += o.Probability
		if len(o.Uncertain) > 0 {
			return fmt.Sprint("uncertain: ", o.Uncertain)
		}
		name, m := b.describeOutcome(&o)
		if m == "" {
			return name
		}
		if mark != "" && m != mark {
			return "masqueraded in part only"
		}
		mark = m
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if sum < 0.999999 || sum > 1.000001 {
		return fmt.Sprint("probabilities add up to ", sum)
	}
	return strings.Join(append(names, mark), " ")
}

// describeOutcome returns the endpoint and "m" or "-", or the word of an error.
func (b *bed) describeOutcome(o *evaluate.Outcome) (name, mark string) {
	switch {
	case o.Verdict == evaluate.Drop:
		return lab.ErrTimeout.Error(), ""
	case o.Verdict == evaluate.Reject:
		return lab.ErrRefused.Error(), ""
	case o.Verdict != evaluate.Accept:
		return o.Verdict, ""
	case !o.Translated && !o.Masquerade:
		return untouched, ""
	}
	mark = "-"
	if o.Masquerade {
		mark = "m"
	}
	for _, n := range b.Nodes {
		for _, pod := range n.Pods() {
			if slices.Contains(pod.Addrs(), o.To.Addr()) {
				if o.To.Port() != targetPort {
					return fmt.Sprintf("%s-%d", pod.Name, o.To.Port()), mark // as such servers are called
				}
				return pod.Name, mark
			}
		}
	}
	return o.To.String(), mark
}

// untouched is the word for a packet that the table leaves alone.
const untouched = "untouched"

// agrees reports whether an evaluation fits what became of packets. What becomes of a
// packet that the table leaves alone is for others to decide, but no endpoint gets it.
func (b *bed) agrees(foreseen, want string) bool {
	words, said := strings.Fields(want), strings.Fields(foreseen)
	if foreseen != untouched {
		slices.Sort(words)
		slices.Sort(said)
		return slices.Equal(words, said)
	}
	return !slices.ContainsFunc(words, func(w string) bool { return w == b.here.Name || w == b.there.Name })
}

// load reads the table of node-1.
func (b *bed) load(t *testing.T) *tablelist.Table {
	t.Helper()
	k, err := kernel.Open(b.node.NS)
	check(t, err)
	defer func() { _ = k.Close() }()
	found, err := k.Load(t.Context())
	check(t, err)
	table := &tablelist.Table{Found: found, Entries: map[ruleset.Set][]ruleset.Entry{}}
	for _, set := range tablelist.LiveSets(found) {
		table.Entries[set], err = k.LoadEntries(t.Context(), set)
		check(t, err)
	}
	return table
}

// nodeHost asks the kernel of a node for routes.
type nodeHost struct{ *netlink.Handle }

func (h *nodeHost) route(ip netip.Addr) (iface string, local, ok bool) {
	routes, err := h.RouteGet(ip.AsSlice())
	if err != nil || len(routes) == 0 {
		return "", false, false
	}
	link, err := h.LinkByIndex(routes[0].LinkIndex)
	if err != nil {
		return "", false, false
	}
	return link.Attrs().Name, routes[0].Type == unix.RTN_LOCAL, true
}

func (h *nodeHost) IsLocal(ip netip.Addr) bool {
	_, local, _ := h.route(ip)
	return local
}

func (h *nodeHost) Leads(ip netip.Addr, iface string) bool {
	name, _, ok := h.route(ip)
	return ok && name == iface
}

func (h *nodeHost) Out(p evaluate.Packet, _ uint32) (string, bool) {
	name, _, ok := h.route(p.Dst.IP)
	return name, ok
}
