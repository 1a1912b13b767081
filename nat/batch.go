// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nat

import (
	"fmt"
	"net/netip"
	"strings"

	"fairlead/internal/inet"
)

// Batch is a list of operations that the kernel carries out together or not at
// all, in the order of the fields.
//
// The exception is declare: sets are declared in a transaction of their own,
// before the others. No packet meets a set that no rule refers to.
type Batch struct {
	declare  bool // make the table and its sets
	recreate bool // delete the table first: it is laid out differently

	chains []chain             // made, or emptied, and filled
	fills  []fill              // sets of settings: emptied and filled
	dels   []element           // before adds: replacing an element is both
	adds   []element           //
	drops  []string            // chains that nothing refers to any more
	after  []change            // what have is when the batch is acknowledged
	forget []Pair              //
	rules  int                 // in chains
	named  map[string]struct{} // names of chains
}

// fill replaces the content of a set of ranges.
type fill struct {
	set    setID
	ranges []netip.Prefix
}

// change is what a batch makes of one frontend.
type change struct {
	key  inet.Addr
	now  *frontend // nil: gone
	done bool      // the frontend is then as wanted
}

// Pair is a frontend and one of its backends.
type Pair struct {
	Frontend inet.Addr
	Backend  netip.AddrPort
}

// Len returns the number of operations.
func (b *Batch) Len() int {
	n := len(b.chains) + len(b.fills) + len(b.dels) + len(b.adds) + len(b.drops)
	if b.declare {
		n++
	}
	return n
}

// Counts returns the number of operations by verb, for metrics.
func (b *Batch) Counts() (adds, deletes int) {
	return len(b.chains) + len(b.fills) + len(b.adds), len(b.dels) + len(b.drops)
}

// Keys returns the frontends that the batch changes.
func (b *Batch) Keys() []inet.Addr {
	keys := make([]inet.Addr, len(b.after))
	for i, c := range b.after {
		keys[i] = c.key
	}
	return keys
}

// Forget returns what clients of sticky frontends must no longer be remembered
// with once the batch is committed. A Pair without backend stands for all
// backends of a frontend that is not sticky any more. See Forgetter.
func (b *Batch) Forget() []Pair { return b.forget }

// String returns the operations in nft's language, one a line.
func (b *Batch) String() string {
	var w strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&w, format+"\n", args...) }
	if b.recreate {
		line("delete table inet %s", TableName)
	}
	if b.declare {
		line("add table inet %s", TableName)
	}
	for _, c := range b.chains {
		line("add chain inet %s %s # %d rules", TableName, c.name, len(c.rules))
	}
	for _, f := range b.fills {
		line("flush set inet %s %s", TableName, f.set)
		if len(f.ranges) > 0 {
			line("add element inet %s %s { %s }", TableName, f.set, joinPrefixes(f.ranges))
		}
	}
	for i := range b.dels {
		line("delete element inet %s %s { %s }", TableName, b.dels[i].set, &b.dels[i])
	}
	for i := range b.adds {
		line("add element inet %s %s { %s }", TableName, b.adds[i].set, &b.adds[i])
	}
	for _, name := range b.drops {
		line("delete chain inet %s %s", TableName, name)
	}
	return w.String()
}

func joinPrefixes(ps []netip.Prefix) string {
	parts := make([]string, len(ps))
	for i, p := range ps {
		parts[i] = prefixText(p)
	}
	return strings.Join(parts, ", ")
}

// size measures the batch in elements; a rule is some three of them long.
func (b *Batch) size() int { return len(b.dels) + len(b.adds) + 3*b.rules }

// put adds chains that are not in the batch yet.
func (b *Batch) put(chains ...chain) {
	if b.named == nil {
		b.named = map[string]struct{}{}
	}
	for _, c := range chains {
		if _, ok := b.named[c.name]; !ok {
			b.named[c.name] = struct{}{}
			b.chains = append(b.chains, c)
			b.rules += len(c.rules)
		}
	}
}
