// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"net/netip"
	"slices"

	"fairlead/internal/inet"
	"fairlead/nat/ruleset"
)

// apiServer is the Service that leads to the API servers.
const apiServer = "default/kubernetes"

// UnblockElements is Unblock for elements. The batch deletes those that cannot be ours,
// whatever the objects say, and that may keep a packet from its way:
//
//   - An element of a frontend without the comment that names the owner, and one that no
//     version of fairlead writes.
//   - An address in cluster-ips at which no Service is served. All its ports would be refused.
//   - A range in service-cidrs that is one address at which no Service is served, or that has
//     a backend of the Service kubernetes in it. Its packets would be dropped.
//
// Of an element that looks like ours, such as a backend with the right comment, only the
// objects can tell whether it is, so it stays in place until they are known.
func UnblockElements(found *ruleset.Snapshot) (ruleset.Batch, Drift) {
	u := unblockElements{vips: map[netip.Addr]bool{}}
	if !found.Exists || isForeign(found.Flags) {
		return nil, nil
	}
	for e := range found.Elements.All() {
		u.owned(e)
	}
	for e := range found.Elements.All() {
		if e.Set.Kind == ruleset.ClusterIPs && !u.vips[e.Key.IP] {
			u.remove(e)
		}
	}
	for _, f := range inet.Families() {
		set := ruleset.Set{Kind: ruleset.ServiceCIDRs, Family: f}
		for _, p := range found.Ranges[set] {
			if u.blocks(p) {
				u.remove(&ruleset.Element{Set: set, Client: p})
			}
		}
	}
	for i := range found.Strays {
		u.stray(&found.Strays[i])
	}
	return u.batch, u.drift
}

// unblockElements plans one batch.
type unblockElements struct {
	vips  map[netip.Addr]bool // at which Services are served
	api   []netip.Addr        // of API servers
	batch ruleset.Batch
	drift Drift
}

// owned takes an element of a frontend, and deletes one without an owner.
func (u *unblockElements) owned(e *ruleset.Element) {
	switch {
	case e.IsMember():
	case e.Comment == "":
		u.remove(e)
	case e.Set.Kind == ruleset.VIPs:
		u.vips[e.Key.IP] = true
	case e.Set.Kind == ruleset.Backends && serviceOf(e.Comment) == apiServer:
		u.api = append(u.api, e.Data.Addr())
	}
}

// blocks reports whether a range of service-cidrs keeps packets from their way.
func (u *unblockElements) blocks(p netip.Prefix) bool {
	return p.IsSingleIP() && !u.vips[p.Addr()] || slices.ContainsFunc(u.api, p.Contains)
}

// stray deletes an element that no batch writes. A set of ranges that has one and that drops
// packets is emptied.
func (u *unblockElements) stray(s *ruleset.Stray) {
	switch spec := s.Set.Spec(); {
	case spec.Learnt, spec.IsInterval() && s.Set.Kind != ruleset.ServiceCIDRs:
		return
	case spec.IsInterval():
		u.batch = append(u.batch, ruleset.Op{Verb: ruleset.FlushSet, Set: s.Set})
		u.drift.note(KindElement, "ranges of "+s.Set.String())
	default:
		u.batch = append(u.batch, ruleset.Op{Verb: ruleset.DeleteElement, Stray: s})
		u.drift.note(KindElement, s.Set.String()+" "+s.String())
	}
}

func (u *unblockElements) remove(e *ruleset.Element) {
	u.batch = append(u.batch, ruleset.Op{Verb: ruleset.DeleteElement, Element: *e})
	u.drift.note(KindElement, e.Set.String()+" "+e.String())
}
