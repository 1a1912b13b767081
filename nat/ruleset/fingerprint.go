// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package ruleset

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/google/nftables/expr"

	"fairlead/internal/nft"
)

// Fingerprint identifies a chain's hook, policy and rules, whether they are ours or
// were read from the kernel. It compares what the kernel executes and not the
// text, so it finds a rule that another program replaced.
func (c *Chain) Fingerprint() string {
	var b description
	if c.Hook != nil {
		b = fmt.Appendf(b, "hook %s %d %d drops %v\n", c.Hook.Type, c.Hook.Number, c.Hook.Priority, c.Hook.Drops)
	}
	for _, r := range c.Rules {
		b = append(b, "rule"...)
		for _, e := range r.Exprs {
			b = b.expression(e)
		}
	}
	sum := sha256.Sum256(b)
	return string(sum[:16])
}

// description is what two chains have in common that the kernel executes alike.
type description []byte

// expression adds an expression in a way that does not depend on whether it was built here or
// read from the kernel. Those of which there are many in a table have a form of their own: a load
// of the table describes some hundred, and so does each repair of a rule.
func (b description) expression(e expr.Any) description {
	switch e := e.(type) {
	case *expr.Cmp:
		return b.numbers("cmp", uint32(e.Op), e.Register).bytes(e.Data)
	case *expr.Meta:
		return b.numbers("meta", uint32(e.Key), flag(e.SourceRegister), e.Register)
	case *expr.Immediate:
		return b.numbers("immediate", e.Register).bytes(e.Data)
	case *expr.Verdict:
		return b.numbers("verdict", uint32(int32(e.Kind))).bytes([]byte(e.Chain))
	case *expr.Payload:
		return b.numbers("payload", uint32(e.OperationType), e.DestRegister, e.SourceRegister, uint32(e.Base), e.Offset, e.Len, uint32(e.CsumType), e.CsumOffset, e.CsumFlags)
	case *expr.Bitwise:
		return b.numbers("bitwise", e.SourceRegister, e.DestRegister, e.Len).bytes(e.Mask).bytes(e.Xor)
	case *expr.Ct:
		return b.numbers("ct", e.Register, flag(e.SourceRegister), uint32(e.Key), e.Direction)
	case *expr.Numgen:
		return b.numbers("numgen", e.Register, e.Modulus, e.Type, e.Offset)
	case *expr.Lookup: // without SetID, which the kernel does not report
		return b.numbers("lookup", e.SourceRegister, e.DestRegister, flag(e.IsDestRegSet), flag(e.Invert)).bytes([]byte(e.SetName))
	}
	return b.rest(e)
}

// rest is expression for those of which there are few.
func (b description) rest(e expr.Any) description {
	switch e := e.(type) {
	case *expr.Dynset:
		return fmt.Appendf(b, "dynset %s %d %d %d %s %v %d\n", e.SetName, e.Operation, e.SrcRegKey, e.SrcRegData, e.Timeout, e.Invert, len(e.Exprs))
	case *expr.NAT:
		c := *e // The kernel reports a single address as a range of one
		c.RegAddrMax, c.RegProtoMax = max(c.RegAddrMax, c.RegAddrMin), max(c.RegProtoMax, c.RegProtoMin)
		c.Specified = c.RegProtoMin != 0 // and sets this flag, too.
		return fmt.Appendf(b, "nat %+v\n", c)
	case *expr.Counter:
		return append(b, "counter\n"...) // whatever it has counted
	case *nft.MasqueradePorts:
		return fmt.Appendf(b, "masquerade ports %v %d %d\n", e.FullyRandom, e.RegProtoMin, e.RegProtoMax)
	case *nft.CtOriginal:
		return fmt.Appendf(b, "ct original %d %d\n", e.Key, e.Register)
	}
	return fmt.Appendf(b, "%T %+v\n", e, e)
}

// numbers adds the name of an expression and fields of it.
func (b description) numbers(name string, fields ...uint32) description {
	b = append(b, name...)
	for _, n := range fields {
		b = binary.BigEndian.AppendUint32(b, n)
	}
	return b
}

// bytes adds a field of any length.
func (b description) bytes(field []byte) description {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(field))), field...)
}

func flag(set bool) uint32 {
	if set {
		return 1
	}
	return 0
}
