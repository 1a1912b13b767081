// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package flannel

import (
	"testing"
)

// FuzzParse checks that Parse refuses a file or returns settings that can be used.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		`{"Network":"10.244.0.0/16","IPv6Network":"fd00::/48","EnableIPv6":true,"Backend":{"Type":"vxlan","VNI":4096,"Port":4789,"MTU":1400,"DirectRouting":true}}`,
		`{"Network":"10.244.0.0/16","EnableIPv4":false,"Backend":{"Type":"host-gw","Iface":["eth0","eth1"],"IfaceRegex":"^e","PublicIP":"192.0.2.1"}}`,
		"{\"network\":\"10.244.1.1/16\",\"Backend\":{\"type\":\"udp\x1b\",\"VNI\":0,\"MTU\":-1,\"x\":[null]},\"BACKEND\":{}}", "null", "[]", `{"Backend":null}`, `{"Network":5}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse(data)
		if err != nil {
			return
		}
		if c.Backend.VNI == 0 || c.Backend.VNI >= 1<<24 || c.Backend.MTU < 0 || len(c.Networks) > 2 {
			t.Errorf("%q is accepted as %+v", data, c)
		}
		for i, p := range c.Networks {
			if !p.IsValid() || p != p.Masked() || i == 1 && p.Addr().Is4() {
				t.Errorf("%q has the network %v", data, p)
			}
		}
	})
}

// FuzzParseLease checks that a lease has addresses of its families only, and that what is
// written for it is read back.
func FuzzParseLease(f *testing.F) {
	f.Add("true", "vxlan", `{"VNI":1,"VtepMAC":"02:00:00:00:00:01"}`, "192.0.2.1", "192.0.2.2", `{"VNI":1,"VtepMAC":"02:00:00:00:00:02"}`, "2001:db8::1", "")
	f.Add("true", "", "null", "fe80::1%eth0", "x\n", "{", "::ffff:192.0.2.1", "\x1b")
	f.Add("", "host-gw", `{"VtepMAC":"01:00:00:00:00:01"}`, "", "0.0.0.0", `{"VNI":-1}`, "", "::")
	f.Fuzz(func(t *testing.T, kube, kind, data4, public4, over4, data6, public6, over6 string) {
		l, _ := ParseLease(map[string]string{
			Prefix + managed: kube, Prefix + backendType: kind,
			Prefix + "backend-data": data4, Prefix + "public-ip": public4, Prefix + "public-ip-overwrite": over4,
			Prefix + "backend-v6-data": data6, Prefix + "public-ipv6": public6, Prefix + "public-ipv6-overwrite": over6,
		})
		if l == nil {
			return
		}
		for fam := range 2 {
			if a := l.Address(fam); a.IsValid() && (a.Is4() != (fam == 0) || a.Zone() != "") {
				t.Errorf("family %d has the address %v", fam, a)
			}
			if l.MACs[fam][0]&1 != 0 {
				t.Errorf("family %d has the group address %x", fam, l.MACs[fam])
			}
		}
		again, err := ParseLease(l.Annotations())
		if err != nil || again == nil {
			t.Fatalf("what was written is read back as %v, %v", again, err)
		}
		for fam := range 2 {
			if written := l.Address(fam).IsValid() && l.MACs[fam] != [6]byte{}; written &&
				(again.Address(fam) != l.Address(fam) || again.MACs[fam] != l.MACs[fam] || again.VNI[fam] != l.VNI[fam]) {
				t.Errorf("family %d: %+v was written and %+v read", fam, l, again)
			}
		}
	})
}
