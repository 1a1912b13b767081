// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package rebuild

import (
	"fmt"
	"math/bits"
	"net/netip"
	"slices"
	"strings"

	"fairlead/cmd/fairlead/view"
)

// Flags returns the flags of fairlead that give the configuration of a bundle, for objects
// in a file, and CNI files in a directory.
func Flags(c *view.Config, manifests, cniDir string) []string {
	t := &c.Table
	out := []string{"--manifests", manifests, "--node-name", t.NodeName, "--cluster-cidr", join(t.ClusterCIDRs), "--service-cidr", join(t.ServiceCIDRs)}
	add := func(set bool, args ...string) {
		if set {
			out = append(out, args...)
		}
	}
	out = append(out, "--nodeport-addresses="+strings.Join(t.NodePortAddresses, ","))
	add(t.MasqueradeMark != 0, "--masquerade-bit", fmt.Sprint(bits.TrailingZeros32(t.MasqueradeMark)))
	add(t.KeepInvalid, "--conntrack-tcp-be-liberal")
	add(t.MasqueradeAll, "--masquerade-all")
	add(t.BackendCounters, "--backend-counters")
	add(t.Masquerade, "--ip-masq", fmt.Sprintf("--ip-masq-nodes=%t", !t.KeepNodes))
	add(t.LocalMode != "", "--detect-local-mode", t.LocalMode)
	add(t.BridgeInterface != "", "--pod-bridge-interface", t.BridgeInterface)
	add(t.InterfaceNamePrefix != "", "--pod-interface-name-prefix", t.InterfaceNamePrefix)
	add(t.ExternalIPs != nil && len(t.ExternalIPs) == 0, "--external-ip-policy", "none")
	add(len(t.ExternalIPs) > 0, "--external-ip-policy", join(t.ExternalIPs))
	add(len(t.PodInterfaces) > 0, "--cni-conf-dir", cniDir, fmt.Sprintf("--pod-source-check=%t", len(t.CheckedInterfaces) > 0))
	add(slices.Contains(t.PodInterfaces, "cni0"), "--cni-plugin", "bridge")
	if o := t.Overlay; o != nil {
		add(true, "--overlay", o.Mode.String(), "--overlay-mtu", fmt.Sprint(o.MTU))
		add(o.VNI != 0, "--overlay-vni", fmt.Sprint(o.VNI))
		add(o.Port != 0, "--overlay-port", fmt.Sprint(o.Port))
		add(t.FlannelCompat, "--flannel-compat")
		for _, s := range o.Uplink.Interfaces {
			add(!strings.Contains(s, ","), "--underlay-interface", s)
		}
		for _, a := range o.Uplink.Addresses {
			add(a.IsValid(), "--underlay-address", a.String())
		}
	}
	return out
}

func join(list []netip.Prefix) string {
	words := make([]string, len(list))
	for i, p := range list {
		words[i] = p.String()
	}
	return strings.Join(words, ",")
}
