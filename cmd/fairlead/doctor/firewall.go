// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"fmt"
	"slices"

	"fairlead/cmd/fairlead/doctor/finding"
)

// checkFirewall looks for rules of other programs that drop pod traffic.
func (d *doctor) checkFirewall(context.Context) {
	const check = "firewall"
	found, known, err := d.network.CheckFirewall()
	if !d.hasRules(check, known, err) {
		return
	}
	for _, f := range found {
		severity := severityOf(f.Certain)
		if f.Err != nil {
			severity = finding.Unknown
		}
		remedy := f.Remedy
		if d.Config.Node.Active && f.Err == nil {
			remedy = append(slices.Clip(remedy), "or let the agent do it: --open-firewall")
		}
		d.report.Add(check, severity, remedy, "%s", f.Problem())
	}
	if len(found) == 0 {
		d.ok(check, "no rule of another program drops pod traffic, tunnel packets, health checks or NodePorts")
	}
}

// checkDiverted looks for rules of other programs that keep packets to Services from the
// translation.
func (d *doctor) checkDiverted(context.Context) {
	const check = "services"
	found, known, err := d.network.CheckDiverted()
	if !d.hasRules(check, known, err) {
		return
	}
	for i := range found.Rules {
		r := &found.Rules[i]
		d.report.Add(check, severityOf(r.Certain), r.Remedy(), "%s", r.Problem())
	}
	if len(found.Rules) == 0 {
		text := "no rule of another program translates packets to Services, or turns connection tracking off for them"
		if found.Tried < found.Of {
			text += fmt.Sprintf(" (%d of %d addresses were tried)", found.Tried, found.Of)
		}
		d.ok(check, "%s", text)
	}
}

// hasRules reports whether the rules of other programs were read and the traffic of this node is
// known, and notes what is unknown.
func (d *doctor) hasRules(check string, known bool, err error) bool {
	switch {
	case err != nil:
		d.unknown(check, "rules of other programs: %v", err)
	case !known:
		d.unknown(check, "the Node object of this node is not known, or has no pod CIDR, so what its pods send is not")
	}
	return known && err == nil
}

// severityOf returns the severity of a rule that concerns packets certainly, or perhaps.
func severityOf(certain bool) finding.Severity {
	if certain {
		return finding.Error
	}
	return finding.Warning
}
