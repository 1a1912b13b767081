// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"fairlead/internal/inet"
	"fairlead/proxier/objects"
)

// claims is the contest for frontends. Several Services may ask for one address
// by external IPs, load balancer addresses or hand-made node ports.
type claims struct{ *contest[inet.Addr, claim] }

func newClaims() claims {
	return claims{newContest[inet.Addr](func(c claim) int { return len(c.frontend.Backends) })}
}

// set replaces the claims of a Service, nil for one that is gone, and returns
// the addresses whose owner, or what the owner wants, may have changed, sorted.
func (c claims) set(key types.NamespacedName, svc *objects.Service, list []claim) []inet.Addr {
	who := subject{NamespacedName: key}
	wishes := make([]wish[inet.Addr, claim], len(list))
	for i := range list {
		who.UID = svc.UID
		wishes[i] = wish[inet.Addr, claim]{rank{class: list[i].use.class(), since: svc.Created}, list[i].key, list[i]}
	}
	affected := c.contest.set(who, wishes)
	slices.SortFunc(affected, inet.Addr.Compare)
	return slices.Compact(affected)
}

// class puts an allocated ClusterIP before all other uses of an address.
func (u use) class() uint8 {
	if u == useClusterIP {
		return 0
	}
	return 1
}

// problems reports the addresses that a Service asks for and does not get.
func (c claims) problems(svc types.NamespacedName) []objects.Problem {
	var out []objects.Problem
	c.lost(svc, func(mine, owner *contender[inet.Addr, claim]) {
		reason := why(owner.rank, mine.rank)
		if owner.value.use == useClusterIP && mine.value.use != useClusterIP {
			reason = "whose ClusterIP it is"
		}
		out = append(out, objects.Problem{
			Kind: objects.KindService, Name: svc.String(), UID: mine.subject.UID, Field: mine.value.field,
			Text: fmt.Sprintf("%s belongs to Service %s, %s", describeAddr(mine.key), owner.subject, reason),
		})
	})
	return out
}

// describeAddr names an address in a sentence.
func describeAddr(a inet.Addr) string {
	if a.IsNodePort() {
		return fmt.Sprintf("node port %d/%s", a.Port, a.Proto)
	}
	return a.String()
}
