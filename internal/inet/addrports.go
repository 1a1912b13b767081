// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package inet

import (
	"encoding/binary"
	"net/netip"
	"sort"
	"strings"
)

// AddrPorts is a list of addresses with ports that never changes and takes little memory:
// 6 bytes for each with an IPv4 address, where a netip.AddrPort takes 32. The zero value is
// an empty list. Zones are left out.
type AddrPorts struct {
	// records are all of one size, which their first byte gives.
	records string
}

// Sizes of a record: an IPv4 address and a port, or any address behind its length and
// a port.
const (
	shortRecord = 4 + 2
	longRecord  = 1 + 16 + 2
)

// PackAddrPorts returns a list of n items.
func PackAddrPorts(n int, at func(int) netip.AddrPort) AddrPorts {
	if n == 0 {
		return AddrPorts{}
	}
	size := shortRecord
	for i := 0; i < n && size == shortRecord; i++ {
		if !at(i).Addr().Is4() {
			size = longRecord
		}
	}
	var out strings.Builder
	out.Grow(1 + n*size)
	out.WriteByte(byte(size))
	var b [longRecord]byte
	for i := range n {
		item := at(i)
		if size == shortRecord {
			*(*[4]byte)(b[:]) = item.Addr().As4()
		} else {
			b = [longRecord]byte{}
			if addr := item.Addr(); addr.Is4() {
				b[0] = 4
				*(*[4]byte)(b[1:]) = addr.As4()
			} else if addr.IsValid() {
				b[0] = 16
				*(*[16]byte)(b[1:]) = addr.As16()
			}
		}
		binary.BigEndian.PutUint16(b[size-2:], item.Port())
		out.Write(b[:size])
	}
	return AddrPorts{out.String()}
}

// Len returns the number of items.
func (l AddrPorts) Len() int {
	if l.records == "" {
		return 0
	}
	return (len(l.records) - 1) / int(l.records[0])
}

// At returns an item, of which there are Len.
func (l AddrPorts) At(i int) netip.AddrPort {
	size := int(l.records[0])
	var b [longRecord]byte
	copy(b[:], l.records[1+i*size:][:size])
	var addr netip.Addr
	switch {
	case size == shortRecord:
		addr = netip.AddrFrom4([4]byte(b[:]))
	case b[0] == 4:
		addr = netip.AddrFrom4([4]byte(b[1:]))
	case b[0] == 16:
		addr = netip.AddrFrom16([16]byte(b[1:]))
	}
	return netip.AddrPortFrom(addr, binary.BigEndian.Uint16(b[size-2:]))
}

// List returns all items, nil for none.
func (l AddrPorts) List() []netip.AddrPort {
	if l.Len() == 0 {
		return nil
	}
	out := make([]netip.AddrPort, l.Len())
	for i := range out {
		out[i] = l.At(i)
	}
	return out
}

// Has reports whether a list that is sorted by netip.AddrPort.Compare has an item.
func (l AddrPorts) Has(item netip.AddrPort) bool {
	i := sort.Search(l.Len(), func(i int) bool { return l.At(i).Compare(item) >= 0 })
	return i < l.Len() && l.At(i) == item
}
