// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package flannel

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// Lease is what flannel's kube subnet manager says of a node in annotations of
// its Node: with it peers reach the node's pods. Arrays are by family, IPv4
// first; what is not there is zero.
type Lease struct {
	VNI    [2]uint32
	MACs   [2][6]byte    // of the VXLAN devices
	Public [2]netip.Addr // where to send to, unless overwritten
	// Overwrite is what an administrator wants Public to be.
	Overwrite [2]netip.Addr
}

// Prefix is where flannel's annotations are, unless it is told otherwise.
const Prefix = "flannel.alpha.coreos.com/"

// Names of the annotations, behind Prefix.
const (
	managed     = "kube-subnet-manager"
	backendType = "backend-type"
)

// perFamily are the annotations that each family has one of.
type perFamily struct{ data, public, overwrite string }

func annotationNames() [2]perFamily {
	return [2]perFamily{
		{"backend-data", "public-ip", "public-ip-overwrite"},
		{"backend-v6-data", "public-ipv6", "public-ipv6-overwrite"},
	}
}

// backendData is how flannel's VXLAN backend writes backend-data. The order of
// the fields is flannel's: it compares text.
type backendData struct {
	VNI     uint32
	VtepMAC string
}

// ParseLease reads the annotations of a Node. It returns nil for one that flannel
// never ran on, or with another backend than VXLAN. What cannot be used is left
// out of the lease and named in the error.
func ParseLease(annotations map[string]string) (*Lease, error) {
	if annotations[Prefix+managed] != "true" && !overwritten(annotations) {
		return nil, nil //nolint:nilnil // nil is the lease of a node without one
	}
	if t := annotations[Prefix+backendType]; t != "" && !strings.EqualFold(t, BackendVXLAN) {
		return nil, nil //nolint:nilnil // see above
	}
	l := &Lease{}
	var errs []error
	for f, name := range annotationNames() {
		if text := annotations[Prefix+name.data]; text != "" && text != "null" {
			if err := l.parseData(f, text); err != nil {
				errs = append(errs, fmt.Errorf("%s%s: %w", Prefix, name.data, err))
			}
		}
		for _, a := range []struct {
			name string
			to   *netip.Addr
		}{{name.public, &l.Public[f]}, {name.overwrite, &l.Overwrite[f]}} {
			text := annotations[Prefix+a.name]
			if text == "" {
				continue
			}
			addr, err := netip.ParseAddr(text)
			if err != nil || addr.Is4() != (f == 0) || addr.Zone() != "" {
				errs = append(errs, fmt.Errorf("%s%s: %q is not an IPv%d address", Prefix, a.name, text, []int{4, 6}[f]))
				continue
			}
			*a.to = addr
		}
	}
	return l, errors.Join(errs...)
}

func overwritten(annotations map[string]string) bool {
	for _, name := range annotationNames() {
		if annotations[Prefix+name.overwrite] != "" {
			return true
		}
	}
	return false
}

func (l *Lease) parseData(f int, text string) error {
	var d backendData
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		return fmt.Errorf("%q is not what flannel writes: %w", text, err)
	}
	mac, err := net.ParseMAC(d.VtepMAC)
	if err != nil || len(mac) != len(l.MACs[f]) || mac[0]&1 != 0 {
		return fmt.Errorf("VtepMAC %q is not the address of a device", d.VtepMAC)
	}
	l.VNI[f] = d.VNI
	copy(l.MACs[f][:], mac)
	return nil
}

// Address returns where to send packets for the node, by family: what flannel
// publishes follows what the administrator wants only when flannel starts again.
func (l *Lease) Address(f int) netip.Addr {
	if l.Overwrite[f].IsValid() {
		return l.Overwrite[f]
	}
	return l.Public[f]
}

// Annotations returns the annotations by which nodes with flannel reach a node
// that has this lease. Families without an address are left out.
func (l *Lease) Annotations() map[string]string {
	out := map[string]string{Prefix + managed: "true", Prefix + backendType: BackendVXLAN}
	for f, name := range annotationNames() {
		public := l.Address(f)
		if !public.IsValid() || l.MACs[f] == [6]byte{} {
			continue
		}
		// Two fields of plain text: this cannot fail.
		data, _ := json.Marshal(backendData{l.VNI[f], net.HardwareAddr(l.MACs[f][:]).String()})
		out[Prefix+name.data], out[Prefix+name.public] = string(data), public.String()
	}
	return out
}
