// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"slices"

	"fairlead/cmd/fairlead/doctor/finding"
)

// checkFirewall looks for rules of other programs that drop pod traffic.
func (d *doctor) checkFirewall(context.Context) {
	const check = "firewall"
	found, known, err := d.network.CheckFirewall()
	switch {
	case err != nil:
		d.unknown(check, "rules of other programs: %v", err)
		return
	case !known:
		d.unknown(check, "the Node object of this node is not known, or has no pod CIDR, so what its pods send is not")
		return
	}
	for _, f := range found {
		severity := finding.Warning
		if f.Certain {
			severity = finding.Error
		}
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
