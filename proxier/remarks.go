// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"fmt"
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"fairlead/nat"
)

// remarks keeps what people want to know of Services beyond their frontends:
// for logs and metrics only. Most Services have none.
type remarks struct {
	byService map[types.NamespacedName]remark
	internal  int                    // Services with remark.internal
	external  int                    // Services with remark.external
	fallbacks map[fallbackReason]int // Services
	news      bool                   // problems may have changed
	turns     []turn                 // of topology, not logged yet
	// written are the addresses that are not allocated by the API server.
	written map[types.NamespacedName][]writtenAddr
}

// writtenAddr is an address that somebody wrote down, and where.
type writtenAddr struct {
	ip    netip.Addr
	field string
}

// remark is about one Service.
type remark struct {
	// internal and external are set when there are endpoints, but none on this
	// node as the policy Local would have it.
	internal, external bool
	fallback           fallback // why topology hints were not followed
	problems           []Problem
}

// turn is a Service whose hints are followed no more, again, or for another
// reason.
type turn struct {
	service types.NamespacedName
	why     fallback
}

func newRemarks() *remarks {
	return &remarks{byService: map[types.NamespacedName]remark{}, fallbacks: map[fallbackReason]int{}, written: map[types.NamespacedName][]writtenAddr{}}
}

// maxTurns bounds what waits to be logged.
const maxTurns = 1 << 12

// set replaces the remark on a Service.
func (r *remarks) set(key types.NamespacedName, list []claim, from []*Slice, self *Self, zones map[string]struct{}) {
	old := r.byService[key]
	now := remarkOn(key, list, self)
	if len(list) > 0 {
		now.problems = append(now.problems, strangeHints(from, zones)...)
	}
	r.count(&old, -1)
	r.count(&now, +1)
	r.news = r.news || !slices.Equal(old.problems, now.problems)
	if old.fallback.fallbackReason != now.fallback.fallbackReason && len(list) > 0 && len(r.turns) < maxTurns {
		r.turns = append(r.turns, turn{key, now.fallback})
	}
	r.write(key, list)
	if now.empty() {
		delete(r.byService, key)
	} else {
		r.byService[key] = now
	}
}

// write notes the addresses that a Service has from a load balancer or a user.
func (r *remarks) write(key types.NamespacedName, list []claim) {
	var now []writtenAddr
	for i := range list {
		if c := &list[i]; c.use == useLoadBalancer || c.use == useExternalIP {
			now = appendNew(now, writtenAddr{c.key.IP, c.field})
		}
	}
	r.news = r.news || !slices.Equal(now, r.written[key])
	if len(now) > 0 {
		r.written[key] = now
	} else {
		delete(r.written, key)
	}
}

// onNodes reports addresses that belong to other nodes, by their names.
func (r *remarks) onNodes(others map[netip.Addr]string) []Problem {
	var out []Problem
	for key, list := range r.written {
		for _, w := range list {
			if node, ok := others[w.ip]; ok {
				out = append(out, Problem{
					Kind: kindService, Name: key.String(), Field: w.field,
					Text: fmt.Sprintf("%s is an address of Node %s, whose own ports of these numbers are out of reach", w.ip, node),
				})
			}
		}
	}
	return out
}

func (m *remark) empty() bool {
	return !m.internal && !m.external && m.fallback == (fallback{}) && len(m.problems) == 0
}

func (r *remarks) count(m *remark, n int) {
	if m.internal {
		r.internal += n
	}
	if m.external {
		r.external += n
	}
	why := m.fallback.fallbackReason
	if why == (fallbackReason{}) {
		return
	}
	if r.fallbacks[why] += n; r.fallbacks[why] == 0 {
		delete(r.fallbacks, why)
	}
}

// remarkOn looks at the frontends of a Service.
func remarkOn(key types.NamespacedName, list []claim, self *Self) remark {
	var m remark
	for i := range list {
		c := &list[i]
		m.internal = m.internal || c.frontend.Policy == nat.Drop
		m.external = m.external || c.frontend.Policy == nat.Local && len(c.frontend.LocalBackends) == 0
		if m.fallback == (fallback{}) {
			m.fallback = c.fallback
		}
		if (c.use == useLoadBalancer || c.use == useExternalIP) && slices.Contains(self.Addrs, c.key.IP) {
			m.problems = append(m.problems, Problem{
				Kind: kindService, Name: key.String(), Field: c.field,
				Text: fmt.Sprintf("%s is an address of this node: the port of the node itself is out of reach", c.key),
			})
		}
	}
	return m
}

func (r *remarks) problems() []Problem {
	var out []Problem
	for _, m := range r.byService {
		out = append(out, m.problems...)
	}
	return out
}

// takeTurns returns what is to be logged about topology.
func (r *remarks) takeTurns() []turn {
	out := r.turns
	r.turns = nil
	return out
}
