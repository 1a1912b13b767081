// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package ruleset

import (
	"fmt"
	"net/netip"
	"strings"

	"fairlead/internal/inet"
)

// Element is one element of any set or map. Which fields count is decided by
// the set's row in layout.
type Element struct {
	Set     Set
	Counter bool         // counts connections; in maps of backends only
	Key     inet.Addr    // cVIP, cProto, cPort; a NodePort has an unspecified IP
	Slot    uint32       // cSlot
	Client  netip.Prefix // cClient; also the only component of address sets
	Data    netip.AddrPort
	Verdict string // "drop", or the chain to go to
	Comment string
}

// String returns the element as nft prints it between braces.
func (e *Element) String() string {
	verdict := "goto " + e.Verdict
	if e.Verdict == VerdictDrop {
		verdict = e.Verdict
	}
	return e.text(verdict)
}

// text is String with the verdict of an element of a verdict map.
func (e *Element) text(verdict string) string {
	row := e.Set.Spec()
	parts := make([]string, len(row.Key))
	for i, c := range row.Key {
		parts[i] = e.keyPart(c)
	}
	var b strings.Builder
	b.WriteString(strings.Join(parts, " . "))
	if e.Counter {
		b.WriteString(" counter packets 0 bytes 0")
	}
	if e.Comment != "" {
		fmt.Fprintf(&b, " comment %q", e.Comment)
	}
	switch {
	case row.Verdict:
		b.WriteString(" : " + verdict)
	case len(row.Data) == 1:
		fmt.Fprintf(&b, " : %s", e.Data.Addr())
	case row.Data != nil:
		fmt.Fprintf(&b, " : %s . %d", e.Data.Addr(), e.Data.Port())
	}
	return b.String()
}

func (e *Element) keyPart(c Part) string {
	switch c {
	case PartVIP:
		if e.Set.Spec().Ranges && len(e.Set.Spec().Key) == 1 {
			return prefixText(e.Client)
		}
		return e.Key.IP.String()
	case PartProto:
		return e.Key.Proto.String()
	case PartPort:
		return fmt.Sprint(e.Key.Port)
	case PartSlot:
		return fmt.Sprint(e.Slot)
	case PartClient, PartBackend:
		if e.Set.Kind == Sources {
			return e.Client.Addr().String()
		}
		return prefixText(e.Client)
	}
	return ""
}

// prefixText leaves out the length of a single address, as nft does.
func prefixText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// VerdictDrop is the verdict of a map element that is no chain.
const VerdictDrop = "drop"

// IsMember reports whether the element belongs to no frontend, or to several.
func (e *Element) IsMember() bool {
	switch e.Set.Kind {
	case Hairpin, ClusterIPs, Outside, Nodes, Gateways, HostPorts, HostIPPorts:
		return true
	}
	return false
}
