// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead/proxier/objects"
	"fairlead/proxier/proxiertest"
)

// TestNodeReport: parts of a node are reported one beside the other, and beside
// what is wrong with its object.
func TestNodeReport(t *testing.T) {
	book := NewBook()
	book.Set(BySource, objects.Key{Kind: objects.KindNode, Name: "node-a"},
		[]objects.Problem{{Kind: objects.KindNode, Name: "node-a", Field: "spec.podCIDRs", Text: "bad"}})
	book.NodeReport("node-a", "firewall", []string{"drops", "more"})
	book.NodeReport("node-a", "sysctl", []string{"off"})
	book.NodeReport("node-a", "sysctl", []string{"still off"})
	check := func(want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, proxiertest.ProblemTexts(book.Problems())); diff != "" {
			t.Errorf("problems (-want +got):\n%s", diff)
		}
	}
	check("Node node-a: firewall: drops", "Node node-a: firewall: more", "Node node-a: spec.podCIDRs: bad", "Node node-a: sysctl: still off")
	book.NodeReport("node-a", "firewall", nil)
	book.NodeReport("node-a", "sysctl", nil)
	check("Node node-a: spec.podCIDRs: bad")
}
