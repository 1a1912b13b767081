// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
	"golang.org/x/sys/unix"

	"fairlead/internal/nstest"
	"fairlead/nat/kernel"
	"fairlead/nat/ruleset"
)

// TestCheckFeatures: this kernel has every feature, and lacks those that no kernel has.
// The check leaves no table and no generation.
func TestCheckFeatures(t *testing.T) {
	ns := nstest.New(t)
	missing, err := kernel.CheckFeatures(t.Context(), ns, ruleset.Features())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range missing {
		t.Errorf("%s is missing: %v", m.Name, m.Err)
	}
	features := ruleset.Features()
	absent := features[len(features)-1]
	broken := *absent.Set
	broken.KeyLen = 200 // no kernel has keys of that length
	absent.Name, absent.Set = "absent set", &broken
	rule := features[0]
	rule.Name, rule.Exprs = "absent expression", []expr.Any{&expr.Match{Name: "absent", Info: &xt.Unknown{}}}
	ct := features[0]
	ct.Name, ct.Exprs = "absent key", []expr.Any{&expr.Ct{Key: 250, Register: unix.NFT_REG_1}}
	missing, err = kernel.CheckFeatures(t.Context(), ns, []ruleset.Feature{absent, features[0], ct, rule})
	var names []string
	for _, m := range missing {
		names = append(names, m.Name)
		if m.Err == nil || m.Name == rule.Name && !errors.Is(m.Err, unix.ENOENT) {
			t.Errorf("%s: %v", m.Name, m.Err)
		}
	}
	if got := strings.Join(names, ", "); err != nil || got != "absent set, absent key, absent expression" {
		t.Errorf("missing are %s, %v", got, err)
	}
	out, err := nstest.Command(t, ns, "nft", "list", "ruleset").CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("the check leaves %s, %v", out, err)
	}
}
