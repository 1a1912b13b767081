// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package ruleset

import (
	"fmt"

	"golang.org/x/sys/unix"

	"fairlead/internal/inet"
)

// invalidRules drop packets that a pod or another backend sends on a connection that
// connection tracking has lost, see Settings.KeepInvalid. Invalid packets have
// no connection, so the rules can recognise them by their source only.
func invalidRules() []rule {
	var rules []rule
	for _, f := range inet.Families() {
		for _, k := range []Kind{Cluster, Outside} {
			set := Set{Kind: k, Family: f}
			rules = append(rules, newRule(
				fmt.Sprintf("%s saddr @%s drop", ipWord(f), set),
				onlyFamily(f), saddr(f, reg1), inSet(set), drop()))
		}
	}
	return rules
}

// gotoInvalid sends invalid TCP packets to the chain of invalidRules, so that all other
// packets cost one rule.
func gotoInvalid() rule {
	return newRule("ct state invalid meta l4proto tcp goto "+chainInvalidSource,
		ctState(stateInvalid), protocol(unix.IPPROTO_TCP), gotoChain(chainInvalidSource))
}
