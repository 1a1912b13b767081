// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"fairlead/internal/l4"
)

// claims decides who owns a contested address. Several Services may claim one
// by external IPs, load balancer addresses or hand-made node ports; who wins
// does not depend on the order in which they came.
type claims struct {
	byKey     map[l4.Addr][]contender // sorted, the owner first
	byService map[types.NamespacedName][]l4.Addr
	contested map[l4.Addr]struct{}
}

// contender is a claim and what decides its rank.
type contender struct {
	claim
	service types.NamespacedName
	created time.Time
}

func newClaims() *claims {
	return &claims{
		byKey:     map[l4.Addr][]contender{},
		byService: map[types.NamespacedName][]l4.Addr{},
		contested: map[l4.Addr]struct{}{},
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
func (c *claims) set(svc types.NamespacedName, created time.Time, list []claim) []l4.Addr {
	affected := c.byService[svc]
	for _, key := range affected {
		c.update(key, slices.DeleteFunc(c.byKey[key], func(o contender) bool { return o.service == svc }))
	}
	var keys []l4.Addr
	for _, cl := range list {
		all := append(c.byKey[cl.key], contender{cl, svc, created})
		slices.SortFunc(all, func(a, b contender) int { return a.compare(&b) })
		c.update(cl.key, all)
		keys = append(keys, cl.key)
	}
	if len(keys) == 0 {
		delete(c.byService, svc)
	} else {
		c.byService[svc] = keys
	}
	affected = append(slices.Clip(affected), keys...)
	slices.SortFunc(affected, l4.Addr.Compare)
	return slices.Compact(affected)
}

func (c *claims) update(key l4.Addr, all []contender) {
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
}

// owner returns the claim that is served at key.
func (c *claims) owner(key l4.Addr) (claim, bool) {
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
				Text: fmt.Sprintf("%s belongs to Service %s, which is older or allocated it", describeAddr(key), all[0].service),
			})
		}
	}
	return out
}

// describeAddr names an address in a sentence.
func describeAddr(a l4.Addr) string {
	if a.IsNodePort() {
		return fmt.Sprintf("node port %d/%s", a.Port, a.Proto)
	}
	return a.String()
}
