// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

// tellFlows passes on which backends changed. It comes after the commit, because
// under the old rules the next packet would bring a deleted flow back.
func (p *Proxier) tellFlows() {
	defer clear(p.desired.flows)
	if p.flows == nil {
		return
	}
	for key := range p.desired.flows {
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

// tellClients has everything forgotten that sticky clients were remembered with
// before this process and that is no longer so.
func (p *Proxier) tellClients() {
	if p.clients != nil && !p.Ready() {
		p.clients.RemoveExcept(p.desired.state.Remembered())
	}
}
