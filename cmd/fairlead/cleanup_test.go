// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"

	"fairlead/proxier"
)

func TestCleanupFlags(t *testing.T) {
	for want, args := range map[string][]string{
		"--of: whose leftovers? kube-proxy, flannel, fairlead, or several of them": {"cleanup"},
		`--of: "calico" is not kube-proxy, flannel or fairlead`:                    {"cleanup", "--of", "flannel,calico", "--dry-run"},
	} {
		if _, err := execute(t, args...); err == nil || err.Error() != want {
			t.Errorf("%v: %v, want %s", args, err, want)
		}
	}
}

func TestReplaceFlags(t *testing.T) {
	ours, compat := &networkFlags{overlayMode: "vxlan"}, &networkFlags{overlayMode: "vxlan", flannel: true}
	for _, tt := range []struct {
		names   []string
		network *networkFlags
		want    string
	}{
		{nil, ours, ""},
		{[]string{"kube-proxy"}, ours, ""},
		{[]string{"kube-proxy", "flannel"}, compat, ""},
		{[]string{"flannel"}, &networkFlags{}, ""},
		{[]string{"flannel"}, ours, "flannel's devices and routes are in the way of --overlay; give --flannel-compat, which takes them over"},
		{[]string{"fairlead"}, ours, "fairlead does not replace itself"},
		{[]string{"x"}, ours, `"x" is not kube-proxy, flannel or fairlead`},
	} {
		got := ""
		if _, err := replaceable(tt.names, tt.network); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%v: error %q, want %q", tt.names, got, tt.want)
		}
	}
}

func TestFlannelCompatFlag(t *testing.T) {
	for mode, want := range map[string]string{
		"":        "--flannel-compat: needs --overlay=vxlan or vxlan-direct",
		"host-gw": "--flannel-compat: needs --overlay=vxlan or vxlan-direct, not host-gw",
		"vxlan":   "",
	} {
		f := networkFlags{overlayMode: mode, flannel: true, vni: 7, cni: cniFlags{plugin: "ptp"}}
		cfg := proxier.Config{}
		err := f.apply(&cfg)
		if err == nil && want != "" || err != nil && err.Error() != want {
			t.Errorf("--overlay=%s: %v, want %q", mode, err, want)
		}
		if o := cfg.Overlay; err == nil && (!cfg.FlannelCompat || !o.TakeOver || o.Device4 != "flannel.7" || o.Device6 != "flannel-v6.7") {
			t.Errorf("--overlay=%s: overlay %+v", mode, o)
		}
	}
}

// TestFlannelCompatPods: pods of flannel keep their bridge and their addresses.
func TestFlannelCompatPods(t *testing.T) {
	for given, want := range map[string]cniFlags{
		"":             {name: "cbr0", plugin: "bridge", dataDir: "/var/lib/cni/networks"},
		"cni-plugin":   {name: "cbr0", plugin: "ptp", dataDir: "/var/lib/cni/networks"},
		"cni-data-dir": {name: "cbr0", plugin: "bridge", dataDir: "/run/fairlead/ipam"},
	} {
		f := networkFlags{flannel: true, cni: cniFlags{plugin: "ptp", dataDir: "/run/fairlead/ipam"}}
		f.adopt(nil, func(flag string) bool { return flag == given })
		if f.cni != want {
			t.Errorf("with --%s: %+v, want %+v", given, f.cni, want)
		}
	}
}
