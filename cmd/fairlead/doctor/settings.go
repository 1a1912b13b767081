// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"slices"

	"fairlead/cmd/fairlead/doctor/finding"
	"fairlead/cmd/fairlead/options"
	"fairlead/internal/inet"
	"fairlead/overlay"
	"fairlead/overlay/kernel"
)

// checkOverlay plans the overlay as the agent does, and compares its devices.
func (d *doctor) checkOverlay(context.Context) {
	const check = "overlay"
	cfg := d.Config.Proxier.Overlay
	if cfg == nil || cfg.Mode == overlay.None {
		d.ok(check, "the flags ask for no overlay")
		return
	}
	plan, err := d.planOverlay(cfg)
	switch {
	case err != nil:
		d.unknown(check, "links of this node: %v", err)
		return
	case plan == nil:
		d.unknown(check, "the Node object of this node is not known, so nothing about the overlay is")
		return
	}
	for _, p := range plan.Problems() {
		d.report.Add(check, finding.Warning, nil, "%s", p)
	}
	if plan.Waits && d.outside() == nil { // which checkObjects reports
		d.report.Add(check, finding.Error, []string{
			"let the controller manager assign ranges: --allocate-node-cidrs --cluster-cidr=RANGES",
			"or set spec.podCIDRs of the Node",
		}, "Node %s has no pod CIDR or no address, so its pods get no network", d.Config.Proxier.NodeName)
	}
	if plan.Waits {
		return
	}
	for _, dev := range plan.Devices {
		switch l := d.links.Link(dev.Name); {
		case l == nil:
			d.missingDevice(dev.Name)
		case !l.Up():
			d.report.Add(check, finding.Error, []string{"ip link set " + dev.Name + " up", "restart the agent if it stays down"}, "device %s of the overlay is down", dev.Name)
		case l.MTU != dev.MTU:
			d.report.Add(check, finding.Warning, []string{"restart the agent with the same flags"}, "device %s of the overlay has MTU %d, and should have %d", dev.Name, l.MTU, dev.MTU)
		default:
			d.ok(check, "device %s of the overlay is up with MTU %d", dev.Name, l.MTU)
		}
	}
	if len(plan.Devices) == 0 {
		d.ok(check, "mode %s needs no device", cfg.Mode)
	}
}

// outside returns the ranges of this node's pods that --cluster-cidr leaves out.
func (d *doctor) outside() (out []netip.Prefix) {
	all := d.Config.Proxier.ClusterCIDRs
	self := d.objects.Node(d.Config.Proxier.NodeName)
	if self == nil || len(all) == 0 {
		return nil
	}
	for _, own := range self.PodCIDRs {
		if !slices.ContainsFunc(all, func(p netip.Prefix) bool { return p.Bits() <= own.Bits() && p.Contains(own.Addr()) }) {
			out = append(out, own)
		}
	}
	return out
}

// missingDevice says why a VXLAN device may be missing.
func (d *doctor) missingDevice(name string) {
	const check = "overlay"
	if has, known := hasModule("/", "vxlan"); known && !has {
		d.report.Add(check, finding.Error, []string{"install the package with further modules of this kernel, such as linux-modules-extra-" + options.KernelRelease(), "modprobe vxlan"},
			"device %s is missing, and the kernel has no module vxlan", name)
		return
	}
	d.report.Add(check, finding.Error, []string{"start the agent; if it runs, read its log"}, "device %s of the overlay is missing", name)
}

// planOverlay returns nil without this node's object. It fills in d.links and d.overlay.
func (d *doctor) planOverlay(cfg *overlay.Config) (*overlay.Planner, error) {
	full := cfg.WithDefaults()
	proxy := &d.Config.Proxier
	var self overlay.Node
	var peers []overlay.Node
	known := false
	if d.objects != nil {
		for _, n := range d.objects.Nodes() {
			if n.Name == proxy.NodeName {
				self, known = proxy.OverlaySelf(n), true
			} else {
				peers = append(peers, proxy.Peer(n))
			}
		}
	}
	conn, err := kernel.Dial(nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	ours := func(l *kernel.Link) bool {
		return l.Kind == "vxlan" && (l.Name == full.Device4 || l.Name == full.Device6 || l.Alias == overlay.Alias)
	}
	view, err := conn.Look(ours, [2]netip.Addr{self.Address(inet.IPv4), self.Address(inet.IPv6)}, full.Uplink.CanReach)
	if err != nil {
		return nil, err
	}
	d.links = view
	if !known {
		return nil, nil
	}
	plan := overlay.NewPlanner(full, view.Net, self, peers)
	d.overlay = &overlay.Report{}
	d.overlay.Describe(&plan.Plan)
	d.network.Describe(d.overlay)
	return plan, nil
}

// checkSysctls compares the settings below /proc/sys.
func (d *doctor) checkSysctls(context.Context) {
	const check = "sysctl"
	found, err := d.network.CheckSysctls()
	if err != nil {
		d.unknown(check, "%v", err)
	}
	for _, f := range found {
		severity := finding.Error
		if f.Report {
			severity = finding.Warning
		}
		if f.Have == "" && !errors.Is(f.Err, fs.ErrNotExist) {
			severity = finding.Unknown
		}
		evidence, remedy := f.Parts()
		d.report.Add(check, severity, []string{remedy}, "%s", evidence)
	}
	switch {
	case err != nil || len(found) > 0:
	case !d.Config.Node.Active:
		d.ok(check, "another program provides the pods' network, and has to set what that needs")
	default:
		d.ok(check, "all kernel settings that pods need are in place")
	}
}
