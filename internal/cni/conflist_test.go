// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package cni

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containernetworking/cni/libcni"
	"github.com/google/go-cmp/cmp"
)

func prefixes(s ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range s {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

const dualPTP = `{
  "cniVersion": "1.0.0",
  "name": "fairlead",
  "plugins": [
    {
      "type": "ptp",
      "ipMasq": false,
      "mtu": 1450,
      "ipam": {
        "type": "host-local",
        "dataDir": "/run/fairlead/ipam",
        "ranges": [
          [
            {
              "subnet": "10.244.1.0/24"
            }
          ],
          [
            {
              "subnet": "fd00:10:244:1::/64"
            }
          ]
        ],
        "routes": [
          {
            "dst": "0.0.0.0/0"
          },
          {
            "dst": "::/0"
          }
        ]
      }
    }
  ]
}
`

func TestConflist(t *testing.T) {
	for _, order := range [][]netip.Prefix{
		prefixes("10.244.1.0/24", "fd00:10:244:1::/64"),
		prefixes("fd00:10:244:1::/64", "10.244.1.0/24"),
	} {
		got, err := Config{PodCIDRs: order, MTU: 1450}.Conflist()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(dualPTP, string(got)); diff != "" {
			t.Errorf("conflist of %v (-want +got):\n%s", order, diff)
		}
	}
	text, err := Config{Plugin: Bridge, PodCIDRs: prefixes("10.244.1.0/24"), Name: "cbr0"}.Conflist()
	if err != nil {
		t.Fatal(err)
	}
	list, err := libcni.NetworkConfFromBytes(text)
	if err != nil {
		t.Fatalf("libcni refuses it: %v", err)
	}
	if p := list.Plugins[0].Network; list.Name != "cbr0" || p.Type != "bridge" || len(list.Plugins) != 1 {
		t.Errorf("libcni read %s with %+v", list.Name, p)
	}
	for _, want := range []string{`"bridge": "cni0"`, `"isGateway": true`, `"hairpinMode": true`, `"ipMasq": false`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("there is no %s in\n%s", want, text)
		}
	}
	if strings.Contains(string(text), "mtu") {
		t.Error("an MTU is set, though none was asked for")
	}
}

func TestConflistErrors(t *testing.T) {
	tests := []struct {
		name   string
		config Config
		want   string
	}{
		{"no podCIDR yet", Config{}, "pod CIDRs: the node has none yet"},
		{"two of a family", Config{PodCIDRs: prefixes("10.1.0.0/24", "10.2.0.0/24")}, "pod CIDRs: 10.1.0.0/24 and 10.2.0.0/24 are of one family"},
		{"host bits", Config{PodCIDRs: prefixes("10.1.0.7/24")}, "pod CIDRs: 10.1.0.7/24 has bits set behind its prefix; did you mean 10.1.0.0/24?"},
		{"too small", Config{PodCIDRs: prefixes("10.1.0.0/31")}, "pod CIDRs: 10.1.0.0/31 has no room for a gateway and a pod"},
		{"zero prefix", Config{PodCIDRs: []netip.Prefix{{}}}, `pod CIDRs: "invalid Prefix" is not a CIDR`},
		{"MTU for IPv6", Config{PodCIDRs: prefixes("10.1.0.0/24", "fd00::/64"), MTU: 1200}, "MTU: 1200 is not from 1280 to 65535"},
		{"name", Config{PodCIDRs: prefixes("10.1.0.0/24"), Name: "../x"}, `name: "../x" is not letters, digits, '_', '.' and '-'`},
		{"everything at once", Config{PodCIDRs: prefixes("10.1.0.0/24"), Plugin: "macvlan", Bridge: "a b", DataDir: "x"},
			"plugin: \"macvlan\" is neither ptp nor bridge\nbridge: \"a b\" is not the name of a device\ndata directory: \"x\" is not absolute"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text, err := tt.config.Conflist()
			if err == nil {
				t.Fatalf("got\n%s", text)
			}
			if diff := cmp.Diff("render conflist: "+tt.want, err.Error()); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

// TestInstall checks that the file is written once and repaired, and that nothing is
// left behind.
func TestInstall(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "net.d")
	file := filepath.Join(dir, DefaultFile)
	install := func(text string, want bool) {
		t.Helper()
		written, err := Install(file, []byte(text))
		if err != nil || written != want {
			t.Errorf("written %v, %v, want %v", written, err, want)
		}
		have, err := os.ReadFile(file)
		if err != nil || string(have) != text {
			t.Errorf("the file is %q, %v", have, err)
		}
		if info, err := os.Lstat(file); err != nil || info.Mode() != 0o644 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
		if names, err := os.ReadDir(dir); err != nil || len(names) != 1 {
			t.Errorf("left behind: %v, %v", names, err)
		}
	}
	install("a", true)
	install("a", false)
	install("b", true)
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
	install("b", true)
	if err := os.WriteFile(filepath.Join(dir, "."+DefaultFile+".123.tmp"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	install("c", true) // takes the remains of a killed agent along
	if err := os.Rename(file, filepath.Join(t.TempDir(), "elsewhere")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/null", file); err != nil {
		t.Fatal(err)
	}
	install("d", true)
	for _, want := range []bool{true, false} {
		if removed, err := Remove(file); err != nil || removed != want {
			t.Errorf("removed %v, %v, want %v", removed, err, want)
		}
	}
	if _, err := os.Stat(dir); err != nil {
		t.Errorf("the directory is gone: %v", err)
	}
	if _, err := Install(filepath.Join(dir, "10-fairlead.yaml"), nil); err == nil {
		t.Error("a file that no runtime reads was accepted")
	}
}

// TestInstallFails checks that a failed Install keeps the old file.
func TestInstallFails(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, DefaultFile)
	if err := os.Mkdir(file, 0o755); err != nil { // a directory cannot be replaced
		t.Fatal(err)
	}
	if _, err := Install(file, []byte("a")); err == nil {
		t.Error("no error")
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) != 1 {
		t.Errorf("left behind: %v, %v", names, err)
	}
}

func TestRivals(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"00-first.conf":            `{"name": "first"}`,
		"05-broken.conflist":       "{",
		"05-notes.txt":             "",
		"10-containerd.conflist":   `{"name": "containerd-net"}`,
		"10-flannel.conflist":      `{"name": "cbr0"}`,
		"05-off.conflist.disabled": "{}",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	rivals, err := Rivals(filepath.Join(dir, DefaultFile))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range rivals {
		got = append(got, strings.ReplaceAll(r.String(), dir, "DIR"))
	}
	want := []string{
		`DIR/00-first.conf (network "first") sorts before the conflist of fairlead, so that new pods are connected by it; if nobody needs it: mv DIR/00-first.conf DIR/00-first.conf.disabled`,
		`DIR/05-broken.conflist sorts before the conflist of fairlead and cannot be used (unexpected end of JSON input), so that the runtime starts no pods; if nobody needs it: mv DIR/05-broken.conflist DIR/05-broken.conflist.disabled`,
		`DIR/10-containerd.conflist (network "containerd-net") sorts before the conflist of fairlead, so that new pods are connected by it; if nobody needs it: mv DIR/10-containerd.conflist DIR/10-containerd.conflist.disabled`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rivals (-want +got):\n%s", diff)
	}
	if rivals, err := Rivals(filepath.Join(dir, "none", DefaultFile)); err != nil || rivals != nil {
		t.Errorf("of a directory that is not there: %v, %v", rivals, err)
	}
}

// TestInstallErrors fails twice with one text, because the agent retries and reports each new
// one.
func TestInstallErrors(t *testing.T) {
	taken := filepath.Join(t.TempDir(), DefaultFile)
	if err := os.MkdirAll(filepath.Join(taken, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		"/proc/" + DefaultFile: "install conflist: open /proc/" + DefaultFile + ": no such file or directory",
		taken:                  "install conflist: rename " + taken + ": file exists",
	} {
		for range 2 {
			if _, err := Install(file, []byte("{}")); err == nil || err.Error() != want {
				t.Errorf("%v, want %s", err, want)
			}
		}
	}
}
