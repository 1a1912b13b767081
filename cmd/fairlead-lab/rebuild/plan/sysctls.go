// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"maps"
	"slices"
	"strings"
)

// addSysctls adds the settings that a network namespace has of its own. A path of a bundle
// is taken only if it is one of a list and of a device that is built.
func (b *builder) addSysctls() {
	odd := 0
	var all, devices []Sysctl
	for _, path := range slices.Sorted(maps.Keys(b.Sysctls)) {
		value := b.Sysctls[path]
		file, device, ok := b.sysctl(path)
		switch {
		case ok && (value == "" || len(value) > 32 || strings.Trim(value, "-0123456789 \t") != ""):
			odd++
		case !ok:
		case device:
			devices = append(devices, Sysctl{file, value})
		default:
			all = append(all, Sysctl{file, value})
		}
	}
	if odd > 0 {
		b.leaveOut("%d kernel settings are left out, because their values are no numbers.", odd)
	}
	b.out.Sysctls = append(all, devices...)
}

// sysctl returns the path below /proc/sys/net, and whether it is of one device.
func (b *builder) sysctl(path string) (file string, device, ok bool) {
	file, ok = strings.CutPrefix(path, "net/")
	if !ok {
		return "", false, false
	}
	switch file {
	case "ipv4/ip_forward", "ipv4/ip_local_port_range", "bridge/bridge-nf-call-iptables", "bridge/bridge-nf-call-ip6tables",
		"netfilter/nf_conntrack_tcp_be_liberal":
		return file, false, true
	}
	parts := strings.Split(file, "/")
	if len(parts) != 4 || parts[0] != "ipv4" && parts[0] != "ipv6" || parts[1] != "conf" || !slices.Contains(deviceSysctls(), parts[3]) {
		return "", false, false
	}
	if parts[2] == "all" || parts[2] == "default" {
		return file, false, true
	}
	return file, true, b.kept[parts[2]] && parts[2] != ""
}

func deviceSysctls() []string {
	return []string{"forwarding", "rp_filter", "route_localnet", "disable_ipv6", "accept_ra", "proxy_arp", "proxy_ndp", "send_redirects"}
}
