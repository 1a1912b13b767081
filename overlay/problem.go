// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"cmp"
	"fmt"
	"slices"
)

// Problem prevents a part of the overlay from working. It affects no other part.
type Problem struct {
	Node  string // the node with the problem; "" is the whole cluster
	Field string // of Node or Config, or the object in the kernel
	Text  string
}

// String returns the problem in one line.
func (p Problem) String() string {
	if p.Node == "" {
		return p.Field + ": " + p.Text
	}
	return "node " + p.Node + ": " + p.Field + ": " + p.Text
}

// Names of fields in a Problem.
const (
	fieldPodCIDRs = "podCIDRs"
	fieldUnderlay = "underlay"
	fieldMAC      = "VTEP MAC"
	fieldMTU      = "MTU"
	fieldCluster  = "clusterCIDRs"
)

type problems []Problem

func (ps *problems) add(node, field, format string, args ...any) {
	*ps = append(*ps, Problem{Node: node, Field: field, Text: fmt.Sprintf(format, args...)})
}

// sorted makes the order independent of that of the nodes.
func (ps problems) sorted() []Problem {
	slices.SortFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Field, b.Field), cmp.Compare(a.Text, b.Text))
	})
	return slices.Compact(ps)
}
