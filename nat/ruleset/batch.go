// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package ruleset

import (
	"fmt"
	"net/netip"
	"strings"
)

// DefaultLimit is the number of element operations in a batch. An element takes
// at most about 250 bytes; the batch must fit in a socket's default send buffer
// of 208 KiB, because the kernel takes one batch in one message.
const DefaultLimit = 700

// Batch is a list of operations that the kernel carries out together or not at
// all, in the order of the fields.
//
// The exception is declare: sets are declared in a transaction of their own,
// before the others. No packet meets a set that no rule refers to.
type Batch struct {
	Declare  bool // make the table and its sets
	Recreate bool // delete the table first: it is laid out differently

	Chains []Chain             // made, or emptied, and filled
	Fills  []Fill              // sets of settings: emptied and filled
	Dels   []Element           // before adds: replacing an element is both
	Adds   []Element           //
	Drops  []string            // chains that nothing refers to any more
	Rules  int                 // in chains
	named  map[string]struct{} // names of chains
}

// Fill replaces the content of a set of ranges.
type Fill struct {
	Set    Set
	Ranges []netip.Prefix
}

// Len returns the number of operations.
func (b *Batch) Len() int {
	n := len(b.Chains) + len(b.Fills) + len(b.Dels) + len(b.Adds) + len(b.Drops)
	if b.Declare {
		n++
	}
	return n
}

// Counts returns the number of operations by verb, for metrics.
func (b *Batch) Counts() (adds, deletes int) {
	return len(b.Chains) + len(b.Fills) + len(b.Adds), len(b.Dels) + len(b.Drops)
}

// String returns the operations in nft's language, one a line.
func (b *Batch) String() string {
	var w strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&w, format+"\n", args...) }
	if b.Recreate {
		line("delete table inet %s", TableName)
	}
	if b.Declare {
		line("add table inet %s", TableName)
	}
	for _, c := range b.Chains {
		line("add chain inet %s %s # %d rules", TableName, c.Name, len(c.Rules))
	}
	for _, f := range b.Fills {
		line("flush set inet %s %s", TableName, f.Set)
		if len(f.Ranges) > 0 {
			line("add element inet %s %s { %s }", TableName, f.Set, joinPrefixes(f.Ranges))
		}
	}
	for i := range b.Dels {
		line("delete element inet %s %s { %s }", TableName, b.Dels[i].Set, &b.Dels[i])
	}
	for i := range b.Adds {
		line("add element inet %s %s { %s }", TableName, b.Adds[i].Set, &b.Adds[i])
	}
	for _, name := range b.Drops {
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

// Size measures the batch in elements; a rule is some three of them long.
func (b *Batch) Size() int { return len(b.Dels) + len(b.Adds) + 3*b.Rules }

// Put adds chains that are not in the batch yet.
func (b *Batch) Put(chains ...Chain) {
	if b.named == nil {
		b.named = map[string]struct{}{}
	}
	for _, c := range chains {
		if _, ok := b.named[c.Name]; !ok {
			b.named[c.Name] = struct{}{}
			b.Chains = append(b.Chains, c)
			b.Rules += len(c.Rules)
		}
	}
}
