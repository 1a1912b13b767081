// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"fairlead/nat"
)

// remarks keeps what people want to know of Services beyond their frontends:
// for logs and metrics only. Most Services have none.
type remarks struct {
	byService map[types.NamespacedName]remark
	internal  int            // Services with remark.internal
	external  int            // Services with remark.external
	fallbacks map[string]int // reason -> Services
	news      bool           // problems may have changed

	triggers []time.Time // of changes that the kernel does not have yet
	since    time.Time   // older ones are not ours to measure
}

// remark is about one Service.
type remark struct {
	// internal and external are set when there are endpoints, but none on this
	// node as the policy Local would have it.
	internal, external bool
	fallback           string // why topology hints were not followed
	problems           []Problem
	trigger            time.Time // the latest that was measured
}

func newRemarks(since time.Time) *remarks {
	return &remarks{byService: map[types.NamespacedName]remark{}, fallbacks: map[string]int{}, since: since}
}

// maxTriggers bounds what is remembered while the kernel takes nothing.
const maxTriggers = 1 << 12

// set replaces the remark on a Service.
func (r *remarks) set(key types.NamespacedName, list []claim, from []*Slice, self *Self) {
	old := r.byService[key]
	now := remarkOn(key, list, self)
	now.trigger = old.trigger
	for _, s := range from {
		if s.Changed.After(old.trigger) && s.Changed.After(r.since) && len(r.triggers) < maxTriggers {
			r.triggers = append(r.triggers, s.Changed)
			now.trigger = later(now.trigger, s.Changed)
		}
	}
	r.count(&old, -1)
	r.count(&now, +1)
	r.news = r.news || !slices.Equal(old.problems, now.problems)
	if len(list) == 0 || now.empty() {
		delete(r.byService, key)
	} else {
		r.byService[key] = now
	}
}

func (m *remark) empty() bool {
	return !m.internal && !m.external && m.fallback == "" && len(m.problems) == 0 && m.trigger.IsZero()
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (r *remarks) count(m *remark, n int) {
	if m.internal {
		r.internal += n
	}
	if m.external {
		r.external += n
	}
	if m.fallback == "" {
		return
	}
	if r.fallbacks[m.fallback] += n; r.fallbacks[m.fallback] == 0 {
		delete(r.fallbacks, m.fallback)
	}
}

// remarkOn looks at the frontends of a Service.
func remarkOn(key types.NamespacedName, list []claim, self *Self) remark {
	var m remark
	for i := range list {
		c := &list[i]
		m.internal = m.internal || c.frontend.Policy == nat.Drop
		m.external = m.external || c.frontend.Policy == nat.Local && len(c.frontend.LocalBackends) == 0
		if m.fallback == "" {
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

// takeTriggers returns when what the kernel has now was changed in the API.
func (r *remarks) takeTriggers() []time.Time {
	out := r.triggers
	r.triggers = nil
	return out
}
