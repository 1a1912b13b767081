// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"

	"fairlead/internal/inet"
	"fairlead/internal/nl"
	"fairlead/overlay"

	"golang.org/x/sys/unix"
)

// View is what the kernel says about links and addresses.
type View struct {
	Links []Link
	// Net is the underlay: all links except those of the overlay.
	Net overlay.Underlay
	// Defaults means that default routes matter and were read.
	Defaults bool
}

// Link returns the device of a name, or nil.
func (v *View) Link(name string) *Link {
	for i := range v.Links {
		if v.Links[i].Name == name {
			return &v.Links[i]
		}
	}
	return nil
}

// skipStats is RTEXT_FILTER_SKIP_STATS, which leaves out counters, most of a dump.
const skipStats = 1 << 3

// Look reads links and addresses, default routes where an underlay address of the
// node is on no link, and the link towards canReach if that is an address.
func (s *Conn) Look(ours func(*Link) bool, underlay [2]netip.Addr, canReach netip.Addr) (*View, error) {
	view := &View{}
	err := s.repeat("links", func() error {
		view.Links = view.Links[:0]
		return s.dump(unix.RTM_GETLINK, make([]byte, unix.SizeofIfInfomsg), func(r *nl.Messages) {
			r.U32(unix.IFLA_EXT_MASK, skipStats)
		}, func(m nl.Reply) {
			if l, ok := decodeLink(m.Body); ok {
				view.Links = append(view.Links, l)
			}
		})
	})
	if err != nil {
		return nil, err
	}
	at := map[int32]int{}
	for i := range view.Links {
		l := &view.Links[i]
		if ours(l) {
			continue
		}
		at[l.Index] = len(view.Net.Links)
		view.Net.Links = append(view.Net.Links, overlay.Link{Name: l.Name, MTU: l.MTU, Up: l.Up(), Loopback: l.Flags&unix.IFF_LOOPBACK != 0})
	}
	if err := view.readAddresses(s, at); err != nil {
		return nil, err
	}
	for _, a := range underlay {
		if l, _ := view.Net.Bearing(a); a.IsValid() && (l == nil || l.Loopback) {
			view.Defaults = true
		}
	}
	if view.Defaults {
		if err := view.readDefaults(s, at); err != nil {
			return nil, err
		}
	}
	if canReach.IsValid() {
		view.Defaults = true // The answer may change with any default route.
		err = view.readToward(s, at, canReach)
	}
	return view, err
}

// readToward asks for the link by which the kernel sends to an address. An address
// without a route has none.
func (v *View) readToward(s *Conn, at map[int32]int, to netip.Addr) error {
	body := make([]byte, unix.SizeofRtMsg)
	body[0], body[1] = osFamily(to), byte(to.BitLen())
	err := s.get(unix.RTM_GETROUTE, body, func(r *nl.Messages) { r.Attr(unix.RTA_DST, to.AsSlice()...) }, func(m nl.Reply) {
		if len(m.Body) < unix.SizeofRtMsg {
			return
		}
		if i, known := at[int32(nl.U32(nl.Attr(m.Body[unix.SizeofRtMsg:], unix.RTA_OIF)))]; known {
			v.Net.Toward = v.Net.Links[i].Name
		}
	})
	if errors.Is(err, unix.ENETUNREACH) || errors.Is(err, unix.EHOSTUNREACH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read route to %s: %w", to, err)
	}
	return nil
}

// readAddresses reads the addresses of links. The kernel lists the newest one of IPv6 first, which
// is often one for privacy. Such an address and a deprecated one come last, so that tunnels
// begin there only without another one.
func (v *View) readAddresses(s *Conn, at map[int32]int) error {
	passing := map[int32][]netip.Prefix{}
	err := s.repeat("addresses", func() error {
		clear(passing)
		for i := range v.Net.Links {
			v.Net.Links[i].Addrs = nil
		}
		return s.dump(unix.RTM_GETADDR, make([]byte, unix.SizeofIfAddrmsg), nil, func(m nl.Reply) {
			f, ok := decodeAddress(m.Body)
			if i, known := at[f.Index]; !ok || !known {
				return
			} else if f.passing {
				passing[f.Index] = append(passing[f.Index], f.Dst)
			} else {
				v.Net.Links[i].Addrs = append(v.Net.Links[i].Addrs, f.Dst)
			}
		})
	})
	for index, list := range passing {
		l := &v.Net.Links[at[index]]
		l.Addrs = append(l.Addrs, list...)
	}
	return err
}

// readDefaults marks the links of each family's default route with the lowest metric, which is
// the one that the kernel takes.
func (v *View) readDefaults(s *Conn, at map[int32]int) error {
	for _, family := range inet.Families() {
		var links []int32
		err := s.repeat("routes", func() error {
			links = nil
			best := uint32(math.MaxUint32)
			return dumpRoutes(s, family, unix.RT_TABLE_MAIN, 0, func(m nl.Reply) {
				found, metric := decodeDefault(m.Body)
				found = slices.DeleteFunc(found, func(index int32) bool { _, known := at[index]; return !known })
				if len(found) > 0 && (links == nil || metric < best) {
					links, best = found, metric
				}
			})
		})
		if err != nil {
			return err
		}
		for _, index := range links {
			v.Net.Links[at[index]].Default[family] = true
		}
	}
	return nil
}

// dumpRoutes reads a table, and of that the routes of one protocol only unless it
// is 0. A table without routes may not exist.
func dumpRoutes(s *Conn, f inet.Family, table uint32, protocol uint8, each func(nl.Reply)) error {
	body := make([]byte, unix.SizeofRtMsg)
	body[0], body[5] = osFamilyOf(f), protocol
	err := s.dump(unix.RTM_GETROUTE, body, func(r *nl.Messages) { r.U32(unix.RTA_TABLE, table) }, only(body[0], each))
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

// dumpRules reads the routing rules of a family. A kernel without policy routing
// has none.
func dumpRules(s *Conn, f inet.Family, each func(nl.Reply)) error {
	body := make([]byte, unix.SizeofRtMsg) // struct fib_rule_hdr
	body[0] = osFamilyOf(f)
	err := s.dump(unix.RTM_GETRULE, body, nil, only(body[0], each))
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EAFNOSUPPORT) {
		return nil
	}
	return err
}

// only passes on objects of a family. A kernel without that family answers with the
// objects of all others.
func only(family byte, each func(nl.Reply)) func(nl.Reply) {
	return func(m nl.Reply) {
		if len(m.Body) > 0 && m.Body[0] == family {
			each(m)
		}
	}
}

func osFamilyOf(f inet.Family) byte {
	if f == inet.IPv4 {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// dumpNeighbours reads the neighbours of a device, or its FDB for family AF_BRIDGE.
func dumpNeighbours(s *Conn, family byte, index int32, each func(nl.Reply)) error {
	body := make([]byte, unix.SizeofNdMsg)
	body[0] = family
	if family == unix.AF_BRIDGE {
		binary.NativeEndian.PutUint32(body[4:], uint32(index))
		return s.dump(unix.RTM_GETNEIGH, body, nil, only(family, each))
	}
	return s.dump(unix.RTM_GETNEIGH, body, func(r *nl.Messages) { r.U32(unix.NDA_IFINDEX, uint32(index)) }, only(family, each))
}

// Snapshot is what the kernel holds of the overlay.
type Snapshot struct {
	overlay.Entries
	// Extras are entries with the key of another entry; all of them have to be removed.
	Extras []Found
}

// Load reads the entries of the overlay: those on its devices, whose names devices has
// by index, and routes and rules with its protocol. names returns the name of any
// device.
func (s *Conn) Load(cfg *overlay.Config, devices map[int32]string, names func(int32) string) (*Snapshot, error) {
	l := &Snapshot{}
	err := s.repeat("entries", func() error {
		*l = Snapshot{Entries: make(overlay.Entries, len(l.Entries))}
		return l.read(s, cfg, devices, names)
	})
	return l, err
}

func (l *Snapshot) read(s *Conn, cfg *overlay.Config, devices map[int32]string, names func(int32) string) error {
	note := func(m nl.Reply) {
		f, ok := decodeEntry(m, cfg.Protocol)
		if !ok && f.foreign(cfg.TakeOver, func(i int32) bool { _, ours := devices[i]; return ours }) {
			f.Odd, ok = true, true
		}
		if !ok || f.Transient {
			return
		}
		f.Device = names(f.Index)
		if f.Kind != overlay.Route && f.Kind != overlay.Rule {
			if _, ours := devices[f.Index]; !ours || Ignored(&f.Entry) {
				return
			}
		}
		switch other, taken := l.Entries[f.Key()]; {
		case !taken:
			l.Put(f.Entry)
		case f.Kind == overlay.Rule:
			// The kernel deletes the first rule that matches, whichever it is, so that both
			// have to go.
			other.Odd, f.Odd = true, true
			l.Put(other)
			l.Extras = append(l.Extras, f)
		case other != f.Entry: // else it was reported twice
			l.Extras = append(l.Extras, f)
		}
	}
	var errs []error
	for index := range devices {
		errs = append(errs,
			dumpNeighbours(s, unix.AF_INET, index, note),
			dumpNeighbours(s, unix.AF_INET6, index, note),
			dumpNeighbours(s, unix.AF_BRIDGE, index, note))
	}
	if len(devices) > 0 {
		errs = append(errs, s.dump(unix.RTM_GETADDR, make([]byte, unix.SizeofIfAddrmsg), nil, note))
	}
	protocol := cfg.Protocol
	if cfg.TakeOver {
		protocol = 0
	}
	for _, f := range inet.Families() {
		errs = append(errs, dumpRoutes(s, f, unix.RT_TABLE_MAIN, protocol, note),
			dumpRoutes(s, f, overlay.ReplyTable, cfg.Protocol, note), dumpRules(s, f, note))
	}
	for index := range devices {
		errs = append(errs, dumpLinkLocal(s, index, note))
	}
	return errors.Join(errs...)
}

// dumpLinkLocal reads the IPv4 link-local routes through a device, whoever made
// them.
func dumpLinkLocal(s *Conn, index int32, each func(nl.Reply)) error {
	body := make([]byte, unix.SizeofRtMsg)
	body[0] = unix.AF_INET
	return s.dump(unix.RTM_GETROUTE, body, func(r *nl.Messages) {
		r.U32(unix.RTA_TABLE, unix.RT_TABLE_MAIN)
		r.U32(unix.RTA_OIF, uint32(index))
	}, only(body[0], func(m nl.Reply) {
		if f, ok := decodeRoute(m.Body, 0); !ok && LinkLocal4(f.Dst) {
			each(m)
		}
	}))
}

// foreign reports whether f is a route through one of our devices that another
// program made and that has to go: any in a device that is taken over, and link-local
// ones in all, because they draw 169.254.169.254 into the tunnel. The kernel's own
// routes go with their addresses.
func (f *Found) foreign(takeOver bool, ours func(index int32) bool) bool {
	return f.Kind == overlay.Route && f.protocol > unix.RTPROT_KERNEL && ours(f.Index) && (takeOver || LinkLocal4(f.Dst))
}

// LinkLocal4 reports whether p lies in 169.254.0.0/16 (RFC 3927).
func LinkLocal4(p netip.Prefix) bool {
	return p.Bits() >= 16 && p.Addr().Is4() && p.Addr().IsLinkLocalUnicast()
}

// Ignored reports whether a device gave itself an address: only fe80::/10 is its
// own. dhcpcd, avahi and systemd-networkd add addresses of 169.254.0.0/16.
func Ignored(e *overlay.Entry) bool {
	return e.Kind == overlay.Address && e.Dst.Addr().Is6() && e.Dst.Addr().IsLinkLocalUnicast()
}
