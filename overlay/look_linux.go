// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"fairlead/internal/inet"
	"fairlead/internal/nl"

	"golang.org/x/sys/unix"
)

// seen is what the kernel holds.
type seen struct {
	links []kernelLink
	// net is all of it but our own devices.
	net Underlay
	// defaults says that default routes were looked for.
	defaults bool
}

func (s *seen) link(name string) *kernelLink {
	for i := range s.links {
		if s.links[i].name == name {
			return &s.links[i]
		}
	}
	return nil
}

// skipStats is RTEXT_FILTER_SKIP_STATS: counters are most of what is dumped.
const skipStats = 1 << 3

// look reads links and addresses, and default routes where an underlay address
// of the node is on no link.
func look(s *conn, ours func(*kernelLink) bool, underlay [2]netip.Addr) (*seen, error) {
	view := &seen{}
	err := nl.Repeat("links", func() error {
		view.links = view.links[:0]
		return s.dump(unix.RTM_GETLINK, make([]byte, unix.SizeofIfInfomsg), func(r *nl.Messages) {
			r.U32(unix.IFLA_EXT_MASK, skipStats)
		}, func(m nl.Reply) {
			if l, ok := decodeLink(m.Body); ok {
				view.links = append(view.links, l)
			}
		})
	})
	if err != nil {
		return nil, err
	}
	at := map[int32]int{}
	for i := range view.links {
		l := &view.links[i]
		if ours(l) {
			continue
		}
		at[l.index] = len(view.net.Links)
		view.net.Links = append(view.net.Links, Link{Name: l.name, MTU: l.mtu, Up: l.up(), Loopback: l.flags&unix.IFF_LOOPBACK != 0})
	}
	if err := view.readAddresses(s, at); err != nil {
		return nil, err
	}
	for _, a := range underlay {
		if l, _ := view.net.bearing(a); a.IsValid() && (l == nil || l.Loopback) {
			view.defaults = true
		}
	}
	if view.defaults {
		err = view.readDefaults(s, at)
	}
	return view, err
}

func (v *seen) readAddresses(s *conn, at map[int32]int) error {
	return nl.Repeat("addresses", func() error {
		for i := range v.net.Links {
			v.net.Links[i].Addrs = nil
		}
		return s.dump(unix.RTM_GETADDR, make([]byte, unix.SizeofIfAddrmsg), nil, func(m nl.Reply) {
			f, ok := decodeAddress(m.Body)
			if i, known := at[f.index]; ok && known {
				v.net.Links[i].Addrs = append(v.net.Links[i].Addrs, f.Dst)
			}
		})
	})
}

func (v *seen) readDefaults(s *conn, at map[int32]int) error {
	for _, family := range inet.Families() {
		err := nl.Repeat("routes", func() error {
			return dumpRoutes(s, family, 0, func(m nl.Reply) {
				f, _ := decodeRoute(m.Body, 0)
				if i, known := at[f.index]; known && f.Dst.Bits() == 0 && !f.Odd {
					v.net.Links[i].Default[family] = true
				}
			})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// dumpRoutes reads the main table, and of that the routes of one protocol only
// unless it is 0.
func dumpRoutes(s *conn, f inet.Family, protocol uint8, each func(nl.Reply)) error {
	body := make([]byte, unix.SizeofRtMsg)
	body[0], body[5] = osFamilyOf(f), protocol
	return s.dump(unix.RTM_GETROUTE, body, func(r *nl.Messages) { r.U32(unix.RTA_TABLE, unix.RT_TABLE_MAIN) }, only(body[0], each))
}

// only passes on objects of a family: asked for one that it is built without,
// the kernel answers with all others.
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

// dumpNeighbours reads the neighbours of a device; family AF_BRIDGE is its FDB.
func dumpNeighbours(s *conn, family byte, index int32, each func(nl.Reply)) error {
	body := make([]byte, unix.SizeofNdMsg)
	body[0] = family
	if family == unix.AF_BRIDGE {
		binary.NativeEndian.PutUint32(body[4:], uint32(index))
		return s.dump(unix.RTM_GETNEIGH, body, nil, only(family, each))
	}
	return s.dump(unix.RTM_GETNEIGH, body, func(r *nl.Messages) { r.U32(unix.NDA_IFINDEX, uint32(index)) }, only(family, each))
}

// loaded is what the kernel holds of ours.
type loaded struct {
	Entries
	// extras are entries that have the same key as another; all have to go.
	extras []found
}

// load reads all entries that are ours: those on our devices, by index, and the
// routes with our protocol.
func load(s *conn, cfg *Config, devices map[int32]string, names func(int32) string) (*loaded, error) {
	l := &loaded{}
	err := nl.Repeat("entries", func() error {
		*l = loaded{Entries: make(Entries, len(l.Entries))}
		return l.read(s, cfg, devices, names)
	})
	return l, err
}

func (l *loaded) read(s *conn, cfg *Config, devices map[int32]string, names func(int32) string) error {
	note := func(m nl.Reply) {
		f, ok := decodeEntry(m, cfg.Protocol)
		if !ok && cfg.TakeOver && f.inherited(devices) {
			f.Odd, ok = true, true
		}
		if !ok || f.transient {
			return
		}
		f.Device = names(f.index)
		if f.Kind != Route {
			if _, ours := devices[f.index]; !ours || ignored(&f.Entry) {
				return
			}
		}
		switch other, taken := l.Entries[f.Key()]; {
		case !taken:
			l.put(f.Entry)
		case other != f.Entry: // else it was reported twice
			l.extras = append(l.extras, f)
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
		errs = append(errs, dumpRoutes(s, f, protocol, note))
	}
	return errors.Join(errs...)
}

// inherited reports whether f is a route through one of our devices that
// somebody made before the device was ours; the kernel makes its own.
func (f *found) inherited(devices map[int32]string) bool {
	_, ours := devices[f.index]
	return ours && f.Kind == Route && f.protocol > unix.RTPROT_KERNEL
}

// ignored are addresses that a device gives itself.
func ignored(e *Entry) bool { return e.Kind == Address && e.Dst.Addr().IsLinkLocalUnicast() }
