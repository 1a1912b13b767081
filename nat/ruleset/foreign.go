// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package ruleset

import (
	"maps"
	"slices"

	"github.com/google/nftables/expr"

	"fairlead/internal/inet"
	"fairlead/internal/nft"
	"fairlead/nat"
)

// Own recognises rules of other programs while the objects of the API server are
// unknown. Objects, other flags and other versions make other rules than the settings
// give, and Own takes these for ours.
type Own struct {
	chains map[string]*Chain          // of the program, as the settings give them
	rules  map[string]map[string]bool // chain -> its rules, described
}

// NewOwn returns an Own. The settings may lack everything that objects say.
func NewOwn(s *nat.Settings) *Own {
	own := &Own{chains: map[string]*Chain{}, rules: map[string]map[string]bool{}}
	loopback := *s
	loopback.Loopback = true // as the addresses of the node may ask for
	for _, set := range []*nat.Settings{&loopback, s} {
		for _, c := range Program(set, true, nil) {
			if own.rules[c.Name] == nil {
				own.rules[c.Name] = map[string]bool{}
			}
			for i := range c.Rules {
				own.rules[c.Name][c.Rules[i].describe()] = true
			}
			own.chains[c.Name] = &c
		}
	}
	for _, f := range inet.Families() {
		delete(own.chains, allowedChain(f)) // a part of the frontends that it guards
	}
	maps.DeleteFunc(own.chains, func(_ string, c *Chain) bool { return len(c.Rules) == 0 })
	return own
}

// Split divides the rules that were found in a chain into those of other programs and
// all others, which may be ours. It takes no rule out of a chain that is neither a base
// chain nor part of the program.
//
// A rule may be ours if the settings give it, if it masquerades, or if it names a set or a
// chain of ours. Where each new connection passes, rules that drop packets are ours only if
// the settings give them.
func (o *Own) Split(c *Chain) (foreign, rest Chain) {
	foreign, rest = Chain{Name: c.Name, Hook: c.Hook}, Chain{Name: c.Name, Hook: c.Hook}
	judge := c.Hook != nil || o.chains[c.Name] != nil
	strict := c.Hook != nil || c.Name == chainServices
	for i := range c.Rules {
		r := &c.Rules[i]
		part := &rest
		if judge && !o.rules[c.Name][r.describe()] && (!r.mayBeOurs() || strict && r.blocks()) {
			part = &foreign
		}
		part.Rules = append(part.Rules, *r)
	}
	return foreign, rest
}

// mayBeOurs reports whether a rule masquerades, as versions did before there was a chain
// for that, or uses a set or a chain of ours. Only rules of ours that also use a set go to
// the chain that rejects packets.
func (r *rule) mayBeOurs() bool {
	ours := slices.ContainsFunc(r.Exprs, func(e expr.Any) bool {
		switch e.(type) {
		case *expr.Masq, *nft.MasqueradePorts:
			return true
		}
		return false
	})
	r.uses(func(set string) {
		_, ok := SetNamed(set)
		ours = ours || ok
	}, func(chain string) {
		ours = ours || chain != chainReject && IsChainName(chain)
	})
	return ours
}

// blocks reports whether a rule drops or rejects packets, or does something with them that
// rules of ours never do.
func (r *rule) blocks() bool {
	for _, e := range r.Exprs {
		switch e := e.(type) {
		case *expr.Verdict:
			if e.Kind == expr.VerdictDrop || e.Chain == chainReject {
				return true
			}
		case *expr.Reject, *nft.Foreign:
			return true
		}
	}
	return false
}

// describe identifies the expressions of a rule.
func (r *rule) describe() string {
	var b description
	for _, e := range r.Exprs {
		b = b.expression(e)
	}
	return string(b)
}
