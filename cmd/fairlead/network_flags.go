// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"fairlead/internal/cni"
	"fairlead/internal/flannel"
	"fairlead/overlay"
	"fairlead/proxier"
)

// networkFlags say what the agent does for the pods' network, beside Services:
// nothing unless it is asked to, as on a node whose network is somebody else's.
type networkFlags struct {
	overlayMode  string
	vni          uint32
	port         uint16
	mtu          int
	ipMasq       bool
	ipMasqNodes  bool
	masqFile     string
	flannel      bool
	setSysctls   bool
	openFirewall bool
	setCondition bool
	cni          cniFlags
}

// cniFlags say how the container runtime is told.
type cniFlags struct {
	confDir string
	binDir  string
	from    string
	plugin  string
	dataDir string
	name    string // of the network; empty for the usual one
}

func (f *networkFlags) register(fs *pflag.FlagSet) {
	f.registerTable(fs)
	fs.Uint32Var(&f.vni, "overlay-vni", overlay.DefaultVNI, "VXLAN network identifier")
	fs.IntVar(&f.mtu, "overlay-mtu", 0, "MTU of pods; 0 is that of the interface that leads to other nodes, less what the tunnel needs")
	fs.StringVar(&f.masqFile, "ip-masq-config", "", "configuration file of ip-masq-agent, whose changes are followed")
	fs.BoolVar(&f.setSysctls, "set-sysctls", true, "with --overlay or --cni-conf-dir, make the kernel settings that pods need; otherwise only report them")
	fs.BoolVar(&f.openFirewall, "open-firewall", false, "with --overlay or --cni-conf-dir, add rules to other firewalls of the node that drop what pods send or get (Docker, firewalld, ufw); otherwise only report them")
	fs.BoolVar(&f.setCondition, "set-node-network-available", false, "with --overlay or --cni-conf-dir, take the Node's condition NetworkUnavailable back once the network is there; needs the verb patch on nodes/status")
	fs.StringVar(&f.cni.binDir, "cni-bin-dir", cni.DefaultBinDir, "where the container runtime looks for CNI plugins")
	fs.StringVar(&f.cni.dataDir, "cni-data-dir", cni.DefaultDataDir, "where the host-local plugin notes which addresses pods have; with another one it forgets those that it gave")
	fs.StringVar(&f.cni.from, "cni-plugins-from", "", "directory of CNI plugins to install in --cni-bin-dir, unless newer ones are there")
}

// registerTable adds the flags that the table depends on.
func (f *networkFlags) registerTable(fs *pflag.FlagSet) {
	fs.StringVar(&f.overlayMode, "overlay", "", "how packets get to pods on other nodes: vxlan, vxlan-direct (without tunnel inside a subnet), host-gw, or none, which removes what another mode left. By default that is somebody else's business")
	fs.BoolVar(&f.flannel, "flannel-compat", false, "share the overlay with nodes that run flannel: use its device names and take over its devices, follow its annotations of Nodes, and write those of this one, and go on with its bridge and addresses (--cni-plugin=bridge, --cni-data-dir="+cni.FlannelDataDir+"); needs --overlay=vxlan or vxlan-direct, and the verb patch on nodes/status")
	fs.Uint16Var(&f.port, "overlay-port", overlay.DefaultPort, "UDP port of VXLAN")
	fs.BoolVar(&f.ipMasq, "ip-masq", false, "give what this node's pods send out of the cluster the address of the node")
	fs.BoolVar(&f.ipMasqNodes, "ip-masq-nodes", true, "with --ip-masq, what they send to other nodes, too")
	fs.StringVar(&f.cni.confDir, "cni-conf-dir", "", "where the container runtime looks for its network, usually "+cni.DefaultDir+"; empty to leave that to others")
	fs.StringVar(&f.cni.plugin, "cni-plugin", string(cni.PTP), "how pods are linked to the node: ptp or bridge")
}

// adopt takes from flannel's file what no flag has said.
func (f *networkFlags) adopt(c *flannel.NetConf, given func(flag string) bool) {
	if f.flannel {
		f.cni.adopt(given)
	}
	if c == nil {
		return
	}
	b := c.Backend
	if !given("overlay") {
		switch {
		case b.Type == flannel.BackendVXLAN && b.DirectRouting:
			f.overlayMode = overlay.Direct.String()
		case b.Type == flannel.BackendVXLAN:
			f.overlayMode = overlay.VXLAN.String()
		case b.Type == flannel.BackendHostGW:
			f.overlayMode = overlay.HostGateway.String()
		}
	}
	if !given("overlay-vni") {
		f.vni = b.VNI
	}
	if !given("overlay-port") && b.Port != 0 {
		f.port = b.Port
	}
	// The MTU of flannel is that of the underlay.
	const overhead = 50
	if !given("overlay-mtu") && b.MTU > overhead {
		f.mtu = b.MTU
		if b.Type == flannel.BackendVXLAN {
			f.mtu -= overhead
		}
	}
}

// apply completes the configuration and reports everything that is wrong.
func (f *networkFlags) apply(cfg *proxier.Config) error {
	var errs []error
	if f.overlayMode != "" {
		mode, err := overlay.ParseMode(f.overlayMode)
		if err != nil {
			errs = append(errs, fmt.Errorf("--overlay: %q is not vxlan, vxlan-direct, host-gw or none", f.overlayMode))
		} else {
			cfg.Overlay = &overlay.Config{
				Mode: mode, VNI: f.vni, Port: f.port, MTU: f.mtu,
				ClusterCIDRs: cfg.ClusterCIDRs, ServiceCIDRs: cfg.ServiceCIDRs,
			}
			errs = append(errs, f.takeOver(cfg))
			if err := cfg.Overlay.Validate(); err != nil {
				errs = append(errs, fmt.Errorf("--overlay: %w", err))
			}
		}
	}
	if f.masqFile != "" && !f.ipMasq {
		errs = append(errs, errors.New("--ip-masq-config: nothing is masqueraded without --ip-masq"))
	}
	if f.flannel && cfg.Overlay == nil {
		errs = append(errs, errors.New("--flannel-compat: needs --overlay=vxlan or vxlan-direct"))
	}
	cfg.Masquerade, cfg.KeepNodes = f.ipMasq, f.ipMasq && !f.ipMasqNodes
	if f.cni.confDir != "" {
		cfg.PodInterfaces = f.cni.podInterfaces()
	}
	return errors.Join(append(errs, f.cni.validate())...)
}

// takeOver has the overlay be flannel's.
func (f *networkFlags) takeOver(cfg *proxier.Config) error {
	if !f.flannel {
		return nil
	}
	if m := cfg.Overlay.Mode; m != overlay.VXLAN && m != overlay.Direct {
		return fmt.Errorf("--flannel-compat: needs --overlay=vxlan or vxlan-direct, not %s", m)
	}
	cfg.FlannelCompat, cfg.Overlay.TakeOver = true, true
	cfg.Overlay.Device4, cfg.Overlay.Device6 = fmt.Sprintf("flannel.%d", f.vni), fmt.Sprintf("flannel-v6.%d", f.vni)
	return nil
}

// adopt goes on with the pods' network that flannel's plugin made: the same bridge,
// and the same notes of addresses, so that its pods can stay.
func (f *cniFlags) adopt(given func(flag string) bool) {
	f.name = cni.FlannelName
	if !given("cni-plugin") {
		f.plugin = string(cni.Bridge)
	}
	if !given("cni-data-dir") {
		f.dataDir = cni.FlannelDataDir
	}
}

func (f *cniFlags) validate() error {
	var errs []error
	if !slices.Contains([]cni.Plugin{cni.PTP, cni.Bridge}, cni.Plugin(f.plugin)) {
		errs = append(errs, fmt.Errorf("--cni-plugin: %q is not ptp or bridge", f.plugin))
	}
	for _, d := range []struct{ flag, dir string }{
		{"--cni-conf-dir", f.confDir}, {"--cni-bin-dir", f.binDir}, {"--cni-plugins-from", f.from}, {"--cni-data-dir", f.dataDir},
	} {
		if d.dir != "" && !filepath.IsAbs(d.dir) {
			errs = append(errs, fmt.Errorf("%s: %q is not an absolute path", d.flag, d.dir))
		}
	}
	return errors.Join(append(errs, existing("--cni-plugins-from", f.from))...)
}

// podInterfaces returns the names of devices that pods are behind, as the plugins
// make them.
func (f *cniFlags) podInterfaces() []string {
	if cni.Plugin(f.plugin) == cni.Bridge {
		return []string{cni.DefaultBridge}
	}
	return []string{"veth*"} // containernetworking/plugins, pkg/ip: RandomVethName
}

// active reports whether the pods' network is the agent's at all.
func (f *networkFlags) active() bool {
	return f.overlayMode != "" && !strings.EqualFold(f.overlayMode, overlay.None.String()) || f.cni.confDir != ""
}
