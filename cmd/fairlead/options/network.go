// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package options

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"fairlead/cmd/fairlead/node"
	"fairlead/internal/cni"
	"fairlead/internal/flannel"
	"fairlead/internal/inet"
	"fairlead/internal/leftovers"
	"fairlead/overlay"
	"fairlead/proxier/resolve"
)

// networkFlags say what the agent does for the pods' network. By default it does
// nothing, because another program provides that network.
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
	checkSources bool
	noOffload    []string
	cni          node.CNI
	uplink       uplinkFlags
}

func (f *networkFlags) register(fs *pflag.FlagSet) {
	f.registerTable(fs)
	f.uplink.register(fs)
	fs.StringVar(&f.masqFile, "ip-masq-config", "", "configuration file of ip-masq-agent; the agent follows its changes")
	fs.BoolVar(&f.setSysctls, "set-sysctls", true, "with --overlay or --cni-conf-dir, set the kernel settings that pods need; false only reports them")
	fs.BoolVar(&f.openFirewall, "open-firewall", false, "with --overlay or --cni-conf-dir, add accept rules to other firewalls of the node that drop pod traffic, tunnel packets, health checks or NodePorts (Docker, firewalld, ufw); false only reports them")
	fs.BoolVar(&f.setCondition, "set-node-network-available", false, "with --overlay or --cni-conf-dir, set the Node's condition NetworkUnavailable to False once the network is ready; needs the verb patch on nodes/status")
	fs.StringSliceVar(&f.noOffload, "no-checksum-offload", nil, "with --overlay, let the kernel compute checksums of packets that go out by these devices: tunnel, uplink, or both; for network cards that spoil checksums of tunnelled packets")
	fs.StringVar(&f.cni.BinDir, "cni-bin-dir", cni.DefaultBinDir, "directory where the container runtime looks for CNI plugins")
	fs.StringVar(&f.cni.DataDir, "cni-data-dir", cni.DefaultDataDir, "directory where the host-local plugin stores the addresses of pods; after a change it may assign addresses that are in use")
	fs.StringVar(&f.cni.PluginsFrom, "cni-plugins-from", "", "directory of CNI plugins to install in --cni-bin-dir; newer ones there stay")
}

// registerTable adds the flags that the table depends on, and those of the overlay.
func (f *networkFlags) registerTable(fs *pflag.FlagSet) {
	fs.StringVar(&f.overlayMode, "overlay", "", "how packets get to pods on other nodes: vxlan, vxlan-direct (no tunnel within a subnet), host-gw, or none, which removes the objects of another mode. By default another program provides the network")
	fs.BoolVar(&f.flannel, "flannel-compat", false, "share the overlay with nodes that run flannel: take over its devices under their names, read and write its annotations of Nodes, and keep its bridge and pod addresses (--cni-plugin=bridge, --cni-data-dir="+cni.FlannelDataDir+"); needs --overlay=vxlan or vxlan-direct, and the verb patch on nodes/status")
	fs.Uint32Var(&f.vni, "overlay-vni", overlay.DefaultVNI, "VXLAN network identifier")
	fs.IntVar(&f.mtu, "overlay-mtu", 0, "MTU of pods; 0 derives it from the interface to other nodes, minus the overhead of the tunnel")
	fs.Uint16Var(&f.port, "overlay-port", overlay.DefaultPort, "UDP port of VXLAN")
	fs.BoolVar(&f.ipMasq, "ip-masq", false, "masquerade connections of this node's pods to addresses outside of the cluster")
	fs.BoolVar(&f.ipMasqNodes, "ip-masq-nodes", true, "with --ip-masq, masquerade connections to other nodes, too")
	fs.StringVar(&f.cni.ConfDir, "cni-conf-dir", "", "directory of CNI configurations, usually "+cni.DefaultDir+", where the agent writes that of the pods' network; empty writes none")
	fs.BoolVar(&f.checkSources, "pod-source-check", true, "with --cni-conf-dir, drop and count packets of pods whose source address is not the pod's own, or with --cni-plugin=bridge, not one of this node's pods")
	fs.StringVar(&f.cni.Plugin, "cni-plugin", string(cni.PTP), "CNI plugin that connects pods to the node: ptp or bridge")
}

// adopt takes from flannel's file the values whose flags were not given.
func (f *networkFlags) adopt(c *flannel.NetConf, given func(flag string) bool) {
	if f.flannel {
		adoptFlannelPods(&f.cni, given)
	}
	if c == nil {
		return
	}
	b := c.Backend
	f.uplink.adopt(b.Uplink, given)
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
	// The MTU of flannel is that of the underlay, which it reaches by IPv4.
	overhead := overlay.Overhead(inet.IPv4)
	if !given("overlay-mtu") && b.MTU > overhead {
		f.mtu = b.MTU
		if b.Type == flannel.BackendVXLAN {
			f.mtu -= overhead
		}
	}
}

// apply completes cfg. It returns an error for each flag that is wrong.
func (f *networkFlags) apply(cfg *resolve.Config) error {
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
			if cfg.MasqueradeMark == overlay.DefaultMark {
				cfg.Overlay.ReplyMark = overlay.DefaultMark >> 1
			}
			var err error
			cfg.Overlay.Uplink, err = f.uplink.uplink()
			errs = append(errs, err, f.takeOver(cfg))
			if err := cfg.Overlay.Validate(); err != nil {
				errs = append(errs, fmt.Errorf("--overlay: %w", err))
			}
		}
	}
	if f.masqFile != "" && !f.ipMasq {
		errs = append(errs, errors.New("--ip-masq-config: needs --ip-masq"))
	}
	if f.flannel && cfg.Overlay == nil {
		errs = append(errs, errors.New("--flannel-compat: needs --overlay=vxlan or vxlan-direct"))
	}
	cfg.Masquerade, cfg.KeepNodes = f.ipMasq, f.ipMasq && !f.ipMasqNodes
	if f.cni.ConfDir != "" {
		cfg.PodInterfaces, cfg.Loopback = podInterfaces(f.cni.Plugin), true
		if f.checkSources {
			cfg.CheckedInterfaces = cfg.PodInterfaces
		}
	}
	if _, err := node.ParseChecksums(f.noOffload); err != nil {
		errs = append(errs, fmt.Errorf("--no-checksum-offload: %w", err))
	} else if len(f.noOffload) > 0 && cfg.Overlay == nil {
		errs = append(errs, errors.New("--no-checksum-offload: needs --overlay"))
	}
	return errors.Join(append(errs, validateCNI(&f.cni))...)
}

// takeOver gives the overlay flannel's devices.
func (f *networkFlags) takeOver(cfg *resolve.Config) error {
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

// adoptFlannelPods keeps the pods that flannel's plugin connected: they stay on the
// same bridge, with addresses from the same store.
func adoptFlannelPods(c *node.CNI, given func(flag string) bool) {
	c.Name = cni.FlannelName
	if !given("cni-plugin") {
		c.Plugin = string(cni.Bridge)
	}
	if !given("cni-data-dir") {
		c.DataDir = cni.FlannelDataDir
	}
}

func validateCNI(c *node.CNI) error {
	var errs []error
	if !slices.Contains([]cni.Plugin{cni.PTP, cni.Bridge}, cni.Plugin(c.Plugin)) {
		errs = append(errs, fmt.Errorf("--cni-plugin: %q is not ptp or bridge", c.Plugin))
	}
	for _, d := range []struct{ flag, dir string }{
		{"--cni-conf-dir", c.ConfDir}, {"--cni-bin-dir", c.BinDir}, {"--cni-plugins-from", c.PluginsFrom}, {"--cni-data-dir", c.DataDir},
	} {
		errs = append(errs, absolute(d.flag, d.dir))
	}
	return errors.Join(append(errs, existing("--cni-plugins-from", c.PluginsFrom))...)
}

// podInterfaces returns patterns of the node's interfaces to pods, as the CNI plugin
// names them.
func podInterfaces(plugin string) []string {
	if cni.Plugin(plugin) == cni.Bridge {
		return []string{cni.DefaultBridge}
	}
	return []string{"veth*"} // containernetworking/plugins, pkg/ip: RandomVethName
}

// active reports whether the agent provides the pods' network or a part of it.
func (f *networkFlags) active() bool {
	return f.overlayMode != "" && !strings.EqualFold(f.overlayMode, overlay.None.String()) || f.cni.ConfDir != ""
}

// node returns what the agent does to the node.
func (f *networkFlags) node() node.Config {
	checksums, _ := node.ParseChecksums(f.noOffload) // apply has checked them
	return node.Config{
		KernelChecksums: checksums,
		Active:          f.active(), MTU: f.mtu, MasqFile: f.masqFile, CNI: f.cni,
		SetSysctls: f.setSysctls, OpenFirewall: f.openFirewall, SetCondition: f.setCondition, AnnounceUnderlay: f.uplink.announce, ProbePeers: f.uplink.probe,
	}
}

// replaceable reads --replace. A node has room for one VXLAN device with a VNI and
// port, and for one route to a range of pods, so fairlead's own overlay would never be
// ready beside flannel's.
func replaceable(names []string, network *networkFlags) ([]leftovers.Owner, error) {
	owners, err := leftovers.ParseOwners(names)
	switch {
	case err != nil:
	case slices.Contains(owners, leftovers.Fairlead):
		err = errors.New("fairlead cannot replace itself")
	case slices.Contains(owners, leftovers.Flannel) && network.overlayMode != "" && !network.flannel:
		err = errors.New("flannel's devices and routes conflict with --overlay: set --flannel-compat, which takes them over")
	}
	return owners, err
}
