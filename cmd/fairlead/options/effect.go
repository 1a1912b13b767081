// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package options

import (
	"strings"

	"github.com/spf13/pflag"

	"fairlead/overlay"
	"fairlead/proxier/resolve"
)

// withoutEffect returns a warning for each given flag that has no effect because
// another one is missing.
func withoutEffect(fs *pflag.FlagSet, n *networkFlags, localMode string) []Warning {
	overlayOn := n.overlayMode != "" && !strings.EqualFold(n.overlayMode, overlay.None.String())
	tunnels := overlayOn && !strings.EqualFold(n.overlayMode, overlay.HostGateway.String())
	writesCNI := n.cni.ConfDir != ""
	var out []Warning
	for _, need := range []struct {
		flags []string
		ok    bool
		text  string
	}{
		{[]string{"overlay-vni", "overlay-port"}, tunnels, "--overlay=vxlan or vxlan-direct"},
		{[]string{"overlay-mtu"}, overlayOn || writesCNI, "--overlay or --cni-conf-dir"},
		{[]string{"underlay-interface", "underlay-address"}, overlayOn, "--overlay"},
		{[]string{"ip-masq-nodes"}, n.ipMasq, "--ip-masq"},
		{[]string{"cni-plugin", "pod-source-check", "cni-bin-dir", "cni-data-dir", "cni-plugins-from"}, writesCNI, "--cni-conf-dir"},
		{[]string{"set-sysctls", "open-firewall", "set-node-network-available"}, n.active(), "--overlay or --cni-conf-dir"},
		{[]string{"pod-bridge-interface"}, localMode == resolve.LocalBridgeInterface, "--detect-local-mode=" + resolve.LocalBridgeInterface},
		{[]string{"pod-interface-name-prefix"}, localMode == resolve.LocalInterfaceNamePrefix, "--detect-local-mode=" + resolve.LocalInterfaceNamePrefix},
	} {
		for _, name := range need.flags {
			if f := fs.Lookup(name); !need.ok && f != nil && f.Changed {
				out = append(out, Warning{"--" + name, "has no effect without " + need.text})
			}
		}
	}
	return out
}
