// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nft

import (
	"fmt"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"fairlead/internal/nl"
)

// Attributes and flags that x/sys lacks.
const (
	SetConcat = 0x80 // NFT_SET_CONCAT (5.6)

	tableOwner    = 7 // NFTA_TABLE_OWNER (5.12)
	setDescConcat = 2 // NFTA_SET_DESC_CONCAT (5.6)
	setFieldLen   = 1 // NFTA_SET_FIELD_LEN
	setElemKeyEnd = 10
	setElemExprs  = 11
	setExpr       = 17
	setExprs      = 18
	setCount      = 20 // NFTA_SET_COUNT (seen with 6.18)
)

// Add makes the table, or gives an existing one these flags (NFT_TABLE_F_...).
func (t Table) Add(m *nl.Messages, flags uint32) {
	t.in(m, unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE)
	m.BE32(unix.NFTA_TABLE_FLAGS, flags)
}

// Delete deletes the table with everything in it.
func (t Table) Delete(m *nl.Messages) { t.in(m, unix.NFT_MSG_DELTABLE, 0) }

// Get asks for the table itself, or for objects in it: kind is NFT_MSG_GET...
func (t Table) Get(m *nl.Messages, kind uint16) { t.in(m, kind, 0) }

// GetSet asks for the declaration of a set.
func (t Table) GetSet(m *nl.Messages, set string) {
	t.in(m, unix.NFT_MSG_GETSET, 0)
	m.String(unix.NFTA_SET_NAME, set)
}

// GetElements asks for the elements of a set.
func (t Table) GetElements(m *nl.Messages, set string) {
	t.in(m, unix.NFT_MSG_GETSETELEM, 0)
	m.String(unix.NFTA_SET_ELEM_LIST_SET, set)
}

// Set is the declaration of a set or map. Lengths are in bytes.
type Set struct {
	Name            string
	Flags           uint32 // NFT_SET_...
	KeyType, KeyLen uint32
	DataType        uint32 // 0 for a set, NFT_DATA_VERDICT for a verdict map
	DataLen         uint32 // 0 for a verdict map
	Size            uint32 // 0 for no limit, and for DynamicSize if packets fill it
	Fields          string // lengths of the parts of a concatenated range, one byte each
	UserData        string // what nft keeps there for its listing
	Timeout         uint64 // default for new elements, in milliseconds
	GCInterval      uint32 // in milliseconds
	Policy          uint32 // NFT_SET_POL_...
	ObjectType      uint32 // of a map to objects
	ElementExprs    bool   // new elements get expressions, such as counters
}

// SameAs reports whether the kernel treats two sets in the same way. User data is not
// compared: the kernel never reads it, and each version of nft writes other bytes there
// when it loads a listing.
func (s Set) SameAs(other Set) bool {
	s.UserData, other.UserData = "", ""
	s.Size, other.Size = s.bound(), other.bound()
	return s == other
}

// DynamicSize is how many elements the kernel lets packets add to a set that was declared
// without a size (nft_dynset_init).
const DynamicSize = 65535

// bound is how many elements the set can have, 0 for no limit. The kernel writes DynamicSize into
// a set when it gets the first rule that adds to it.
func (s *Set) bound() uint32 {
	if s.Size == 0 && s.Flags&unix.NFT_SET_EVAL != 0 {
		return DynamicSize
	}
	return s.Size
}

// AddSet declares a set. id must be unique within the transaction.
func (t Table) AddSet(m *nl.Messages, s *Set, id uint32) {
	t.in(m, unix.NFT_MSG_NEWSET, unix.NLM_F_CREATE)
	m.String(unix.NFTA_SET_NAME, s.Name)
	m.BE32(unix.NFTA_SET_FLAGS, s.Flags)
	m.BE32(unix.NFTA_SET_KEY_TYPE, s.KeyType)
	m.BE32(unix.NFTA_SET_KEY_LEN, s.KeyLen)
	if s.DataType != 0 {
		m.BE32(unix.NFTA_SET_DATA_TYPE, s.DataType)
		m.BE32(unix.NFTA_SET_DATA_LEN, s.DataLen)
	}
	m.BE32(unix.NFTA_SET_ID, id)
	if s.Size != 0 || s.Fields != "" {
		m.Nest(unix.NFTA_SET_DESC, func() { s.describe(m) })
	}
	m.Attr(unix.NFTA_SET_USERDATA, []byte(s.UserData)...)
}

func (s *Set) describe(m *nl.Messages) {
	if s.Size != 0 {
		m.BE32(unix.NFTA_SET_DESC_SIZE, s.Size)
	}
	if s.Fields == "" {
		return
	}
	m.Nest(setDescConcat, func() {
		for _, n := range []byte(s.Fields) {
			m.Nest(unix.NFTA_LIST_ELEM, func() { m.BE32(setFieldLen, uint32(n)) })
		}
	})
}

// DeleteSet deletes a set with its elements. No rule may refer to it.
func (t Table) DeleteSet(m *nl.Messages, name string) {
	t.in(m, unix.NFT_MSG_DELSET, 0)
	m.String(unix.NFTA_SET_NAME, name)
}

// FlushSet deletes all elements of a set.
func (t Table) FlushSet(m *nl.Messages, name string) {
	t.in(m, unix.NFT_MSG_DELSETELEM, 0)
	m.String(unix.NFTA_SET_ELEM_LIST_SET, name)
}

// Hook says where a base chain is attached.
type Hook struct {
	Type     string // "filter", "nat" or "route"
	Number   uint32 // NF_INET_...
	Priority int32
	Policy   uint32 // for packets that no rule decides about
}

// Policies of a chain: NF_DROP and NF_ACCEPT.
const (
	PolicyDrop   = 0
	PolicyAccept = 1
)

// AddChain makes a chain, or sets the policy of an existing one.
func (t Table) AddChain(m *nl.Messages, name string, hook *Hook) {
	t.in(m, unix.NFT_MSG_NEWCHAIN, unix.NLM_F_CREATE)
	m.String(unix.NFTA_CHAIN_NAME, name)
	if hook == nil {
		return
	}
	m.Nest(unix.NFTA_CHAIN_HOOK, func() {
		m.BE32(unix.NFTA_HOOK_HOOKNUM, hook.Number)
		m.BE32(unix.NFTA_HOOK_PRIORITY, uint32(hook.Priority))
	})
	m.BE32(unix.NFTA_CHAIN_POLICY, hook.Policy)
	m.String(unix.NFTA_CHAIN_TYPE, hook.Type)
}

// SetPolicy sets the policy of a base chain that exists, at whatever hook it is.
func (t Table) SetPolicy(m *nl.Messages, chain string, policy uint32) {
	t.in(m, unix.NFT_MSG_NEWCHAIN, 0)
	m.String(unix.NFTA_CHAIN_NAME, chain)
	m.BE32(unix.NFTA_CHAIN_POLICY, policy)
}

// DeleteRule deletes the rule with a handle.
func (t Table) DeleteRule(m *nl.Messages, chain string, handle uint64) {
	t.in(m, unix.NFT_MSG_DELRULE, 0)
	m.String(unix.NFTA_RULE_CHAIN, chain)
	m.BE64(unix.NFTA_RULE_HANDLE, handle)
}

// FlushChain deletes all rules of a chain.
func (t Table) FlushChain(m *nl.Messages, name string) {
	t.in(m, unix.NFT_MSG_DELRULE, 0)
	m.String(unix.NFTA_RULE_CHAIN, name)
}

// DeleteChain deletes a chain with its rules. No rule or element may refer to it.
func (t Table) DeleteChain(m *nl.Messages, name string) {
	t.in(m, unix.NFT_MSG_DELCHAIN, 0)
	m.String(unix.NFTA_CHAIN_NAME, name)
}

// DeleteObject deletes a stateful object of a type, NFT_OBJECT_..., or with type 0 a
// flowtable. Nothing may refer to it.
func (t Table) DeleteObject(m *nl.Messages, name string, kind uint32) {
	if kind == 0 {
		t.in(m, unix.NFT_MSG_DELFLOWTABLE, 0)
		m.String(flowtableName, name)
		return
	}
	t.in(m, unix.NFT_MSG_DELOBJ, 0)
	m.String(unix.NFTA_OBJ_NAME, name)
	m.BE32(unix.NFTA_OBJ_TYPE, kind)
}

// flowtableName is NFTA_FLOWTABLE_NAME, which x/sys lacks.
const flowtableName = 2

// AddRule appends a rule to a chain. An error means that an expression cannot be
// encoded; the message is then incomplete.
func (t Table) AddRule(m *nl.Messages, chain string, exprs []expr.Any) error {
	t.in(m, unix.NFT_MSG_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_APPEND)
	m.String(unix.NFTA_RULE_CHAIN, chain)
	var failed error
	m.Nest(unix.NFTA_RULE_EXPRESSIONS, func() {
		for _, e := range exprs {
			b, err := marshal(t.Family, e)
			if err != nil && failed == nil {
				failed = fmt.Errorf("encode expression %T: %w", e, err)
			}
			m.Attr(unix.NFTA_LIST_ELEM|unix.NLA_F_NESTED, b...)
		}
	})
	return failed
}
