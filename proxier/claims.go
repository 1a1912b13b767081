// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"fairlead/internal/inet"
)

// claims decides who owns a contested address. Several Services may claim one
// by external IPs, load balancer addresses or hand-made node ports; who wins
// does not depend on the order in which they came.
type claims struct {
	byKey     map[inet.Addr][]contender // sorted, the owner first
	byService map[types.NamespacedName][]inet.Addr
	contested map[inet.Addr]struct{}
	backends  int  // of all owners
	news      bool // problems may have changed
}

// contender is a claim and what decides its rank.
type contender struct {
	claim
	service types.NamespacedName
	created time.Time
}

func newClaims() *claims {
	return &claims{
		byKey:     map[inet.Addr][]contender{},
		byService: map[types.NamespacedName][]inet.Addr{},
		contested: map[inet.Addr]struct{}{},
	}
}

// compare puts the owner first: an allocated ClusterIP before other uses, then
// the older Service, then the one whose name sorts first.
func (a *contender) compare(b *contender) int {
	first := func(c *contender) int {
		if c.use == useClusterIP {
			return 0
		}
		return 1
	}
	return cmp.Or(cmp.Compare(first(a), first(b)), a.created.Compare(b.created), compareNames(a.service, b.service))
}

// set replaces the claims of a Service and returns the addresses whose owner,
// or what the owner wants, may have changed.
func (c *claims) set(svc types.NamespacedName, created time.Time, list []claim) []inet.Addr {
	affected := c.byService[svc]
	for _, key := range affected {
		c.change(key, func(all []contender) []contender {
			return slices.DeleteFunc(all, func(o contender) bool { return o.service == svc })
		})
	}
	var keys []inet.Addr
	for _, cl := range list {
		c.change(cl.key, func(all []contender) []contender {
			all = append(all, contender{cl, svc, created})
			slices.SortFunc(all, func(a, b contender) int { return a.compare(&b) })
			return all
		})
		keys = append(keys, cl.key)
	}
	if len(keys) == 0 {
		delete(c.byService, svc)
	} else {
		c.byService[svc] = keys
	}
	affected = append(slices.Clip(affected), keys...)
	slices.SortFunc(affected, inet.Addr.Compare)
	return slices.Compact(affected)
}

// change replaces the contenders for one address by what f makes of them.
func (c *claims) change(key inet.Addr, f func([]contender) []contender) {
	all := c.byKey[key]
	was := len(all) > 1
	c.backends -= backendsOf(all)
	all = f(all)
	c.backends += backendsOf(all)
	if len(all) == 0 {
		delete(c.byKey, key)
	} else {
		c.byKey[key] = all
	}
	if len(all) > 1 {
		c.contested[key] = struct{}{}
	} else {
		delete(c.contested, key)
	}
	c.news = c.news || was || len(all) > 1
}

// backendsOf counts the backends that are served: those of the owner.
func backendsOf(all []contender) int {
	if len(all) == 0 {
		return 0
	}
	return len(all[0].frontend.Backends)
}

// owner returns the claim that is served at key.
func (c *claims) owner(key inet.Addr) (claim, bool) {
	all := c.byKey[key]
	if len(all) == 0 {
		return claim{}, false
	}
	return all[0].claim, true
}

// problems reports the losers of contested addresses.
func (c *claims) problems() []Problem {
	var out []Problem
	for key := range c.contested {
		all := c.byKey[key]
		for _, loser := range all[1:] {
			out = append(out, Problem{
				Kind: kindService, Name: loser.service.String(), Field: loser.field,
				Text: fmt.Sprintf("%s belongs to Service %s, %s", describeAddr(key), all[0].service, why(&all[0], &loser)),
			})
		}
	}
	return out
}

// why says by which rule a comes before b.
func why(a, b *contender) string {
	switch {
	case a.use == useClusterIP && b.use != useClusterIP:
		return "whose ClusterIP it is"
	case a.created.Before(b.created):
		return "which is older"
	}
	return "which is as old and comes first by name"
}

// describeAddr names an address in a sentence.
func describeAddr(a inet.Addr) string {
	if a.IsNodePort() {
		return fmt.Sprintf("node port %d/%s", a.Port, a.Proto)
	}
	return a.String()
}
