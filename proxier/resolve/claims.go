// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"fairlead/internal/inet"
	"fairlead/nat"
	"fairlead/proxier/objects"
)

// Claims is the contest for frontends. Several Services may ask for one address
// by external IPs, load balancer addresses or hand-made node ports.
type Claims struct{ *Contest[inet.Addr, Claim] }

// NewClaims returns an empty contest.
func NewClaims() Claims {
	return Claims{NewContest[inet.Addr](func(c Claim) int { return len(c.Frontend.Backends) })}
}

// Set replaces the claims of a Service, nil for one that is gone, and returns the
// addresses whose owner, or what the owner wants, may have changed, sorted. seen is
// the number of the pass, from 1; holder returns the comment on a frontend that the
// kernel has, and may be nil. During a pause it must not be called for the same Service,
// nor Problems.
func (c Claims) Set(key types.NamespacedName, svc *objects.Service, list []Claim, seen uint64, holder func(inet.Addr) string, pause Pause) []inet.Addr {
	who := Subject{NamespacedName: key}
	wishes := make([]Wish[inet.Addr, Claim], len(list))
	for i := range list {
		pause.after(1)
		who.UID = svc.UID
		r := rank{class: list[i].use.class(), seen: seen, created: svc.Created.UnixMilli()}
		if holder != nil && isOwner(holder(list[i].key), &list[i], key) {
			r.seen = Incumbent
		}
		wishes[i] = Wish[inet.Addr, Claim]{r, list[i].key, list[i]}
	}
	affected := c.set(who, wishes, pause)
	slices.SortFunc(affected, func(a, b inet.Addr) int {
		pause.after(1)
		return a.Compare(b)
	})
	return slices.Compact(affected)
}

// isOwner reports whether a comment names a claim, or another port of its Service.
func isOwner(comment string, c *Claim, svc types.NamespacedName) bool {
	service, _, _ := strings.Cut(comment, ":")
	return comment != "" && (service == svc.String() || comment == nat.Comment(c.Frontend.Owner))
}

// class orders the uses of an address. A ClusterIP is allocated by the API server. An
// address in the status of a load balancer was written by a controller; external IPs
// may be written by anybody who may write Services.
func (u use) class() uint8 { return uint8(u) }

// Problems reports the addresses that a Service asks for and does not get.
func (c Claims) Problems(svc types.NamespacedName) []objects.Problem {
	var out []objects.Problem
	c.lost(svc, func(mine, owner *contender[inet.Addr, Claim]) {
		reason := why(owner.rank, mine.rank)
		switch {
		case owner.class == mine.class:
		case owner.Value.use == useClusterIP:
			reason = "whose ClusterIP it is"
		case owner.Value.use == useLoadBalancer:
			reason = "whose load balancer has it"
		}
		out = append(out, objects.Problem{
			Kind: objects.KindService, Name: svc.String(), UID: mine.Subject.UID, Field: mine.Value.Field(),
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
