// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"errors"
	"fmt"
	"net/netip"

	"fairlead/internal/inet"
)

// Mode says how packets get to pods on other nodes.
type Mode uint8

const (
	// VXLAN sends them through a tunnel, on any network between the nodes.
	VXLAN Mode = iota
	// Direct sends them to the node itself if it is in the same subnet, and through the
	// tunnel otherwise.
	Direct
	// HostGateway sends them to the node itself, which must be in the same subnet.
	HostGateway
	// None leaves them to another program, and removes what another mode created.
	None
)

// String returns the mode as ParseMode reads it.
func (m Mode) String() string {
	switch m {
	case VXLAN:
		return "vxlan"
	case Direct:
		return "vxlan-direct"
	case HostGateway:
		return "host-gw"
	case None:
		return "none"
	}
	return fmt.Sprintf("mode %d", uint8(m))
}

// ParseMode is the reverse of Mode.String.
func ParseMode(s string) (Mode, error) {
	for m := VXLAN; m <= None; m++ {
		if s == m.String() {
			return m, nil
		}
	}
	return 0, fmt.Errorf("parse overlay mode %q: want vxlan, vxlan-direct, host-gw or none", s)
}

// Defaults. VNI and port are those of flannel, so that nodes can be migrated one by
// one. The protocol number is unassigned in the kernel and in /etc/iproute2.
const (
	DefaultVNI      = 1
	DefaultPort     = 8472
	DefaultProtocol = 102
	DefaultMark     = 0x2000
	DefaultDevice4  = "fairlead.1"
	DefaultDevice6  = "fairlead-v6.1"
)

// ReplyTable is the number of a routing table, and the priority of the rule that leads
// there. Earlier versions had routes for replies to nodes in it. No plan has any, so they are
// removed.
const ReplyTable = 8472

// Config is what all nodes of a cluster agree on. The zero value of a field is
// its default.
type Config struct {
	Mode Mode
	VNI  uint32 // 1
	Port uint16 // 8472
	// Device4 and Device6 name the devices whose tunnels run over IPv4 and IPv6:
	// fairlead.1 and fairlead-v6.1. Both carry pods of both families.
	Device4, Device6 string
	// TakeOver keeps a compatible device that another program made, even with a lower
	// link, and replaces its routes in place, so that no packet is lost. It serves nodes
	// that come from flannel, together with flannel's device names.
	TakeOver bool
	// MTU is that of pods. 0 derives it from the egress interface, minus the overhead of
	// the tunnel.
	MTU int
	// Protocol is the number that marks the overlay's routes: 102.
	Protocol uint8
	// ReplyMark is the bit that a packet filter sets in the mark of packets that answer
	// connections which came through the tunnel from nodes' own addresses, while they carry the
	// address of a gateway: 0x2000.
	ReplyMark uint32
	// ClusterCIDRs contain all pod CIDRs of their families. A family without any is not
	// checked.
	ClusterCIDRs []netip.Prefix
	// ServiceCIDRs must not overlap them.
	ServiceCIDRs []netip.Prefix
	// Uplink selects the address by which this node sends to others.
	Uplink Uplink
}

// WithDefaults returns c with defaults for zero fields.
func (c Config) WithDefaults() Config {
	if c.VNI == 0 {
		c.VNI = DefaultVNI
	}
	if c.Port == 0 {
		c.Port = DefaultPort
	}
	if c.Device4 == "" {
		c.Device4 = DefaultDevice4
	}
	if c.Device6 == "" {
		c.Device6 = DefaultDevice6
	}
	if c.ReplyMark == 0 {
		c.ReplyMark = DefaultMark
	}
	if c.Protocol == 0 {
		c.Protocol = DefaultProtocol
	}
	return c
}

// Limits of the kernel.
const (
	maxVNI     = 1<<24 - 1
	maxName    = 15   // IFNAMSIZ, less the final zero
	minMTU4    = 576  // RFC 791: what every host must take
	minMTU6    = 1280 // RFC 8200; below it the kernel takes IPv6 off the device
	maxMTU     = 65535
	rtprotBoot = 3 // up to RTPROT_BOOT, numbers are the kernel's own; 4 is RTPROT_STATIC
)

// Validate returns an error for each field that is wrong.
func (c Config) Validate() error {
	c = c.WithDefaults()
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Mode > None {
		bad("overlay mode %d is unknown", c.Mode)
	}
	if c.VNI > maxVNI {
		bad("overlay VNI %d does not fit in 24 bits", c.VNI)
	}
	for _, name := range []string{c.Device4, c.Device6} {
		if !validName(name) {
			bad("overlay device name %q is not a valid Linux device name", name)
		}
	}
	if c.Device4 == c.Device6 {
		bad("overlay devices for IPv4 and IPv6 have the same name %q", c.Device4)
	}
	if c.ReplyMark&(c.ReplyMark-1) != 0 {
		bad("overlay mark %#x is not one bit", c.ReplyMark)
	}
	if c.MTU != 0 && (c.MTU < minMTU4 || c.MTU > maxMTU) {
		bad("overlay MTU %d is not in %d..%d", c.MTU, minMTU4, maxMTU)
	}
	if c.Protocol <= rtprotBoot+1 {
		bad("overlay route protocol %d is the kernel's or the administrator's own", c.Protocol)
	}
	return errors.Join(append(errs, c.Uplink.Validate())...)
}

// validName reports whether the kernel accepts a device name (dev_valid_name).
func validName(name string) bool {
	if name == "" || len(name) > maxName || name == "." || name == ".." {
		return false
	}
	for _, r := range name {
		if r == '/' || r == ':' || r <= ' ' || r > '~' {
			return false
		}
	}
	return true
}

func (c Config) device(f inet.Family) string {
	if f == inet.IPv4 {
		return c.Device4
	}
	return c.Device6
}
