// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package options

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"time"

	"github.com/spf13/pflag"

	"fairlead/internal/flannel"
	"fairlead/internal/inet"
	"fairlead/overlay"
)

// uplinkFlags select the address by which the overlay sends. The fields of the type
// Uplink are flannel's flags.
type uplinkFlags struct {
	interfaces []string
	addresses  []string
	announce   bool
	probe      time.Duration
	flannel    flannel.Uplink
}

func (f *uplinkFlags) register(fs *pflag.FlagSet) {
	fs.StringSliceVar(&f.interfaces, "underlay-interface", nil, "interfaces by which the overlay sends to other nodes, the first that is there counts: a name, a CIDR or an address of the interface, or a regular expression for either. By default the interface with the node's address, or else the one with the default route")
	fs.StringSliceVar(&f.addresses, "underlay-address", nil, "address of this node for the overlay, at most one per family: an address of an interface, by which the overlay sends, or an address in front of a NAT, by which other nodes reach this one")
	fs.BoolVar(&f.announce, "announce-underlay", false, "write the addresses of the overlay into this Node's annotation fairlead/underlay-addresses if they differ from those of its status, so that other nodes use and accept them; needs the verb patch on nodes/status")
	fs.DurationVar(&f.probe, "probe-peers", 0, "with a tunnel, time between two packets to the kernel of each other node through the tunnel, at least 1s; nodes that do not answer three in a row are reported. 0 sends none")
	fs.StringArrayVar(&f.flannel.Iface, "iface", nil, "flannel's name of --underlay-interface")
	fs.StringArrayVar(&f.flannel.IfaceRegex, "iface-regex", nil, "flannel's --iface-regex")
	fs.StringVar(&f.flannel.IfaceCanReach, "iface-can-reach", "", "flannel's --iface-can-reach")
	fs.StringVar(&f.flannel.PublicIP, "public-ip", "", "flannel's name of --underlay-address")
	fs.StringVar(&f.flannel.PublicIPv6, "public-ipv6", "", "flannel's name of --underlay-address")
	for _, name := range []string{"iface", "iface-regex", "iface-can-reach", "public-ip", "public-ipv6"} {
		_ = fs.MarkHidden(name) // fails for unknown names only
	}
}

// adopt takes from flannel's file what no flag says.
func (f *uplinkFlags) adopt(u flannel.Uplink, given func(flag string) bool) {
	if !given("underlay-interface") && !given("iface") && !given("iface-regex") && !given("iface-can-reach") {
		f.flannel.Iface, f.flannel.IfaceRegex, f.flannel.IfaceCanReach = u.Iface, u.IfaceRegex, u.IfaceCanReach
	}
	if !given("underlay-address") && !given("public-ip") && !given("public-ipv6") {
		f.flannel.PublicIP, f.flannel.PublicIPv6 = u.PublicIP, u.PublicIPv6
	}
}

// uplink returns what the flags select, and an error for each that is wrong. Like
// flannel it prefers names to patterns, and patterns to a route.
func (f *uplinkFlags) uplink() (overlay.Uplink, error) {
	var u overlay.Uplink
	var errs []error
	if f.probe != 0 && f.probe < time.Second {
		errs = append(errs, fmt.Errorf("--probe-peers: %v is below 1s", f.probe))
	}
	u.Interfaces = append(u.Interfaces, f.interfaces...)
	for _, s := range f.flannel.Iface {
		if _, err := netip.ParseAddr(s); err != nil {
			s = regexp.QuoteMeta(s)
		}
		u.Interfaces = append(u.Interfaces, s)
	}
	for _, s := range f.flannel.IfaceRegex {
		if _, err := regexp.Compile(s); err != nil {
			errs = append(errs, fmt.Errorf("--iface-regex: %w", err))
			continue
		}
		u.Interfaces = append(u.Interfaces, ".*(?:"+s+").*") // flannel accepts a match anywhere
	}
	if s := f.flannel.IfaceCanReach; s != "" {
		var err error
		if u.CanReach, err = netip.ParseAddr(s); err != nil {
			errs = append(errs, fmt.Errorf("--iface-can-reach: %q is not an IP address", s))
		}
	}
	add := func(flag, s string) {
		a, err := netip.ParseAddr(s)
		family := inet.FamilyOf(a.Unmap())
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("%s: %q is not an IP address", flag, s))
		case u.Addresses[family].IsValid():
			errs = append(errs, fmt.Errorf("%s: %s is a second %s address, the first is %s", flag, a, family, u.Addresses[family]))
		default:
			u.Addresses[family] = a.Unmap()
		}
	}
	for _, s := range f.addresses {
		add("--underlay-address", s)
	}
	if s := f.flannel.PublicIP; s != "" {
		add("--public-ip", s)
	}
	if s := f.flannel.PublicIPv6; s != "" {
		add("--public-ipv6", s)
	}
	return u, errors.Join(errs...)
}
