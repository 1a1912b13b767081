// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package ruleset

import (
	"fmt"
	"testing"

	"fairlead/nat/nattest"
)

// TestFeatures: no rule uses an expression that is not a feature. lookup and dynset need
// a set, which is one.
func TestFeatures(t *testing.T) {
	known := map[string]bool{"*expr.Lookup": true, "*expr.Dynset": true}
	for _, f := range Features() {
		if f.Module == "" || f.Option == "" || f.Since == "" || f.Use == "" {
			t.Errorf("feature %+v is incomplete", f)
		}
		for _, e := range f.Exprs {
			known[fmt.Sprintf("%T", e)] = true
		}
	}
	for _, port := range []uint16{0, 8472} {
		set := nattest.Settings()
		set.Tunnels.Port = port
		for _, c := range allChains(&set) {
			for _, r := range c.Rules {
				for _, e := range r.Exprs {
					if !known[fmt.Sprintf("%T", e)] {
						t.Errorf("chain %s: %q uses %T, which is no feature", c.Name, r.Text, e)
					}
				}
			}
		}
	}
}
