// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package sysctl

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"
)

// Setting is a file below /proc/sys and its required content.
type Setting struct {
	Path   string   // "net/ipv4/ip_forward"
	Want   string   // what Apply writes
	Also   []string // other values that will do
	Report bool     // an administrator's decision: Apply does not write it
	Device bool     // of a device that may go at any time: a missing file is no finding
	Module string   // that makes the file appear, if it may be missing
	Why    string   // the effect of any other value
}

// Config holds the facts that the list depends on.
type Config struct {
	IPv4, IPv6 bool   // families of pods
	Bridge     bool   // pods hang on a bridge
	Overlay    string // the overlay's device, once it exists
	// RouterAdvertised are devices with a default route that the kernel learnt
	// from a router; see the function of that name.
	RouterAdvertised []string
	// Localnet are devices, or "all" or "default", by which connections from
	// 127.0.0.1 leave for pods.
	Localnet []string
	// Path are the devices that packets of pods pass: of pods, of the overlay, and
	// uplinks.
	Path []string
	// Asymmetric is whether packets may come in by another device than replies
	// go out: more than one uplink, or direct routing beside the overlay.
	Asymmetric bool
}

// Needed returns the settings in the order in which they must be made.
func Needed(c Config) []Setting {
	var out []Setting
	if c.IPv4 {
		out = append(out, Setting{
			Path: "net/ipv4/ip_forward", Want: "1",
			Why: "packets from and to pods are not forwarded",
		}, Setting{
			// Writing ip_forward sets this, too, but another program may set it back.
			Path: "net/ipv4/conf/default/forwarding", Want: "1",
			Why: "new pods' devices copy it; packets from them are not forwarded",
		})
		for _, dev := range slices.Sorted(slices.Values(c.Path)) {
			out = append(out, Setting{
				// IPv4 uses the setting of the device that a packet comes from; IPv6 uses conf/all alone.
				Path: device("ipv4", dev, "forwarding"), Want: "1", Device: true,
				Why: "packets of pods that come in by this device are not forwarded",
			})
		}
	}
	if c.IPv6 {
		out = append(out, ipv6(c)...)
	}
	if c.Bridge {
		out = append(out, bridge(c)...)
	}
	if c.IPv4 && c.Overlay != "" {
		out = append(out, Setting{
			// The kernel uses the greater one of this and conf/all.
			Path: device("ipv4", c.Overlay, "rp_filter"), Want: "2",
			Why: "packets that nodes send through the tunnel while replies take another way are dropped",
		})
	}
	for _, dev := range slices.Sorted(slices.Values(c.Localnet)) {
		out = append(out, Setting{
			Path: device("ipv4", dev, "route_localnet"), Want: "1",
			Why: "connections of this node to 127.0.0.1 do not reach host ports and NodePorts",
		})
	}
	if c.IPv4 && c.Asymmetric {
		out = append(out, Setting{
			Path: "net/ipv4/conf/all/rp_filter", Want: "2", Also: []string{"0"}, Report: true,
			Why: "packets that come in by another device than replies go out are dropped",
		})
		for _, dev := range slices.Sorted(slices.Values(c.Path)) {
			out = append(out, Setting{
				Path: device("ipv4", dev, "rp_filter"), Want: "2", Also: []string{"0"}, Report: true, Device: true,
				Why: "packets that come in by this device while replies take another are dropped",
			})
		}
	}
	return out
}

func ipv6(c Config) []Setting {
	var out []Setting
	for _, dev := range slices.Sorted(slices.Values(c.RouterAdvertised)) {
		out = append(out, Setting{
			// Before forwarding: turning that on removes the route at once
			// (addrconf.c, rt6_purge_dflt_routers).
			Path: device("ipv6", dev, "accept_ra"), Want: "2", Also: []string{"0"},
			Why: "a node that forwards does not listen to routers, and loses its IPv6 default route",
		})
	}
	for _, which := range []string{"all", "default"} {
		out = append(out, Setting{
			Path: "net/ipv6/conf/" + which + "/disable_ipv6", Want: "0", Report: true,
			Why: "pods' devices get no IPv6 address, and pods do not start",
		})
	}
	return append(out, Setting{
		Path: "net/ipv6/conf/all/forwarding", Want: "1",
		Why: "packets from and to pods are not forwarded",
	})
}

func bridge(c Config) []Setting {
	var out []Setting
	add := func(file string) {
		out = append(out, Setting{
			Path: "net/bridge/" + file, Want: "1", Module: "br_netfilter",
			Why: "a Service whose endpoint is on the client's node does not work: the reply is switched past the translation",
		})
	}
	if c.IPv4 {
		add("bridge-nf-call-iptables")
	}
	if c.IPv6 {
		add("bridge-nf-call-ip6tables")
	}
	return out
}

// device is a setting of one device, whose name may have dots.
func device(family, dev, file string) string {
	return "net/" + family + "/conf/" + dev + "/" + file
}

// Name is the setting's name for sysctl(8), where a dot in the name of a device
// is a slash.
func (s Setting) Name() string {
	return strings.Map(func(r rune) rune {
		switch r {
		case '/':
			return '.'
		case '.':
			return '/'
		}
		return r
	}, s.Path)
}

func (s Setting) ok(have string) bool { return have == s.Want || slices.Contains(s.Also, have) }

// Finding is a setting whose value differs from the required one.
type Finding struct {
	Setting
	Have string // empty where it could not be read
	Err  error  // why it could not be read or set
}

// String describes the wrong value, its effect, and the command to run on the node.
func (f Finding) String() string {
	evidence, remedy := f.Parts()
	return evidence + "; on the node: " + remedy
}

// Parts returns the wrong value with its effect, and the command to run on the node.
func (f Finding) Parts() (evidence, remedy string) {
	var b strings.Builder
	if f.Have != "" {
		fmt.Fprintf(&b, "%s is %s, not %s: %s", f.Name(), f.Have, f.Want, f.Why)
	} else {
		fmt.Fprintf(&b, "%s is not known: if it is not %s, %s", f.Name(), f.Want, f.Why)
	}
	if f.Err != nil {
		fmt.Fprintf(&b, " (%v)", f.Err)
	}
	if f.Module != "" && errors.Is(f.Err, fs.ErrNotExist) {
		remedy = "modprobe " + f.Module + " && "
	}
	remedy += fmt.Sprintf("sysctl -w %s=%s", f.Name(), f.Want)
	if errors.Is(f.Err, syscall.EROFS) {
		remedy += ", or let the agent do it: give it the node's /proc/sys/net, or securityContext.privileged: /proc/sys is read-only in its container"
	}
	return b.String(), remedy
}

// Check returns the settings that have a wrong value, in the order of needed. read
// returns the content of a file below /proc/sys.
func Check(needed []Setting, read func(path string) (string, error)) []Finding {
	var out []Finding
	for _, s := range needed {
		have, err := read(s.Path)
		have = strings.TrimSpace(have)
		if s.Device && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			out = append(out, Finding{Setting: s, Err: err})
		} else if !s.ok(have) {
			out = append(out, Finding{Setting: s, Have: have})
		}
	}
	return out
}
