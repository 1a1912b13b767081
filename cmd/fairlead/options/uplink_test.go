// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package options

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"fairlead/overlay"
)

// TestUplinkFlags reads the flags, those of flannel, and fields of net-conf.json.
func TestUplinkFlags(t *testing.T) {
	const file = `{"Network": "10.244.0.0/16", "Backend": {"Type": "vxlan", "Iface": "eth1", "IfaceRegex": ["eth.*"], "IfaceCanReach": "192.0.2.9", "PublicIP": "203.0.113.1", "PublicIPv6": "2001:db8::1"}}`
	public := netip.MustParseAddr("203.0.113.1")
	for _, tt := range []struct {
		name, file string
		args       []string
		want       overlay.Uplink
	}{
		{name: "nothing"},
		{name: "interfaces", args: []string{"--underlay-interface=eth0,10.0.0.0/8", "--underlay-interface=en.*"}, want: overlay.Uplink{Interfaces: []string{"eth0", "10.0.0.0/8", "en.*"}}},
		{name: "addresses", args: []string{"--underlay-address=203.0.113.1,2001:db8::1"}, want: overlay.Uplink{Addresses: [2]netip.Addr{public, netip.MustParseAddr("2001:db8::1")}}},
		{name: "flannel's flags", args: []string{"--iface=eth0.5", "--iface=192.0.2.1", "--iface-regex=^en", "--iface-can-reach=8.8.8.8", "--public-ip=203.0.113.1"},
			want: overlay.Uplink{Interfaces: []string{`eth0\.5`, "192.0.2.1", ".*(?:^en).*"}, CanReach: netip.MustParseAddr("8.8.8.8"), Addresses: [2]netip.Addr{public}}},
		{name: "flannel's file", file: file,
			want: overlay.Uplink{Interfaces: []string{"eth1", ".*(?:eth.*).*"}, CanReach: netip.MustParseAddr("192.0.2.9"), Addresses: [2]netip.Addr{public, netip.MustParseAddr("2001:db8::1")}}},
		{name: "flags before the file", file: file, args: []string{"--underlay-interface=eth9", "--underlay-address=198.51.100.1"},
			want: overlay.Uplink{Interfaces: []string{"eth9"}, Addresses: [2]netip.Addr{netip.MustParseAddr("198.51.100.1")}}},
	} {
		cfg, _, err := networkOf(t, tt.file, append(tt.args, "--overlay=vxlan")...)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if diff := cmp.Diff(tt.want, cfg.Overlay.Uplink, cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

// TestUplinkFlagsErrors names each flag that is wrong.
func TestUplinkFlagsErrors(t *testing.T) {
	_, _, err := networkOf(t, "", "--overlay=vxlan", "--underlay-interface=eth[", "--underlay-address=nonsense,192.0.2.1,192.0.2.2",
		"--iface-regex=(", "--iface-can-reach=home", "--public-ip=224.0.0.1", "--public-ipv6=ff02::1")
	for _, want := range []string{
		`underlay interface "eth[" is not a name, a CIDR or a regular expression`,
		`--underlay-address: "nonsense" is not an IP address`,
		"--underlay-address: 192.0.2.2 is a second IPv4 address, the first is 192.0.2.1",
		"--iface-regex: error parsing regexp",
		`--iface-can-reach: "home" is not an IP address`,
		"--public-ip: 224.0.0.1 is a second IPv4 address",
		"underlay address ff02::1 is not a unicast address of IPv6",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q in: %v", want, err)
		}
	}
}
