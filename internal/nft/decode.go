// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nft

import (
	"golang.org/x/sys/unix"

	"fairlead/internal/nl"
)

// Kind returns the type of a message, NFT_MSG_...
func Kind(r nl.Reply) uint16 { return r.Kind & 0xff }

// TableOf returns the table that a message is about. The name is empty for a
// message about a generation.
func TableOf(r nl.Reply) Table {
	if len(r.Body) < genmsgLen || Kind(r) == unix.NFT_MSG_NEWGEN {
		return Table{}
	}
	return Table{Family: r.Body[0], Name: nl.String(nl.Attr(body(r), unix.NFTA_TABLE_NAME))}
}

// SetOf returns the set that a message about elements is about.
func SetOf(r nl.Reply) string { return nl.String(nl.Attr(body(r), unix.NFTA_SET_ELEM_LIST_SET)) }

// ReadTable returns the flags of a table (NFT_TABLE_F_...) and the netlink port of
// the program that owns it, 0 for none.
func ReadTable(r nl.Reply) (flags, owner uint32) {
	b := body(r)
	return nl.BE32(nl.Attr(b, unix.NFTA_TABLE_FLAGS)), nl.BE32(nl.Attr(b, tableOwner))
}

// ReadGeneration returns the number of the last transaction of any table.
func ReadGeneration(r nl.Reply) uint32 { return nl.BE32(nl.Attr(body(r), unix.NFTA_GEN_ID)) }

// ReadWriter returns which program made the transaction that a notification about a
// generation announces: the name of the thread, and its process in the initial PID
// namespace.
func ReadWriter(r nl.Reply) (name string, pid uint32) {
	return nl.String(nl.Attr(body(r), unix.NFTA_GEN_PROC_NAME)), nl.BE32(nl.Attr(body(r), unix.NFTA_GEN_PROC_PID))
}

// ReadSet returns the declaration of a set. Two declarations are equal if the
// kernel treats their sets in the same way and nft lists them alike; see SameAs.
func ReadSet(r nl.Reply) Set {
	var s Set
	for kind, v := range nl.Attrs(body(r)) {
		switch kind {
		case unix.NFTA_SET_NAME:
			s.Name = nl.String(v)
		case unix.NFTA_SET_FLAGS:
			s.Flags = nl.BE32(v)
		case unix.NFTA_SET_KEY_TYPE:
			s.KeyType = nl.BE32(v)
		case unix.NFTA_SET_KEY_LEN:
			s.KeyLen = nl.BE32(v)
		case unix.NFTA_SET_DATA_TYPE:
			s.DataType = nl.BE32(v)
		case unix.NFTA_SET_DATA_LEN:
			s.DataLen = nl.BE32(v)
		case unix.NFTA_SET_DESC:
			s.readDesc(v)
		case unix.NFTA_SET_USERDATA:
			s.UserData = string(v)
		case unix.NFTA_SET_TIMEOUT:
			s.Timeout = nl.BE64(v)
		case unix.NFTA_SET_GC_INTERVAL:
			s.GCInterval = nl.BE32(v)
		case unix.NFTA_SET_POLICY:
			s.Policy = nl.BE32(v)
		case unix.NFTA_SET_OBJ_TYPE:
			s.ObjectType = nl.BE32(v)
		case setExpr, setExprs:
			s.ElementExprs = true
		}
	}
	if s.DataType == unix.NFT_DATA_VERDICT {
		s.DataLen = 0 // the kernel reports the size of its own structure
	}
	return s
}

// ReadCount returns how many elements a set has, apart from the one for all other keys
// (NFT_SET_ELEM_CATCHALL). It reports false if the kernel does not say.
func ReadCount(r nl.Reply) (n uint32, ok bool) {
	v := nl.Attr(body(r), setCount)
	return nl.BE32(v), len(v) == 4
}

func (s *Set) readDesc(b []byte) {
	for kind, v := range nl.Attrs(b) {
		switch kind {
		case unix.NFTA_SET_DESC_SIZE:
			s.Size = nl.BE32(v)
		case setDescConcat:
			for _, field := range nl.Attrs(v) {
				s.Fields += string([]byte{byte(nl.BE32(nl.Attr(field, setFieldLen)))})
			}
		}
	}
}

// ReadChain returns the name of a chain and its hook, or nil if it has none.
func ReadChain(r nl.Reply) (name string, hook *Hook) {
	b := body(r)
	name = nl.String(nl.Attr(b, unix.NFTA_CHAIN_NAME))
	at := nl.Attr(b, unix.NFTA_CHAIN_HOOK)
	if at == nil {
		return name, nil
	}
	return name, &Hook{
		Type:     nl.String(nl.Attr(b, unix.NFTA_CHAIN_TYPE)),
		Number:   nl.BE32(nl.Attr(at, unix.NFTA_HOOK_HOOKNUM)),
		Priority: int32(nl.BE32(nl.Attr(at, unix.NFTA_HOOK_PRIORITY))),
		Policy:   nl.BE32(nl.Attr(b, unix.NFTA_CHAIN_POLICY)),
	}
}

// ReadObject returns the name and type of a stateful object, or of a flowtable, which has
// type 0.
func ReadObject(r nl.Reply) (name string, kind uint32) {
	b := body(r)
	if Kind(r) == unix.NFT_MSG_NEWFLOWTABLE {
		return nl.String(nl.Attr(b, flowtableName)), 0
	}
	return nl.String(nl.Attr(b, unix.NFTA_OBJ_NAME)), nl.BE32(nl.Attr(b, unix.NFTA_OBJ_TYPE))
}

// ReadRule returns the chain of a rule and its expressions, for ReadExprs.
func ReadRule(r nl.Reply) (chain string, exprs []byte) {
	b := body(r)
	return nl.String(nl.Attr(b, unix.NFTA_RULE_CHAIN)), nl.Attr(b, unix.NFTA_RULE_EXPRESSIONS)
}

// ReadHandle returns the handle of a rule.
func ReadHandle(r nl.Reply) uint64 { return nl.BE64(nl.Attr(body(r), unix.NFTA_RULE_HANDLE)) }

// ReadUserdata returns what user space attached to a rule, such as its comment.
func ReadUserdata(r nl.Reply) []byte { return nl.Attr(body(r), unix.NFTA_RULE_USERDATA) }
