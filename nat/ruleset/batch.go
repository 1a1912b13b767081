// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package ruleset

import (
	"fmt"
	"strings"
)

// DefaultLimit is the cost of a batch: about the number of its elements. An
// element with a message of its own takes at most about 300 bytes, and a batch
// must fit into a socket's default send buffer of 208 KiB, because the kernel
// takes a transaction in one write.
const DefaultLimit = 600

// Verb says what an operation does to an object of the table.
type Verb uint8

// The operations. AddTable makes the table and its other flags 0, so it also wakes a
// dormant one. AddChain makes a chain, or replaces the rules and the policy of an
// existing one.
const (
	AddTable Verb = iota
	AdoptTable
	DeleteTable
	AddSet
	DeleteSet
	FlushSet
	AddChain
	FlushChain
	DeleteChain
	// AcceptChain sets the policy of a base chain to accept and leaves its rules in place.
	AcceptChain
	// DeleteRules deletes the rules of Chain, which were found in the kernel, and no others.
	DeleteRules
	AddElement
	DeleteElement
	DeleteObject
	// CarryClients copies the entries of affinity map Element.Set into Set, which may be
	// the map that replaces it in the same batch: those of frontend Element.Key, or all if
	// that is zero. They are read when the batch is committed.
	CarryClients
)

// Op is one operation. Which fields count depends on the verb.
type Op struct {
	Verb    Verb
	Set     Set     // AddSet, FlushSet, CarryClients
	Flags   uint32  // AdoptTable: NFT_TABLE_F_...; DeleteObject: see Object.Type
	Name    string  // DeleteSet, FlushChain, DeleteChain, AcceptChain, DeleteObject
	Chain   *Chain  // AddChain, DeleteRules
	Element Element // AddElement, DeleteElement; CarryClients: the map that has the entries, and whose
	Stray   *Stray  // DeleteElement, instead of Element
}

// Batch is a list of operations. The kernel carries them out in order, all or none.
type Batch []Op

// Counts returns the number of operations by their effect, for metrics.
func (b Batch) Counts() (adds, deletes int) {
	for i := range b {
		switch b[i].Verb {
		case DeleteTable, DeleteSet, FlushSet, FlushChain, DeleteChain, DeleteRules, DeleteElement, DeleteObject:
			deletes++
		default:
			adds++
		}
	}
	return adds, deletes
}

// String returns the operations in nft's language, one a line.
func (b Batch) String() string {
	var w strings.Builder
	for i := range b {
		w.WriteString(b[i].String())
		w.WriteByte('\n')
	}
	return w.String()
}

// Cost measures an operation in elements; a rule is some three of them long.
func (o *Op) Cost() int {
	switch o.Verb {
	case AddChain:
		return 1 + 3*len(o.Chain.Rules)
	case AddElement, DeleteElement, AddTable, AddSet:
		return 1
	}
	return 0
}

// String returns the operation in nft's language.
func (o *Op) String() string {
	switch o.Verb {
	case AddTable, AdoptTable:
		return "add table inet " + TableName
	case DeleteTable:
		return "delete table inet " + TableName
	case AddSet:
		word := "set"
		if o.Set.Spec().IsMap() {
			word = "map"
		}
		return fmt.Sprintf("add %s inet %s %s", word, TableName, o.Set)
	case DeleteSet:
		return fmt.Sprintf("delete set inet %s %s", TableName, o.Name)
	case FlushSet:
		return fmt.Sprintf("flush set inet %s %s", TableName, o.Set)
	case AddChain:
		return fmt.Sprintf("add chain inet %s %s # %d rules", TableName, o.Chain.Name, len(o.Chain.Rules))
	case FlushChain:
		return fmt.Sprintf("flush chain inet %s %s", TableName, o.Name)
	case DeleteChain:
		return fmt.Sprintf("delete chain inet %s %s", TableName, o.Name)
	case AcceptChain:
		return fmt.Sprintf("add chain inet %s %s { policy accept; }", TableName, o.Name)
	case DeleteRules:
		return fmt.Sprintf("delete rule inet %s %s # %d rules", TableName, o.Chain.Name, len(o.Chain.Rules))
	case CarryClients:
		return fmt.Sprintf("add element inet %s %s { entries of %s }", TableName, o.Set, o.Element.Set)
	case DeleteObject:
		return fmt.Sprintf("delete %s inet %s", Object{o.Name, o.Flags}, TableName)
	case AddElement:
		return fmt.Sprintf("add element inet %s %s { %s }", TableName, o.Element.Set, &o.Element)
	}
	if o.Stray != nil {
		return fmt.Sprintf("delete element inet %s %s { %s }", TableName, o.Stray.Set, o.Stray)
	}
	return fmt.Sprintf("delete element inet %s %s { %s }", TableName, o.Element.Set, &o.Element)
}

// Whole is the index of a refusal that names no operation.
const Whole = -1

// Refusal is one operation that the kernel refused.
type Refusal struct {
	Index int // in the batch, or Whole
	Err   error
}

// RefusedError means that the kernel carried out nothing of a batch, and which
// operations it refused, in order. It has at least one.
type RefusedError struct {
	Refusals []Refusal
	// First is the first refused operation in nft's language, empty for Whole.
	First string
}

func (e *RefusedError) Error() string {
	text := e.Refusals[0].Err.Error()
	if e.First != "" {
		text = e.First + ": " + text
	}
	if n := len(e.Refusals) - 1; n > 0 {
		text += fmt.Sprintf(" (and %d more)", n)
	}
	return "the kernel refused: " + text
}

// Unwrap returns the reason of the first refusal.
func (e *RefusedError) Unwrap() error { return e.Refusals[0].Err }
