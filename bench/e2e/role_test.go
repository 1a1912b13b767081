// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"

	"fairlead/bench/controlplane"
)

// checkRole compares what deploy/ grants with what the agents asked for in the
// scenes before.
func checkRole(t *testing.T, c *cluster, rules []rbacv1.PolicyRule) {
	t.Helper()
	audit, err := c.plane.Audit(agentUser)
	if err != nil {
		t.Fatal(err)
	}
	for use, n := range audit.Forbidden {
		// An API server that has just started refuses what it will allow once it
		// has read the roles.
		if audit.Allowed[use] == 0 {
			t.Errorf("%s was refused %d times: deploy/ lacks it", use, n)
		}
	}
	granted := map[controlplane.Use]bool{}
	for _, use := range grants(t, rules) {
		granted[use] = true
		if audit.Allowed[use] == 0 {
			t.Errorf("%s is granted by deploy/ and never used", use)
		}
	}
	for use := range audit.Allowed {
		if !granted[use] {
			t.Errorf("%s was allowed by something else than deploy/", use)
		}
	}
	for agent := range audit.Agents {
		if !strings.HasPrefix(agent, "fairlead/") {
			t.Errorf("user agent %q does not say who asks", agent)
		}
	}
	for _, use := range slices.SortedFunc(maps.Keys(audit.Allowed), func(a, b controlplane.Use) int { return strings.Compare(a.String(), b.String()) }) {
		t.Logf("%-40s %d times", use, audit.Allowed[use])
	}
}

// grants spells out rules, which must not be wider than they look.
func grants(t *testing.T, rules []rbacv1.PolicyRule) (out []controlplane.Use) {
	t.Helper()
	for _, r := range rules {
		if all := fmt.Sprint(r.APIGroups, r.Resources, r.Verbs); strings.Contains(all, "*") || len(r.ResourceNames)+len(r.NonResourceURLs) > 0 {
			t.Errorf("rule %+v cannot be compared", r)
		}
		for _, group := range r.APIGroups {
			for _, resource := range r.Resources {
				for _, verb := range r.Verbs {
					out = append(out, controlplane.Use{Verb: verb, Group: group, Resource: resource})
				}
			}
		}
	}
	return out
}
