// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nat

import (
	"crypto/sha256"
	"fmt"
	"hash"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// fingerprint identifies a chain's hook and rules, whether they are ours or
// were read from the kernel. It compares what the kernel executes and not the
// text, so that a rule that somebody replaced is found.
func (c *chain) fingerprint() string {
	h := sha256.New()
	if c.base != nil {
		hookInto(h, c.base.typ, &c.base.hook, &c.base.priority)
	}
	for _, r := range c.rules {
		ruleInto(h, r.exprs)
	}
	return string(h.Sum(nil)[:16])
}

func hookInto(h hash.Hash, typ nftables.ChainType, hook *nftables.ChainHook, prio *nftables.ChainPriority) {
	fmt.Fprintf(h, "hook %s %d %d\n", typ, *hook, *prio)
}

func ruleInto(h hash.Hash, exprs []expr.Any) {
	fmt.Fprintln(h, "rule")
	for _, e := range exprs {
		fmt.Fprintln(h, describe(e))
	}
}

// describe writes an expression in a way that does not depend on whether it was
// built here or read from the kernel.
func describe(e expr.Any) string {
	switch e := e.(type) {
	case *expr.Lookup:
		c := *e
		c.SetID = 0 // the kernel forgets it
		return fmt.Sprintf("lookup %+v", c)
	case *expr.Dynset:
		return fmt.Sprintf("dynset %s %d %d %d %s", e.SetName, e.Operation, e.SrcRegKey, e.SrcRegData, e.Timeout)
	case *expr.NAT:
		c := *e // the kernel reports a single address as a range of one,
		c.RegAddrMax, c.RegProtoMax = max(c.RegAddrMax, c.RegAddrMin), max(c.RegProtoMax, c.RegProtoMin)
		c.Specified = c.RegProtoMin != 0 // and says so in a flag, too
		return fmt.Sprintf("nat %+v", c)
	case *original:
		return fmt.Sprintf("ct original %d %d", e.Key, e.Register)
	}
	return fmt.Sprintf("%T %+v", e, e)
}
