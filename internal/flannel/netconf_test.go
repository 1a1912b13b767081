// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package flannel

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	v4, v6 := netip.MustParsePrefix("10.244.0.0/16"), netip.MustParsePrefix("2001:cafe:42::/56")
	for _, tc := range []struct {
		name, text string
		want       NetConf
	}{
		{"kube-flannel.yml as released", `{
      "Network": "10.244.0.0/16",
      "EnableNFTables": false,
      "Backend": {
        "Type": "vxlan"
      }
    }`, NetConf{Networks: []netip.Prefix{v4}, Backend: Backend{Type: "vxlan", VNI: 1}}},
		{"dual stack, all options", `{"Network": "10.244.3.0/16", "IPv6Network": "2001:cafe:42::/56", "EnableIPv6": true,
			"Backend": {"type": "VXLAN", "VNI": 4096, "Port": 4789, "MTU": 1480, "DirectRouting": true}}`,
			NetConf{Networks: []netip.Prefix{v4, v6}, Backend: Backend{Type: "vxlan", VNI: 4096, Port: 4789, MTU: 1480, DirectRouting: true}}},
		{"IPv6 only", `{"EnableIPv4": false, "EnableIPv6": true, "IPv6Network": "2001:cafe:42::/56", "Backend": {"Type": "host-gw"}}`,
			NetConf{Networks: []netip.Prefix{v6}, Backend: Backend{Type: "host-gw", VNI: 1}}},
		{"what is not honoured", `{"Network": "10.244.0.0/16", "IPv6Network": "2001:cafe:42::/56", "SubnetLen": 25, "EnableNFTables": true,
			"Backend": {"Type": "vxlan", "GBP": true, "Learning": true}}`,
			NetConf{Networks: []netip.Prefix{v4}, Backend: Backend{Type: "vxlan", VNI: 1},
				Unused: []string{"EnableNFTables", "SubnetLen", "Backend.GBP", "Backend.Learning", "IPv6Network"}}},
		{"no backend is flannel's udp", `{"Network": "10.244.0.0/16"}`,
			NetConf{Networks: []netip.Prefix{v4}, Backend: Backend{Type: "udp", VNI: 1}, Unused: []string{`Backend.Type "udp"`}}},
	} {
		got, err := Parse([]byte(tc.text))
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		if diff := cmp.Diff(tc.want, *got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, diff)
		}
	}
}

func TestParseWrong(t *testing.T) {
	for text, want := range map[string]string{
		`{"Network": "10.244.0.0", "Backend": {"VNI": 0, "MTU": -1}}`: "Network: \"10.244.0.0\" is not a CIDR of its family\n" +
			"Backend.VNI: 0 is not from 1 to 2^24 - 1\nBackend.MTU: -1 is below 0",
		`{"Network": "fd00::/56"}`: `Network: "fd00::/56" is not a CIDR of its family`,
		`{}`:                       `Network: "" is not a CIDR of its family`,
		`{"Network": "10.0.0.0/8", "Backend": {"Port": 70000}}`: "Port",
		`{"Network": 5}`: "Network",
		`{`:              "unexpected end",
	} {
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %s", text, err, want)
		}
	}
}

// TestRead: the file may be named, or the directory that the ConfigMap is mounted in.
func TestRead(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, FileName)
	if err := os.WriteFile(path, []byte(`{"Network": "10.244.0.0/16", "Backend": {"Type": "vxlan"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{path, dir} {
		if c, err := Read(p); err != nil || len(c.Networks) != 1 {
			t.Errorf("Read(%s) is %v, %v", p, c, err)
		}
	}
	if _, err := Read(filepath.Join(dir, "missing")); err == nil {
		t.Error("a file that is not there is read")
	}
	if err := os.WriteFile(path, []byte(`{"Network": "x"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(dir); err == nil || !strings.HasPrefix(err.Error(), "read "+path+": Network: ") {
		t.Errorf("error %v does not name file and field", err)
	}
}
