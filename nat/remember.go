// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nat

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"fairlead/internal/inet"
)

// remember names a chain that notes which backend a client got, for that long.
// Frontends with one timeout share one.
type remember struct {
	fam     inet.Family
	node    bool
	timeout time.Duration // whole seconds
}

// String returns, for example, "remember4-10800s" or "node-remember6-60s".
func (r remember) String() string {
	name := fmt.Sprintf("remember%c-%ds", r.fam.Digit(), r.timeout/time.Second)
	if r.node {
		name = "node-" + name
	}
	return name
}

func parseRemember(name string) (remember, bool) {
	rest, node := strings.CutPrefix(name, "node-")
	rest, ok := strings.CutPrefix(rest, "remember")
	if !ok || len(rest) < 4 {
		return remember{}, false
	}
	n, err := strconv.Atoi(strings.TrimSuffix(rest[2:], "s"))
	r := remember{fam: inet.FamilyOfDigit(rest[0]), node: node, timeout: time.Duration(n) * time.Second}
	return r, err == nil && r.String() == name
}

// sticks reports whether the kernel has frontends whose clients it remembers.
func (r *Ruleset) sticks() bool {
	for verdict := range r.verdicts {
		if _, ok := parseRemember(verdict); ok {
			return true
		}
	}
	return false
}

// sticks reports the same of what is wanted, or still there.
func (s *State) sticks() bool { return s.sticky > 0 || s.have.sticks() }

// countSticky adds n to the number of sticky frontends, if f is one.
func (s *State) countSticky(f *Frontend, n int) {
	if f.Affinity == 0 {
		return
	}
	s.program = s.program || s.sticky == 0 // the first needs chains
	s.sticky += n
}

// putRemember makes the frontend's new connections remembered, or not.
func (s *State) putRemember(p *planner, timeout time.Duration) {
	var to string
	if timeout > 0 {
		to = remember{inet.FamilyOf(p.key.IP), p.key.IsNodePort(), timeout}.String()
	}
	if p.now.remember == to {
		return
	}
	if p.now.remember != "" {
		p.b.dels = append(p.b.dels, p.rememberElement())
	}
	p.now.remember = to
	if to == "" {
		return
	}
	if s.have.verdicts[to] == 0 {
		s.putChains(p.b, to)
	}
	p.b.adds = append(p.b.adds, p.rememberElement())
}

func (p *planner) rememberElement() element {
	return element{set: stickyOf(p.key), key: p.key, verdict: p.now.remember, comment: p.now.owner}
}
