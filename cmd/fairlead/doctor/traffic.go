// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"fairlead/cmd/fairlead/doctor/finding"
	"fairlead/cmd/fairlead/inspect"
)

// checkTraffic looks at the devices between the nodes for filters of traffic control and
// XDP, which no packet filter shows. What a BPF program does with packets cannot be read
// from it: the check names it as a suspect where another node does not answer.
func (d *doctor) checkTraffic(context.Context) {
	const check = "tc"
	devices, err := d.betweenNodes()
	if err != nil {
		d.unknown(check, "devices of this node: %v", err)
		return
	}
	if len(devices) == 0 {
		d.unknown(check, "no device between the nodes is known: there is no overlay, and no device has an address of the Node object")
		return
	}
	found, err := inspect.ReadFilters(devices)
	if err != nil {
		d.unknown(check, "%v", err)
		return
	}
	silent := slices.ContainsFunc(d.report.Findings, func(f finding.Finding) bool { return f.Check == "peers" && f.Severity == finding.Error })
	passing := 0
	for i := range found {
		f := &found[i]
		remedy := []string{fmt.Sprintf("see what it matches: tc -s filter show dev %s %s", f.Device, f.Hook), fmt.Sprintf("tc filter del dev %s %s pref %d", f.Device, f.Hook, f.Pref)}
		if f.Hook == "xdp" {
			remedy = []string{"see what attached it: bpftool net show dev " + f.Device, "ip link set dev " + f.Device + " xdp off"}
		}
		switch {
		case f.Takes != "" && silent:
			d.report.Add(check, finding.Error, remedy, "%s takes the packets that it matches (%s), and another node does not answer", f, f.Takes)
		case f.Takes != "":
			d.report.Add(check, finding.Warning, remedy, "%s takes the packets that it matches (%s)", f, f.Takes)
		case silent:
			d.report.Add(check, finding.Warning, remedy, "%s sees the packets between nodes first, and another node does not answer", f)
		default:
			passing++
		}
	}
	switch {
	case len(found) == 0:
		d.ok(check, "no filter of tc and no XDP program is in the way at %d devices", len(devices))
	case passing > 0:
		d.ok(check, "%d filters of tc or XDP programs see the packets between nodes, and the other nodes answer", passing)
	}
}

// betweenNodes returns the devices of the overlay and those with an address of this node.
func (d *doctor) betweenNodes() ([]string, error) {
	var out []string
	if d.overlay != nil && d.links != nil {
		for _, name := range d.overlay.Devices {
			if d.links.Link(name) != nil {
				out = append(out, name)
			}
		}
	}
	if d.objects == nil {
		return out, nil
	}
	self := d.objects.Node(d.Config.Proxier.NodeName)
	if self == nil {
		return out, nil
	}
	all, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	for _, i := range all {
		addrs, err := i.Addrs()
		if err != nil {
			continue // the device went away
		}
		ours := slices.ContainsFunc(addrs, func(a net.Addr) bool {
			p, err := netip.ParsePrefix(a.String())
			return err == nil && slices.Contains(self.Underlay, p.Addr())
		})
		if ours && !slices.Contains(out, i.Name) {
			out = append(out, i.Name)
		}
	}
	return out, nil
}
