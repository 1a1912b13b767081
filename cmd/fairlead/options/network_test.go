// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package options

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/spf13/pflag"

	"fairlead/cmd/fairlead/node"
	"fairlead/internal/flannel"
	"fairlead/overlay"
	"fairlead/proxier/resolve"
)

// networkOf returns what flags, and flannel's file, make of a configuration.
func networkOf(t *testing.T, file string, args ...string) (resolve.Config, *networkFlags, error) {
	t.Helper()
	var f networkFlags
	fs := pflag.NewFlagSet("network", pflag.ContinueOnError)
	f.register(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	if file != "" {
		c, err := flannel.Parse([]byte(file))
		if err != nil {
			t.Fatal(err)
		}
		f.adopt(c, fs.Changed)
	}
	cfg := resolve.Config{ClusterCIDRs: []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16")}}
	err := f.apply(&cfg)
	return cfg, &f, err
}

func TestNetworkFlags(t *testing.T) {
	cluster := []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16")}
	vxlan := overlay.Config{Mode: overlay.VXLAN, VNI: 1, Port: 8472, ClusterCIDRs: cluster}
	with := func(change func(*overlay.Config)) *overlay.Config {
		c := vxlan
		change(&c)
		return &c
	}
	same := func(*overlay.Config) {}
	for _, tt := range []struct {
		name, file string
		args       []string
		want       resolve.Config
		active     bool
	}{
		{name: "nothing unless asked for", want: resolve.Config{}},
		{name: "overlay", args: []string{"--overlay=vxlan"}, want: resolve.Config{Overlay: with(same)}, active: true},
		{name: "every flag of the overlay", args: []string{"--overlay=vxlan-direct", "--overlay-vni=7", "--overlay-port=4789", "--overlay-mtu=1400"},
			want: resolve.Config{Overlay: with(func(c *overlay.Config) { c.Mode, c.VNI, c.Port, c.MTU = overlay.Direct, 7, 4789, 1400 })}, active: true},
		{name: "overlay of an earlier mode is removed", args: []string{"--overlay=none"},
			want: resolve.Config{Overlay: with(func(c *overlay.Config) { c.Mode = overlay.None })}},
		{name: "egress", args: []string{"--ip-masq"}, want: resolve.Config{Masquerade: true}},
		{name: "egress without nodes", args: []string{"--ip-masq", "--ip-masq-nodes=false"}, want: resolve.Config{Masquerade: true, KeepNodes: true}},
		{name: "nodes alone are no egress", args: []string{"--ip-masq-nodes=false"}, want: resolve.Config{}},
		{name: "ptp", args: []string{"--cni-conf-dir=/etc/cni/net.d"}, want: resolve.Config{PodInterfaces: []string{"veth*"}, CheckedInterfaces: []string{"veth*"}, Loopback: true}, active: true},
		{name: "bridge", args: []string{"--cni-conf-dir=/etc/cni/net.d", "--cni-plugin=bridge"}, want: resolve.Config{PodInterfaces: []string{"cni0"}, CheckedInterfaces: []string{"cni0"}, Loopback: true}, active: true},
		{name: "flannel's VXLAN, whose MTU is that of the underlay", file: `{"Network": "10.244.0.0/16", "Backend": {"Type": "vxlan", "VNI": 5, "Port": 4789, "MTU": 9000}}`,
			want: resolve.Config{Overlay: with(func(c *overlay.Config) { c.VNI, c.Port, c.MTU = 5, 4789, 8950 })}, active: true},
		{name: "flannel's direct routing", file: `{"Network": "10.244.0.0/16", "Backend": {"Type": "vxlan", "DirectRouting": true}}`,
			want: resolve.Config{Overlay: with(func(c *overlay.Config) { c.Mode = overlay.Direct })}, active: true},
		{name: "flannel's host-gw", file: `{"Network": "10.244.0.0/16", "Backend": {"Type": "host-gw"}}`,
			want: resolve.Config{Overlay: with(func(c *overlay.Config) { c.Mode = overlay.HostGateway })}, active: true},
		{name: "flannel without overlay", file: `{"Network": "10.244.0.0/16", "Backend": {"Type": "alloc"}}`},
		{name: "flags win over the file", file: `{"Network": "10.244.0.0/16", "Backend": {"Type": "host-gw", "VNI": 5}}`, args: []string{"--overlay=vxlan", "--overlay-vni=1"},
			want: resolve.Config{Overlay: with(same)}, active: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.want.ClusterCIDRs = cluster
			got, flags, err := networkOf(t, tt.file, tt.args...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got, cmpopts.EquateComparable(netip.Prefix{}, netip.Addr{})); diff != "" {
				t.Errorf("configuration (-want +got):\n%s", diff)
			}
			if flags.active() != tt.active {
				t.Errorf("active() = %v, want %v", flags.active(), tt.active)
			}
		})
	}
}

func TestNetworkFlagsWrong(t *testing.T) {
	for arg, want := range map[string]string{
		"--overlay=wireguard":       `--overlay: "wireguard" is not vxlan, vxlan-direct, host-gw or none`,
		"--overlay-mtu=70000":       "",
		"--cni-plugin=macvlan":      `--cni-plugin: "macvlan" is not ptp or bridge`,
		"--cni-conf-dir=cni":        `--cni-conf-dir: "cni" is not an absolute path`,
		"--ip-masq-config=/x":       "--ip-masq-config: needs --ip-masq",
		"--cni-plugins-from=/gone/": "--cni-plugins-from: stat /gone/: no such file or directory",
	} {
		_, _, err := networkOf(t, "", arg)
		if want == "" {
			if err != nil {
				t.Errorf("%s without an overlay: %v", arg, err)
			}
			continue
		}
		if err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", arg, err, want)
		}
	}
	if _, _, err := networkOf(t, "", "--overlay=vxlan", "--overlay-mtu=70000"); err == nil {
		t.Error("an MTU of 70000 is accepted")
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
		{[]string{"flannel"}, ours, "flannel's devices and routes conflict with --overlay: set --flannel-compat, which takes them over"},
		{[]string{"fairlead"}, ours, "fairlead cannot replace itself"},
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
		f := networkFlags{overlayMode: mode, flannel: true, vni: 7, cni: node.CNI{Plugin: "ptp"}}
		cfg := resolve.Config{}
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
	for given, want := range map[string]node.CNI{
		"":             {Name: "cbr0", Plugin: "bridge", DataDir: "/var/lib/cni/networks"},
		"cni-plugin":   {Name: "cbr0", Plugin: "ptp", DataDir: "/var/lib/cni/networks"},
		"cni-data-dir": {Name: "cbr0", Plugin: "bridge", DataDir: "/run/fairlead/ipam"},
	} {
		f := networkFlags{flannel: true, cni: node.CNI{Plugin: "ptp", DataDir: "/run/fairlead/ipam"}}
		f.adopt(nil, func(flag string) bool { return flag == given })
		if f.cni != want {
			t.Errorf("with --%s: %+v, want %+v", given, f.cni, want)
		}
	}
}
