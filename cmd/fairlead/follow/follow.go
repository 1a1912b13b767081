// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package follow makes packets with their ways out of the steps that the kernel reports,
// and writes them as text. It does no I/O.
package follow

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"fairlead/internal/nft"
)

// Ends are the two ends of a packet, as one chain saw them.
type Ends struct {
	Proto    string         `json:"protocol"`
	From, To netip.AddrPort // the ports are 0 without one
}

// Step is one step of a packet.
type Step struct {
	Table   string `json:"table"`
	Chain   string `json:"chain"`
	Rule    string `json:"rule,omitempty"`
	Verdict string `json:"verdict"`
	// Ends is set where the packet's addresses are known and differ from those before.
	Ends *Ends `json:"ends,omitempty"`
}

// Packet is one packet and its way, in order.
type Packet struct {
	Steps []Step `json:"steps"`

	last    time.Time
	ends    Ends
	pending *Ends // for the next step
}

// maxSteps bounds the steps of a packet that are kept: a packet without end would fill
// the memory.
const maxSteps = 500

// Collector sorts steps by packet. The zero value with Rule is ready to use.
type Collector struct {
	// Rule returns the text of a rule of the table of fairlead, "" if it is not known.
	Rule func(handle uint64) string
	// Own is the name of that table.
	Own     string
	packets map[uint32]*Packet
	order   []uint32
	retired []*Packet // whose ID another packet has now
}

// Add takes the step that was reported at a time. A step without a table begins a packet.
// Add drops steps of further packets while most are under way.
func (c *Collector) Add(t *nft.Trace, now time.Time, most int) {
	p := c.packets[t.ID]
	if t.Table == (nft.Table{}) {
		if p != nil {
			c.retired = append(c.retired, p)
			delete(c.packets, t.ID)
			c.order = slices.DeleteFunc(c.order, func(id uint32) bool { return id == t.ID })
		}
		return
	}
	if p == nil {
		if len(c.order)+len(c.retired) >= most {
			return
		}
		if c.packets == nil {
			c.packets = map[uint32]*Packet{}
		}
		p = &Packet{}
		c.packets[t.ID] = p
		c.order = append(c.order, t.ID)
	}
	p.last = now
	if len(p.Steps) >= maxSteps {
		return
	}
	if ends, ok := readEnds(t.Network, t.Transport); ok && ends != p.ends {
		p.ends = ends
		p.pending = &ends
	}
	if t.Kind == nft.TraceRule && t.Handle == 0 {
		return // no rule matched; the policy follows
	}
	s := Step{Table: tableName(t.Table), Chain: t.Chain, Verdict: verdict(t), Ends: p.pending}
	p.pending = nil
	if t.Kind == nft.TraceRule && t.Table.Family == unix.NFPROTO_INET && t.Table.Name == c.Own {
		s.Rule = c.Rule(t.Handle)
	}
	if t.Kind == nft.TraceRule && s.Rule == "" {
		s.Rule = fmt.Sprintf("rule with handle %d", t.Handle)
	}
	p.Steps = append(p.Steps, s)
}

// Done returns the packets that made no step for a time, in the order in which they came,
// and forgets them.
func (c *Collector) Done(now time.Time, idle time.Duration) []*Packet {
	out := c.retired
	c.retired = nil
	c.order = slices.DeleteFunc(c.order, func(id uint32) bool {
		p := c.packets[id]
		if now.Sub(p.last) < idle {
			return false
		}
		delete(c.packets, id)
		out = append(out, p)
		return true
	})
	return out
}

func tableName(t nft.Table) string {
	family := map[uint8]string{unix.NFPROTO_INET: "inet", unix.NFPROTO_IPV4: "ip", unix.NFPROTO_IPV6: "ip6", unix.NFPROTO_BRIDGE: "bridge", unix.NFPROTO_NETDEV: "netdev"}[t.Family]
	return family + " " + t.Name
}

func verdict(t *nft.Trace) string {
	if t.Kind == nft.TracePolicy {
		if t.Policy == nft.PolicyDrop {
			return "drop by policy"
		}
		return "accept by policy"
	}
	word, ok := map[int32]string{0: "drop", 1: "accept", 2: "stolen", 3: "queue", -1: "continue", -2: "continue", -3: "jump", -4: "goto", -5: "return"}[t.Verdict]
	if !ok {
		word = fmt.Sprintf("verdict %d", t.Verdict)
	}
	return strings.TrimSpace(word + " " + t.Target)
}

// readEnds reads the beginnings of the headers.
func readEnds(network, transport []byte) (Ends, bool) {
	const len4, len6, at4, at6 = 20, 40, 12, 8
	var from, to netip.Addr
	var proto byte
	switch {
	case len(network) >= len4 && network[0]>>4 == 4:
		from, to = netip.AddrFrom4([4]byte(network[at4:])), netip.AddrFrom4([4]byte(network[at4+4:]))
		proto = network[9]
	case len(network) >= len6 && network[0]>>4 == 6:
		from, to = netip.AddrFrom16([16]byte(network[at6:])), netip.AddrFrom16([16]byte(network[at6+16:]))
		proto = network[6]
	default:
		return Ends{}, false
	}
	var ports [2]uint16
	name, hasPorts := map[byte]string{unix.IPPROTO_TCP: "tcp", unix.IPPROTO_UDP: "udp", unix.IPPROTO_SCTP: "sctp"}[proto]
	if !hasPorts {
		name = fmt.Sprintf("protocol %d", proto)
	} else if len(transport) >= 4 {
		ports = [2]uint16{binary.BigEndian.Uint16(transport), binary.BigEndian.Uint16(transport[2:])}
	}
	return Ends{Proto: name, From: netip.AddrPortFrom(from, ports[0]), To: netip.AddrPortFrom(to, ports[1])}, true
}

// Text returns a line for each step. name returns what an address belongs to, "" if that
// is not known.
func (p *Packet) Text(number int, name func(netip.AddrPort) string) string {
	var b strings.Builder
	end := func(a netip.AddrPort) string {
		if n := name(a); n != "" {
			return fmt.Sprintf("%s (%s)", a, n)
		}
		return a.String()
	}
	fmt.Fprintf(&b, "packet %d\n", number)
	for i := range p.Steps {
		s := &p.Steps[i]
		if s.Ends != nil {
			fmt.Fprintf(&b, "  %s %s -> %s\n", s.Ends.Proto, end(s.Ends.From), end(s.Ends.To))
		}
		fmt.Fprintf(&b, "    %-14s %-18s %s", s.Table, s.Chain, s.Verdict)
		if s.Rule != "" {
			fmt.Fprintf(&b, "  # %s", s.Rule)
		}
		b.WriteByte('\n')
	}
	return b.String()
}
