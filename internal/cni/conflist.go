// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package cni

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
)

// Plugin is the plugin that makes a pod's link.
type Plugin string

// The plugins that a conflist can be rendered for. See ADR 12.
const (
	PTP    Plugin = "ptp"    // a veth per pod, everything is routed
	Bridge Plugin = "bridge" // a bridge port per pod; needs br_netfilter for Services
)

// Config uses these where a field is its zero value.
const (
	DefaultName   = "fairlead"
	DefaultBridge = "cni0"
	// DefaultDataDir is where host-local notes which addresses are taken. It
	// forgets them at boot, as the kernel forgets the pods. On a disk, addresses
	// of pods that died with the machine would stay taken
	// (kubernetes/kubernetes#57280, containernetworking/plugins#252).
	DefaultDataDir = "/run/fairlead/ipam"
	// FlannelName and FlannelDataDir are those of flannel's conflist, with
	// DefaultBridge. On a node that migrates from flannel they prevent a second
	// use of its pods' addresses, and pods of both reach each other.
	FlannelName    = "cbr0"
	FlannelDataDir = "/var/lib/cni/networks" // host-local's own default
)

// version of the CNI specification that the conflist follows; containerd 1.6
// and plugins 1.0 know it.
const cniVersion = "1.0.0"

// Config holds the settings of a conflist. PodCIDRs are required.
type Config struct {
	Name     string         // of the network; the name of the directory of taken addresses, too
	Plugin   Plugin         // PTP by default
	PodCIDRs []netip.Prefix // this node's, one per family
	MTU      int            // of pods' devices; 0 leaves it to the kernel
	Bridge   string         // name of the bridge, for Plugin Bridge only
	DataDir  string         // absolute
}

// conflist and the types below are the parts of a CNI configuration in the
// order in which they are printed.
type conflist struct {
	CNIVersion string  `json:"cniVersion"`
	Name       string  `json:"name"`
	Plugins    []links `json:"plugins"`
}

type links struct {
	Type      Plugin `json:"type"`
	Bridge    string `json:"bridge,omitempty"`
	IsGateway bool   `json:"isGateway,omitempty"`
	// The bridge has the gateway address of a former pod CIDR otherwise, and
	// refuses another one (flannel-io/flannel#1850).
	ForceAddress bool `json:"forceAddress,omitempty"`
	HairpinMode  bool `json:"hairpinMode,omitempty"`
	IPMasq       bool `json:"ipMasq"` // explicit, for readers of the file
	MTU          int  `json:"mtu,omitempty"`
	IPAM         ipam `json:"ipam"`
}

type ipam struct {
	Type    string   `json:"type"`
	DataDir string   `json:"dataDir"`
	Ranges  [][]pool `json:"ranges"` // an address from each
	Routes  []route  `json:"routes"`
}

type pool struct {
	Subnet string `json:"subnet"`
}

type route struct {
	Dst string `json:"dst"`
}

// Conflist returns the text of the conflist. Equal Configs give equal texts, whatever
// the order of PodCIDRs.
func (c Config) Conflist() ([]byte, error) {
	c = c.withDefaults()
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("render conflist: %w", err)
	}
	p := links{Type: c.Plugin, MTU: c.MTU, IPAM: ipam{Type: "host-local", DataDir: c.DataDir}}
	if c.Plugin == Bridge {
		p.Bridge, p.IsGateway, p.ForceAddress, p.HairpinMode = c.Bridge, true, true, true
	}
	for _, is4 := range []bool{true, false} {
		for _, cidr := range c.PodCIDRs {
			if cidr.Addr().Is4() != is4 {
				continue
			}
			p.IPAM.Ranges = append(p.IPAM.Ranges, []pool{{Subnet: cidr.String()}})
			p.IPAM.Routes = append(p.IPAM.Routes, route{Dst: everywhere(is4)})
		}
	}
	text, err := json.MarshalIndent(conflist{CNIVersion: cniVersion, Name: c.Name, Plugins: []links{p}}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("render conflist: %w", err)
	}
	return append(text, '\n'), nil
}

// Plugins returns the names of the programs that the runtime will look for. It
// includes loopback, which containerd (up to 2.x, by default) runs for lo.
func (c Config) Plugins() []string {
	return []string{string(c.withDefaults().Plugin), "host-local", "loopback"}
}

func everywhere(is4 bool) string {
	if is4 {
		return "0.0.0.0/0"
	}
	return "::/0"
}

func (c Config) withDefaults() Config {
	set := func(s *string, value string) {
		if *s == "" {
			*s = value
		}
	}
	set(&c.Name, DefaultName)
	set(&c.Bridge, DefaultBridge)
	set(&c.DataDir, DefaultDataDir)
	if c.Plugin == "" {
		c.Plugin = PTP
	}
	return c
}

// validate reports all errors together.
func (c Config) validate() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	// libcni's rule for names of networks. They become names of directories.
	if !regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]*$`).MatchString(c.Name) {
		wrong("name: %q is not letters, digits, '_', '.' and '-'", c.Name)
	}
	if c.Plugin != PTP && c.Plugin != Bridge {
		wrong("plugin: %q is neither ptp nor bridge", c.Plugin)
	}
	if n := len(c.Bridge); n > 15 || !regexp.MustCompile(`^[^\s/:]+$`).MatchString(c.Bridge) || c.Bridge == "." || c.Bridge == ".." {
		wrong("bridge: %q is not the name of a device", c.Bridge)
	}
	if c.DataDir[0] != '/' {
		wrong("data directory: %q is not absolute", c.DataDir)
	}
	return errors.Join(append(errs, c.validateRanges())...)
}

func (c Config) validateRanges() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if len(c.PodCIDRs) == 0 {
		wrong("pod CIDRs: the node has none yet")
	}
	seen := map[int]netip.Prefix{}
	least := 68 // RFC 791
	for _, p := range c.PodCIDRs {
		if !p.IsValid() || p.Addr().Is4In6() {
			wrong("pod CIDRs: %s is not a CIDR", strconv.Quote(p.String()))
			continue
		}
		size := p.Addr().BitLen()
		if p.Addr().Is6() {
			least = 1280 // RFC 8200; the kernel takes IPv6 off a device with less
		}
		if other, again := seen[size]; again {
			wrong("pod CIDRs: %s and %s are of one family", other, p)
		}
		seen[size] = p
		if p != p.Masked() {
			wrong("pod CIDRs: %s has bits set behind its prefix; did you mean %s?", p, p.Masked())
		}
		if p.Bits() > size-2 { // host-local's limit
			wrong("pod CIDRs: %s has no room for a gateway and a pod", p)
		}
	}
	if c.MTU != 0 && (c.MTU < least || c.MTU > 65535) {
		wrong("MTU: %d is not from %d to 65535", c.MTU, least)
	}
	return errors.Join(errs...)
}
