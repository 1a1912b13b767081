// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package flannel

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
)

// FileName is the name of the file, and of the ConfigMap's key.
const FileName = "net-conf.json"

// Backends that have a counterpart here.
const (
	BackendVXLAN  = "vxlan"
	BackendHostGW = "host-gw"
	BackendAlloc  = "alloc" // no overlay: routes are somebody else's
)

// NetConf is what counts of flannel's configuration.
type NetConf struct {
	// Path and Data are those of the file, when it was read from one.
	Path string
	Data []byte
	// Networks are the ranges of all pods, IPv4 first; a family that is off has none.
	Networks []netip.Prefix
	Backend  Backend
	// Unused names the fields that are set and not honoured, as in the file.
	Unused []string
}

// Backend is how packets get to other nodes.
type Backend struct {
	// Type is in lower case, as flannel reads it. One that is none of the Backend
	// constants is named in Unused, too.
	Type string
	// VNI is flannel's default, 1, when the file has none.
	VNI uint32
	// Port is the UDP port of VXLAN; 0 is the kernel's default, 8472.
	Port uint16
	// MTU is that of the underlay, from which flannel takes the overhead; 0 is that
	// of the interface.
	MTU int
	// DirectRouting asks for plain routes to nodes in the same subnet.
	DirectRouting bool
	Uplink        Uplink
}

// Read reads the file at path, or the one of FileName in the directory.
func Read(path string) (*NetConf, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, FileName)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	c, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	c.Path, c.Data = path, data
	return c, nil
}

// file is the JSON. Names of fields match in any case, as in flannel.
type file struct {
	Network, IPv6Network   string
	EnableIPv4, EnableIPv6 *bool
	Backend                *struct {
		Type          string
		VNI           *uint32
		Port          uint16
		MTU           int
		DirectRouting bool

		Iface, IfaceRegex                   names
		IfaceCanReach, PublicIP, PublicIPv6 string
	}
}

// Parse reads the text of a file. Everything that is wrong is said at once.
func Parse(data []byte) (*NetConf, error) {
	var f file
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, err // names the field
	}
	unused, err := unusedFields(data)
	if err != nil {
		return nil, err
	}
	c := &NetConf{Backend: Backend{Type: "udp", VNI: 1}, Unused: unused} // udp: flannel's default, whatever its manual says
	var errs []error
	add := func(field, text string, on, is4 bool) {
		p, err := netip.ParsePrefix(text)
		switch {
		case !on && text != "":
			c.Unused = append(c.Unused, field)
		case !on:
		case err != nil || p.Addr().Is4() != is4:
			errs = append(errs, fmt.Errorf("%s: %q is not a CIDR of its family", field, text))
		default:
			c.Networks = append(c.Networks, p.Masked())
		}
	}
	add("Network", f.Network, f.EnableIPv4 == nil || *f.EnableIPv4, true)
	add("IPv6Network", f.IPv6Network, f.EnableIPv6 != nil && *f.EnableIPv6, false)
	if b := f.Backend; b != nil {
		c.Backend = Backend{Type: strings.ToLower(b.Type), VNI: 1, Port: b.Port, MTU: b.MTU, DirectRouting: b.DirectRouting}
		c.Backend.Uplink = Uplink{
			Iface: b.Iface, IfaceRegex: b.IfaceRegex, IfaceCanReach: b.IfaceCanReach,
			PublicIP: b.PublicIP, PublicIPv6: b.PublicIPv6,
		}
		if b.VNI != nil {
			c.Backend.VNI = *b.VNI
		}
	}
	if c.Backend.VNI == 0 || c.Backend.VNI >= 1<<24 {
		errs = append(errs, fmt.Errorf("Backend.VNI: %d is not from 1 to 2^24 - 1", c.Backend.VNI))
	}
	if c.Backend.MTU < 0 {
		errs = append(errs, fmt.Errorf("Backend.MTU: %d is below 0", c.Backend.MTU))
	}
	switch c.Backend.Type {
	case BackendVXLAN, BackendHostGW, BackendAlloc:
	default:
		c.Unused = append(c.Unused, fmt.Sprintf("Backend.Type %q", c.Backend.Type))
	}
	return c, errors.Join(errs...)
}
