// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"fairlead/internal/inet"
	"fairlead/internal/netns"
	"fairlead/internal/nl"
	"fairlead/overlay"
)

// ErrForeignDevice means that a device of another kind has the name of an overlay
// device. It stays in place.
var ErrForeignDevice = errors.New("the device belongs to another program")

// compatible reports whether l can be changed into d. The kernel cannot change VNI,
// port, lower link and some flags of a VXLAN device.
func compatible(d overlay.Device, l *Link) bool {
	x := &l.VXLAN
	return x.VNI == d.VNI && x.Port == d.Port && !x.Odd && (d.Lower || !x.Lower) && x.Local.IsValid() && inet.FamilyOf(x.Local) == inet.FamilyOf(d.Local)
}

// Same reports whether l is what d describes.
func Same(d overlay.Device, l *Link) bool {
	return compatible(d, l) && l.VXLAN.Local == d.Local && !l.VXLAN.Learning && l.MTU == d.MTU && l.MAC == d.MAC &&
		l.Up() && !l.SpeaksLL && l.Alias == overlay.Alias
}

// Ensure creates or changes the device that d describes, and reports whether it wrote.
// have is the device of that name in the kernel, or nil. A VXLAN device that cannot be
// changed is replaced; a device of another kind is ErrForeignDevice.
func (s *Conn) Ensure(ns *netns.NS, d overlay.Device, have *Link) (wrote bool, err error) {
	switch {
	case have == nil:
	case have.Kind != "vxlan":
		return false, fmt.Errorf("keep device %s: it is of kind %q: %w", d.Name, have.Kind, ErrForeignDevice)
	case Same(d, have):
		return false, nil
	case compatible(d, have):
		return true, s.change(d, have)
	default:
		if err := s.DeleteLink(have); err != nil {
			return true, err
		}
	}
	if err := s.request(func(r *nl.Messages) { encodeCreate(r, d) }); err != nil {
		return true, fmt.Errorf("create device %s: %w", d.Name, err)
	}
	if err := s.silence(ns, d); err != nil {
		return true, err
	}
	if err := s.request(func(r *nl.Messages) {
		begin(r, unix.RTM_NEWLINK, 0, 0, unix.IFF_UP)
		r.String(unix.IFLA_IFNAME, d.Name)
		r.String(unix.IFLA_IFALIAS, overlay.Alias)
	}); err != nil {
		return true, fmt.Errorf("set device %s up: %w", d.Name, err)
	}
	return true, nil
}

// begin starts a message about a link. set are flags of struct ifinfomsg to set.
func begin(r *nl.Messages, kind uint16, flags int, index int32, set uint32) {
	body := make([]byte, unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(body[4:], uint32(index))
	binary.NativeEndian.PutUint32(body[8:], set)
	binary.NativeEndian.PutUint32(body[12:], set)
	r.Begin(kind, flags, body...)
}

// encodeCreate creates the device together with its MAC, because udev with
// MACAddressPolicy=persistent replaces a MAC that the kernel made up. The device has no
// IFLA_VXLAN_LINK, so it outlives the interface below it, and packets take the route to
// the peer.
func encodeCreate(r *nl.Messages, d overlay.Device) {
	begin(r, unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, 0, 0)
	r.String(unix.IFLA_IFNAME, d.Name)
	r.U32(unix.IFLA_MTU, uint32(d.MTU))
	r.Attr(unix.IFLA_ADDRESS, d.MAC[:]...)
	r.Nest(unix.IFLA_LINKINFO, func() {
		r.String(unix.IFLA_INFO_KIND, "vxlan")
		r.Nest(unix.IFLA_INFO_DATA, func() {
			r.U32(unix.IFLA_VXLAN_ID, d.VNI)
			r.Attr(unix.IFLA_VXLAN_PORT, binary.BigEndian.AppendUint16(nil, d.Port)...)
			r.Attr(unix.IFLA_VXLAN_LEARNING, 0)
			encodeLocal(r, d.Local)
		})
	})
}

// encodeLocal adds the source address of the tunnels.
func encodeLocal(r *nl.Messages, a netip.Addr) {
	kind := uint16(unix.IFLA_VXLAN_LOCAL)
	if a.Is6() {
		kind = unix.IFLA_VXLAN_LOCAL6
	}
	r.Attr(kind, a.AsSlice()...)
}

// silence keeps the device from generating an IPv6 address and from accepting router
// advertisements. A tunnel without flooding has no use for either.
func (s *Conn) silence(ns *netns.NS, d overlay.Device) error {
	err := s.request(func(r *nl.Messages) {
		begin(r, unix.RTM_NEWLINK, 0, 0, 0)
		r.String(unix.IFLA_IFNAME, d.Name)
		encodeNoAddress(r)
	})
	if err != nil && !errors.Is(err, unix.EAFNOSUPPORT) { // ipv6.disable=1
		return fmt.Errorf("silence device %s: %w", d.Name, err)
	}
	refuse := func() error {
		err := os.WriteFile(filepath.Join("/proc/sys/net/ipv6/conf", d.Name, "accept_ra"), []byte("0"), 0)
		// The kernel may lack IPv6, or /proc/sys may be read-only. The latter does no harm
		// on a node that forwards, which accepts advertisements only if accept_ra is 2.
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.EROFS) || errors.Is(err, os.ErrPermission) {
			return nil
		}
		return err
	}
	if ns == nil {
		err = refuse()
	} else {
		err = ns.Do(refuse)
	}
	if err != nil {
		return fmt.Errorf("set accept_ra of device %s: %w", d.Name, err)
	}
	return nil
}

// encodeNoAddress turns off the generation of IPv6 addresses.
func encodeNoAddress(r *nl.Messages) {
	r.Nest(unix.IFLA_AF_SPEC, func() {
		r.Nest(unix.AF_INET6, func() { r.Attr(addrGenMode, addrGenModeNone) })
	})
}

// change writes the differences between a compatible device and d.
func (s *Conn) change(d overlay.Device, have *Link) error {
	var err error
	if have.VXLAN.Local != d.Local || have.VXLAN.Learning {
		// A request of its own, because the kernel refuses it together with an MTU.
		err = s.request(func(r *nl.Messages) {
			begin(r, unix.RTM_NEWLINK, 0, have.Index, 0)
			r.Nest(unix.IFLA_LINKINFO, func() {
				r.String(unix.IFLA_INFO_KIND, "vxlan")
				r.Nest(unix.IFLA_INFO_DATA, func() {
					r.Attr(unix.IFLA_VXLAN_LEARNING, 0)
					encodeLocal(r, d.Local)
				})
			})
		})
	}
	err = errors.Join(err, s.request(func(r *nl.Messages) {
		begin(r, unix.RTM_NEWLINK, 0, have.Index, unix.IFF_UP)
		if have.MTU != d.MTU {
			r.U32(unix.IFLA_MTU, uint32(d.MTU))
		}
		if have.MAC != d.MAC {
			r.Attr(unix.IFLA_ADDRESS, d.MAC[:]...)
		}
		if have.Alias != overlay.Alias {
			r.String(unix.IFLA_IFALIAS, overlay.Alias)
		}
		if have.SpeaksLL {
			encodeNoAddress(r)
		}
	}))
	if err != nil {
		return fmt.Errorf("change device %s: %w", d.Name, err)
	}
	return nil
}

// DeleteLink deletes a device; one that is not there is no error.
func (s *Conn) DeleteLink(l *Link) error {
	err := s.request(func(r *nl.Messages) { begin(r, unix.RTM_DELLINK, 0, l.Index, 0) })
	if err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("delete device %s: %w", l.Name, err)
	}
	return nil
}
