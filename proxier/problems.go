// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"slices"

	"k8s.io/klog/v2"
)

// problems returns everything that is wrong, sorted: with objects, between
// them, and with what the kernel would not take.
func (p *Proxier) problems() []Problem {
	out := p.desired.problems()
	for _, problem := range p.refused {
		out = append(out, problem)
	}
	slices.SortFunc(out, compareProblems)
	return out
}

// report logs each problem once when it appears, with an Event, and once when it
// is gone.
func (p *Proxier) report(log klog.Logger) {
	now := map[Problem]struct{}{}
	var fresh []Problem
	for _, problem := range p.problems() {
		now[problem] = struct{}{}
		if _, known := p.reported[problem]; !known {
			log.Info("Problem", "kind", problem.Kind, "name", problem.Name, "field", problem.Field, "problem", problem.Text)
			fresh = append(fresh, problem)
		}
	}
	for problem := range p.reported {
		if _, still := now[problem]; !still {
			log.Info("Problem is gone", "kind", problem.Kind, "name", problem.Name, "field", problem.Field)
		}
	}
	p.reported, p.news = now, false
	p.events.problems(fresh, p.store)
	p.metrics.report(now)
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
