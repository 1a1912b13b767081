// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nat

import (
	"fmt"
	"net/netip"
	"strings"

	"fairlead/internal/inet"
)

// element is one element of any set or map. Which fields count is decided by
// the set's row in layout.
type element struct {
	set     setID
	counter bool         // counts connections; in maps of backends only
	key     inet.Addr    // cVIP, cProto, cPort; a NodePort has an unspecified IP
	slot    uint32       // cSlot
	client  netip.Prefix // cClient; also the only component of address sets
	data    netip.AddrPort
	verdict string // "drop", or the chain to go to
	comment string
}

// maxComment is the longest comment that nft reads (NFTNL_UDATA_COMMENT_MAXLEN).
const maxComment = 128

// comment shortens s, at the end, to what nft accepts.
func comment(s string) string {
	if len(s) <= maxComment {
		return s
	}
	return s[:maxComment-3] + "..."
}

// String returns the element as nft prints it between braces.
func (e *element) String() string {
	row := e.set.row()
	parts := make([]string, len(row.key))
	for i, c := range row.key {
		parts[i] = e.keyPart(c)
	}
	var b strings.Builder
	b.WriteString(strings.Join(parts, " . "))
	if e.counter {
		b.WriteString(" counter packets 0 bytes 0")
	}
	if e.comment != "" {
		fmt.Fprintf(&b, " comment %q", e.comment)
	}
	switch {
	case row.verdict && e.verdict == verdictDrop:
		b.WriteString(" : drop")
	case row.verdict:
		b.WriteString(" : goto " + e.verdict)
	case row.data != nil:
		fmt.Fprintf(&b, " : %s . %d", e.data.Addr(), e.data.Port())
	}
	return b.String()
}

func (e *element) keyPart(c component) string {
	switch c {
	case cVIP:
		if e.set.row().ranges && len(e.set.row().key) == 1 {
			return prefixText(e.client)
		}
		return e.key.IP.String()
	case cProto:
		return e.key.Proto.String()
	case cPort:
		return fmt.Sprint(e.key.Port)
	case cSlot:
		return fmt.Sprint(e.slot)
	case cClient, cBackend:
		return prefixText(e.client)
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

// verdictDrop is the verdict of a map element that is no chain.
const verdictDrop = "drop"
