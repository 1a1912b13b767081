// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"fairlead/internal/inet"
	"fairlead/proxier/objects"
)

// Claims is the contest for frontends. Several Services may ask for one address
// by external IPs, load balancer addresses or hand-made node ports.
type Claims struct{ *Contest[inet.Addr, Claim] }

func NewClaims() Claims {
	return Claims{NewContest[inet.Addr](func(c Claim) int { return len(c.Frontend.Backends) })}
}

// Set replaces the claims of a Service, nil for one that is gone, and returns
// the addresses whose owner, or what the owner wants, may have changed, sorted.
func (c Claims) Set(key types.NamespacedName, svc *objects.Service, list []Claim) []inet.Addr {
	who := Subject{NamespacedName: key}
	wishes := make([]Wish[inet.Addr, Claim], len(list))
	for i := range list {
		who.UID = svc.UID
		wishes[i] = Wish[inet.Addr, Claim]{rank{class: list[i].use.class(), since: svc.Created}, list[i].key, list[i]}
	}
	affected := c.Contest.Set(who, wishes)
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

// Problems reports the addresses that a Service asks for and does not get.
func (c Claims) Problems(svc types.NamespacedName) []objects.Problem {
	var out []objects.Problem
	c.lost(svc, func(mine, owner *contender[inet.Addr, Claim]) {
		reason := why(owner.rank, mine.rank)
		if owner.Value.use == useClusterIP && mine.Value.use != useClusterIP {
			reason = "whose ClusterIP it is"
		}
		out = append(out, objects.Problem{
			Kind: objects.KindService, Name: svc.String(), UID: mine.Subject.UID, Field: mine.Value.Field,
			Text: fmt.Sprintf("%s belongs to Service %s, %s", DescribeAddr(mine.Key), owner.Subject, reason),
		})
	})
	return out
}

// DescribeAddr names an address in a sentence.
func DescribeAddr(a inet.Addr) string {
	if a.IsNodePort() {
		return fmt.Sprintf("node port %d/%s", a.Port, a.Proto)
	}
	return a.String()
}
