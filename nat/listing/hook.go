// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package listing

import (
	"fmt"

	"github.com/google/nftables"

	"fairlead/nat/ruleset"
)

// hookText returns the line of a base chain, as nft prints it for family inet.
func hookText(h *ruleset.Hook) string {
	number, ok := map[nftables.ChainHook]string{
		*nftables.ChainHookPrerouting: "prerouting", *nftables.ChainHookInput: "input", *nftables.ChainHookForward: "forward",
		*nftables.ChainHookOutput: "output", *nftables.ChainHookPostrouting: "postrouting",
	}[h.Number]
	if !ok {
		number = fmt.Sprint(uint32(h.Number))
	}
	policy := "accept"
	if h.Drops {
		policy = "drop"
	}
	return fmt.Sprintf("type %s hook %s priority %s; policy %s;", h.Type, number, priorityText(h), policy)
}

// priorityText returns the priority by its name. nft names a priority at most 10 away
// from one that has a name at this hook.
func priorityText(h *ruleset.Hook) string {
	names := map[nftables.ChainPriority]string{
		*nftables.ChainPriorityRaw: "raw", *nftables.ChainPriorityMangle: "mangle",
		*nftables.ChainPriorityFilter: "filter", *nftables.ChainPrioritySecurity: "security",
	}
	switch h.Number {
	case *nftables.ChainHookPrerouting:
		names[*nftables.ChainPriorityNATDest] = "dstnat"
	case *nftables.ChainHookPostrouting:
		names[*nftables.ChainPriorityNATSource] = "srcnat"
	}
	for off := range nftables.ChainPriority(11) {
		if name, ok := names[h.Priority-off]; ok && off > 0 {
			return fmt.Sprintf("%s + %d", name, off)
		} else if ok {
			return name
		}
		if name, ok := names[h.Priority+off]; ok {
			return fmt.Sprintf("%s - %d", name, off)
		}
	}
	return fmt.Sprint(int32(h.Priority))
}
