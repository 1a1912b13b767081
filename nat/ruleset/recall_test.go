// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package ruleset

import (
	"testing"

	"fairlead/internal/inet"
)

// TestRecallNames: chains that recall a client are ours by their names, and others are not.
func TestRecallNames(t *testing.T) {
	ours := map[string]bool{}
	for _, c := range recallChains() {
		ours[c.Name] = true
	}
	own := recallChain(Set{Kind: NodeLocalAffinity, Family: inet.IPv6, Number: MaxShares})
	ours[own.Name] = true
	if len(ours) != 9 || !ours["recall4"] || !ours["node-local-recall6-64"] {
		t.Errorf("%d names: %v", len(ours), ours)
	}
	for name := range ours {
		if !IsChainName(name) {
			t.Errorf("%s is not taken for ours", name)
		}
	}
	for _, name := range []string{"recall", "recall5", "affinity4", "recall4-0", "recall4-65", "recall4-07", "backends4", "sticky-recall4", "recall4recall", "affinity4-recall"} {
		if IsChainName(name) {
			t.Errorf("%s is taken for ours", name)
		}
	}
}
