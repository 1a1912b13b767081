// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package ruleset

import (
	"fmt"
	"strings"

	"fairlead/internal/inet"
)

// recallChain returns the chain that sends a client to the backend that an affinity map has for it,
// and returns for any other client.
//
// For each new rule that reads a map the kernel goes through all elements of the map, in the
// transaction (nf_tables_bind_set), and nothing else is written meanwhile. Clients fill the common
// maps with up to 65,535 elements. So all sizes and timeouts share one rule for each map.
func recallChain(affinity Set) Chain {
	f := affinity.Family
	load, client := dialled(f, affinity.IsNode())
	return Chain{Name: recallName(affinity), Rules: []rule{newRule(
		fmt.Sprintf("dnat %s to %s . %s saddr map @%s", ipWord(f), dialledText(f, affinity.IsNode()), ipWord(f), affinity),
		onlyFamily(f), load, saddr(f, client), dnatTo(affinity))}}
}

// recallChains returns the chains of the maps that all Services use. They exist while there is any
// sticky Service, whatever its kind, so that none is made when the maps are full.
func recallChains() []Chain {
	var chains []Chain
	for _, f := range inet.Families() {
		for _, node := range []bool{false, true} {
			for _, local := range []bool{false, true} {
				chains = append(chains, recallChain(affinitySet(f, node, local, 0)))
			}
		}
	}
	return chains
}

// recallName returns, for example, "recall4" for affinity4 and "node-local-recall6-7" for
// node-local-affinity6-7.
func recallName(affinity Set) string {
	return strings.Replace(affinity.String(), "affinity", "recall", 1)
}

// isRecall reports whether recallName returns name for some map.
func isRecall(name string) bool {
	if strings.Contains(name, "affinity") {
		return false
	}
	set, ok := SetNamed(strings.Replace(name, "recall", "affinity", 1))
	return ok && set.Spec().Learnt && recallName(set) == name
}
