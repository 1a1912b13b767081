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
	slices.SortFunc(ps, Problem.compare)
	return slices.Compact(ps)
}

func (p Problem) compare(o Problem) int {
	return cmp.Or(cmp.Compare(p.Node, o.Node), cmp.Compare(p.Field, o.Field), cmp.Compare(p.Text, o.Text))
}

// drop removes the problems of a node from a sorted list.
func (ps *problems) drop(node string) {
	first, _ := slices.BinarySearchFunc(*ps, node, func(p Problem, node string) int { return cmp.Compare(p.Node, node) })
	end := first
	for end < len(*ps) && (*ps)[end].Node == node {
		end++
	}
	if *ps = slices.Delete(*ps, first, end); len(*ps) == 0 {
		*ps = nil
	}
}

// settle moves the problems from an index on to their places in the list before it, which
// is sorted.
func (ps *problems) settle(from int) {
	if from == len(*ps) {
		return
	}
	fresh := slices.Clone((*ps)[from:])
	*ps = (*ps)[:from]
	for _, q := range fresh {
		if i, found := slices.BinarySearchFunc(*ps, q, Problem.compare); !found {
			*ps = slices.Insert(*ps, i, q)
		}
	}
}
