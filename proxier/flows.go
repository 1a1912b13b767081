// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

// tellFlows passes on what changed for UDP frontends. It comes after the commit
// and not before: under the old rules the next packet would bring a deleted
// flow back to where it went.
func (p *Proxier) tellFlows() {
	defer clear(p.desired.flows)
	if p.flows == nil {
		return
	}
	for key := range p.desired.flows {
		if c, ok := p.desired.claims.owner(key); ok {
			p.flows.Set(key, c.serving)
		} else {
			p.flows.Delete(key)
		}
	}
	if !p.Ready() {
		p.flows.SweepAll() // what became stale before this process is not known
	}
}
