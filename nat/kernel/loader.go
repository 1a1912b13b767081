// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"github.com/google/nftables/expr"

	"fairlead/internal/nft"
	"fairlead/internal/nl"
	"fairlead/nat/ruleset"
)

// loader reads one Snapshot.
type loader struct {
	socket *nl.Socket
	found  *ruleset.Snapshot
	counts map[ruleset.Set]uint32 // elements of each set, where the kernel says it
	few    uint32                 // see Table
}

func (l *loader) addElement(s ruleset.Set, el *nft.Element) {
	e, ok := decode(s, el)
	if ok && !s.Spec().Learnt { // those of packets have a timeout, which decode does not expect
		l.found.Elements.Add(&e)
		return
	}
	stray := ruleset.Stray{Set: s, Key: string(el.Key), KeyEnd: string(el.KeyEnd), Flags: el.Flags, Element: e, Odd: el.Odd}
	if el.HasVerdict && el.Verdict != nft.VerdictDrop && el.Verdict != nft.VerdictGoto {
		stray.Verdict = &expr.Verdict{Kind: expr.VerdictKind(el.Verdict), Chain: el.Chain}
	}
	l.found.Strays = append(l.found.Strays, stray)
}
