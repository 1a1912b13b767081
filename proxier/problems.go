// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"k8s.io/klog/v2"
)

// Reporters of problems. What a node reports of its own parts goes by the name
// of the part.
const (
	bySource      = "source"
	byPrecedence  = "precedence"
	byClaims      = "claims"
	byNotes       = "notes"
	byHealthPort  = "health port"
	byHealthCheck = "health check"
	byPod         = "pod"
	byHostPort    = "host port"
	bySettings    = "settings"
	byKernel      = "kernel"
	byOverlay     = "overlay"
	byMasqFile    = "masquerade file"
)

// publishProblems logs each problem once when it appears, with an Event, and
// once when it is gone.
func (p *Proxier) publishProblems(log klog.Logger) {
	fresh, gone := p.book.Take()
	if len(fresh)+len(gone) == 0 {
		return
	}
	for _, problem := range fresh {
		log.Info("Problem", "kind", problem.Kind, "name", problem.Name, "field", problem.Field, "problem", problem.Text)
	}
	for _, problem := range gone {
		log.Info("Problem is gone", "kind", problem.Kind, "name", problem.Name, "field", problem.Field)
	}
	p.events.problems(fresh)
	p.metrics.report(p.book.Counts())
}

// logTurns says of which Services topology hints are not followed, and why.
func (p *Proxier) logTurns(log klog.Logger) {
	for _, t := range p.desired.remarks.takeTurns() {
		switch {
		case t.why == (fallback{}):
			log.V(2).Info("Topology hints are followed, or gone", "service", t.service)
		case t.why.endpoint.IsValid():
			log.V(2).Info("Topology hints are not followed", "service", t.service, "level", t.why.level, "reason", t.why.reason, "endpoint", t.why.endpoint)
		default:
			log.V(2).Info("Topology hints are not followed", "service", t.service, "level", t.why.level, "reason", t.why.reason)
		}
	}
}
