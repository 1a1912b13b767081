// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead/proxier/objects"
	"fairlead/proxier/proxiertest"
)

// TestNodeReport: parts of a node are reported one beside the other, and beside
// what is wrong with its object.
func TestNodeReport(t *testing.T) {
	store := NewStore()
	store.Update(func(tx *Tx) {
		tx.SetProblems(objects.KindNode, "node-a", []objects.Problem{{Kind: objects.KindNode, Name: "node-a", Field: "spec.podCIDRs", Text: "bad"}})
	})
	store.Book().NodeReport("node-a", "firewall", []string{"drops", "more"})
	store.Book().NodeReport("node-a", "sysctl", []string{"off"})
	store.Book().NodeReport("node-a", "sysctl", []string{"still off"})
	check := func(want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, proxiertest.ProblemTexts(store.Book().Problems())); diff != "" {
			t.Errorf("problems (-want +got):\n%s", diff)
		}
	}
	check("Node node-a: firewall: drops", "Node node-a: firewall: more", "Node node-a: spec.podCIDRs: bad", "Node node-a: sysctl: still off")
	store.Book().NodeReport("node-a", "firewall", nil)
	store.Book().NodeReport("node-a", "sysctl", nil)
	check("Node node-a: spec.podCIDRs: bad")
}
