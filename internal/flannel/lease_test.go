// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package flannel_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"fairlead/internal/flannel"
)

func annotations(pairs ...string) map[string]string {
	out := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		out[flannel.Prefix+pairs[i]] = pairs[i+1]
	}
	return out
}

func TestParseLease(t *testing.T) {
	both := flannel.Lease{
		VNI: [2]uint32{1, 1}, MACs: [2][6]byte{{0x12, 0xc6, 1, 2, 3, 4}, {0x12, 0xc6, 1, 2, 3, 6}},
		Public: [2]netip.Addr{netip.MustParseAddr("192.168.50.2"), netip.MustParseAddr("fd00:50::2")},
	}
	all := annotations("kube-subnet-manager", "true", "backend-type", "vxlan",
		"backend-data", `{"VNI":1,"VtepMAC":"12:c6:01:02:03:04"}`, "public-ip", "192.168.50.2",
		"backend-v6-data", `{"VNI":1,"VtepMAC":"12:c6:01:02:03:06"}`, "public-ipv6", "fd00:50::2")
	with := func(pairs ...string) map[string]string {
		out := annotations(pairs...)
		for k, v := range all {
			if _, set := out[k]; !set {
				out[k] = v
			}
		}
		return out
	}
	change := func(f func(*flannel.Lease)) *flannel.Lease {
		l := both
		f(&l)
		return &l
	}
	for _, tt := range []struct {
		name string
		in   map[string]string
		want *flannel.Lease
		errs []string
	}{
		{"none", nil, nil, nil},
		{"not flannel's", map[string]string{"a": "b"}, nil, nil},
		{"both families", all, &both, nil},
		{"another backend", with("backend-type", "host-gw"), nil, nil},
		{"not by the subnet manager", with("kube-subnet-manager", "false"), nil, nil},
		{"IPv4 only", with("backend-v6-data", "null", "public-ipv6", ""), change(func(l *flannel.Lease) {
			l.VNI[1], l.MACs[1], l.Public[1] = 0, [6]byte{}, netip.Addr{}
		}), nil},
		{"behind a NAT", with("public-ip-overwrite", "203.0.113.2"), change(func(l *flannel.Lease) { l.Overwrite[0] = netip.MustParseAddr("203.0.113.2") }), nil},
		{"an administrator was first", annotations("public-ipv6-overwrite", "fd00::2"), &flannel.Lease{Overwrite: [2]netip.Addr{1: netip.MustParseAddr("fd00::2")}}, nil},
		{"hostile", with("backend-data", `{"VtepMAC":"ff:ff:ff:ff:ff:ff"}`, "backend-v6-data", "[", "public-ip", "fd00::1", "public-ipv6", "fe80::1%eth0"),
			&flannel.Lease{},
			[]string{`/backend-data: VtepMAC "ff:ff:ff:ff:ff:ff" is not`, `/backend-v6-data: "[" is not`, `/public-ip: "fd00::1" is not an IPv4 address`, `/public-ipv6: "fe80::1%eth0" is not an IPv6`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := flannel.ParseLease(tt.in)
			if diff := cmp.Diff(tt.want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
				t.Errorf("lease (-want +got):\n%s", diff)
			}
			if (err != nil) != (len(tt.errs) > 0) {
				t.Fatalf("error %v", err)
			}
			for _, want := range tt.errs {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q is missing in: %v", want, err)
				}
			}
		})
	}
	if diff := cmp.Diff(all, both.Annotations()); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
	nat := change(func(l *flannel.Lease) { l.Overwrite[0] = netip.MustParseAddr("203.0.113.2") })
	if got := nat.Annotations()[flannel.Prefix+"public-ip"]; got != "203.0.113.2" {
		t.Errorf("public-ip is %s, want what it is overwritten by", got)
	}
}
