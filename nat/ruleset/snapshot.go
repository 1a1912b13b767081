// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package ruleset

import (
	"fmt"
	"net/netip"

	"github.com/google/nftables/expr"

	"fairlead/internal/nft"
)

// Snapshot lists the objects that the kernel holds in the table, including those
// that other programs put there. The zero value is a table that does not exist.
type Snapshot struct {
	Exists bool
	Flags  uint32 // NFT_TABLE_F_...

	// Sets are the sets and maps of the layout that exist. The value is false for a
	// set whose declaration differs; its elements are not read.
	Sets map[Set]bool
	// Chains are all chains with their hooks and rules. Rules have no text.
	Chains map[string]*Chain
	// Elements are the elements that a Batch could have written. They exclude those of
	// affinity maps, which packets write, and those of the sets in Ranges.
	Elements Elements
	// Unread is the number of elements of sets whose elements were not read, because they follow
	// from those of other sets; see Set.FollowsBackends. Only kernel.Table.LoadMost leaves any out.
	Unread map[Set]int
	// Ranges is the content of the sets that settings fill, sorted.
	Ranges map[Set][]netip.Prefix

	StraySets    []string // sets that are not in the layout
	StrayObjects []Object // the layout has none
	Strays       []Stray  // other elements in sets of the layout
}

// Object is a stateful object, such as a counter, or a flowtable.
type Object struct {
	Name string
	Type uint32 // NFT_OBJECT_..., or 0 for a flowtable
}

// String returns, for example, "object mine".
func (o Object) String() string {
	if o.Type == 0 {
		return "flowtable " + o.Name
	}
	return "object " + o.Name
}

// Flags of a table (enum nft_table_flags).
const (
	TableDormant = 1 // chains are not attached to their hooks
	TableOwned   = 2 // only the netlink socket that made the table may change it (5.12)
	TablePersist = 4 // the table outlives its owner (6.9)
)

// Stray is an element in a set of the layout that no Batch writes.
type Stray struct {
	Set         Set
	Key, KeyEnd string  // as the kernel has them
	Flags       uint32  // NFT_SET_ELEM_...
	Element     Element // as far as it can be read; the zero value if it cannot
	// Verdict is that of an element of a verdict map which neither drops nor goes to a
	// chain, as those of fairlead do; else nil.
	Verdict *expr.Verdict
	Odd     nft.Odd // what else it has
}

// VerdictText returns a verdict as nft prints it, or "" for one that nftables does not have.
func VerdictText(v *expr.Verdict) string {
	const numbers = 16 // of queues begin at this bit (NF_VERDICT_QSHIFT)
	switch v.Kind {
	case expr.VerdictGoto:
		return "goto " + v.Chain
	case expr.VerdictJump:
		return "jump " + v.Chain
	case expr.VerdictReturn:
		return "return"
	case expr.VerdictContinue:
		return "continue"
	case expr.VerdictBreak:
		return "break"
	case expr.VerdictAccept:
		return "accept"
	case expr.VerdictDrop:
		return "drop"
	}
	if v.Kind > 0 && v.Kind&0xff == expr.VerdictQueue {
		return fmt.Sprintf("queue to %d", v.Kind>>numbers)
	}
	return ""
}

// String returns the element as nft prints it, or its key in hexadecimal, and what it has
// that an element of fairlead does not have.
func (s *Stray) String() string {
	text := s.text()
	if s.Odd != 0 {
		text += " with " + s.Odd.String()
	}
	return text
}

func (s *Stray) text() string {
	switch {
	case s.Element != (Element{}) && s.Verdict != nil:
		return s.Element.text(VerdictText(s.Verdict))
	case s.Element != (Element{}):
		return s.Element.String()
	case s.KeyEnd != "":
		return fmt.Sprintf("0x%x-0x%x", s.Key, s.KeyEnd)
	case s.Set.Spec().IsInterval():
		if a, ok := netip.AddrFromSlice([]byte(s.Key)); ok {
			return "range from " + a.String()
		}
	case s.Key == "":
		return "*" // matches all keys that no other element has
	}
	return fmt.Sprintf("0x%x", s.Key)
}
