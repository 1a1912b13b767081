// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

// tellFlows passes on which backends changed. It comes after the commit, because
// under the old rules the next packet would bring a deleted flow back.
func (p *Proxier) tellFlows() {
	if p.flows == nil {
		clear(p.desired.flows)
		return
	}
	for key := range p.desired.flows {
		if _, refused := p.refused[key]; refused {
			continue // The kernel has the frontend as it was before.
		}
		delete(p.desired.flows, key)
		if serving, existing, ok := p.desired.backends(key); ok {
			p.flows.Set(key, serving, existing)
		} else {
			p.flows.Delete(key)
		}
	}
	if !p.Ready() {
		p.flows.SweepAll() // what became stale before this process is not known
	}
}

// tellClients deletes the affinity entries that lead to other backends than the wanted
// ones, after each load of the table: entries may have been missed or forged before.
func (p *Proxier) tellClients() {
	if p.clients != nil && p.loaded {
		p.clients.RemoveExcept(p.desired.state.Remembered())
	}
	p.loaded = false
}
