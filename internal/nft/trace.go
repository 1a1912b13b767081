// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nft

import (
	"golang.org/x/sys/unix"

	"fairlead/internal/nl"
)

// TableOwned is NFT_TABLE_F_OWNER (5.12): the kernel deletes the table when the socket
// that made it is closed, also when its process is killed.
const TableOwned = 2

// Kinds of trace events, NFT_TRACETYPE_...
const (
	TracePolicy = 1 // the policy of a base chain decided
	TraceReturn = 2 // a chain ended without a verdict
	TraceRule   = 3 // a rule matched
)

// Attributes of a trace message, NFTA_TRACE_... (4.6).
const (
	traceTable     = 1
	traceChain     = 2
	traceHandle    = 3
	traceType      = 4
	traceVerdict   = 5
	traceID        = 6
	traceNetwork   = 8
	traceTransport = 9
	traceIIF       = 10
	traceOIF       = 12
	traceMark      = 14
	tracePolicy    = 16
)

// Trace is one step of one packet: a rule that matched, the end of a chain, or a policy.
// The kernel describes the packet in the first step of each base chain only.
type Trace struct {
	Table   Table
	Chain   string
	Handle  uint64 // of the rule
	Kind    uint32 // TraceRule, ...
	Verdict int32  // NF_DROP, NF_ACCEPT, NFT_GOTO, ...
	Target  string // of a jump or goto
	Policy  uint32 // with TracePolicy: NF_DROP or NF_ACCEPT
	// ID tells packets apart that are under way at the same time. The kernel uses it
	// again for later packets.
	ID                 uint32
	Network, Transport []byte // headers, the first bytes of each; nil if not repeated
	In, Out            uint32 // indexes of devices, 0 for none
	Mark               uint32
}

// IsTrace reports whether a message is a step of a packet.
func IsTrace(r nl.Reply) bool { return Kind(r) == unix.NFT_MSG_TRACE }

// ReadTrace reads a step. The slices are copies.
func ReadTrace(r nl.Reply) Trace {
	var t Trace
	if len(r.Body) < genmsgLen {
		return t
	}
	t.Table.Family = r.Body[0]
	for kind, v := range nl.Attrs(body(r)) {
		switch kind {
		case traceTable:
			t.Table.Name = nl.String(v)
		case traceChain:
			t.Chain = nl.String(v)
		case traceHandle:
			t.Handle = nl.BE64(v)
		case traceType:
			t.Kind = nl.BE32(v)
		case traceVerdict:
			t.Verdict = int32(nl.BE32(nl.Attr(v, unix.NFTA_VERDICT_CODE)))
			t.Target = nl.String(nl.Attr(v, unix.NFTA_VERDICT_CHAIN))
		case traceID:
			t.ID = nl.BE32(v)
		case traceNetwork:
			t.Network = append([]byte(nil), v...)
		case traceTransport:
			t.Transport = append([]byte(nil), v...)
		case traceIIF:
			t.In = nl.BE32(v)
		case traceOIF:
			t.Out = nl.BE32(v)
		case traceMark:
			t.Mark = nl.BE32(v)
		case tracePolicy:
			t.Policy = nl.BE32(v)
		}
	}
	return t
}
