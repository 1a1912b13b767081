// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package inet

import (
	"encoding/binary"
	"net/netip"
	"slices"
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
	for i := range n {
		record := encode(at(i), size)
		out.Write(record[:size])
	}
	return AddrPorts{out.String()}
}

// encode returns a record of a size.
func encode(item netip.AddrPort, size int) (b [longRecord]byte) {
	addr := item.Addr()
	switch {
	case size == shortRecord:
		*(*[4]byte)(b[:]) = addr.As4()
	case addr.Is4():
		b[0] = 4
		*(*[4]byte)(b[1:]) = addr.As4()
	case addr.IsValid():
		b[0] = 16
		*(*[16]byte)(b[1:]) = addr.As16()
	}
	binary.BigEndian.PutUint16(b[size-2:], item.Port())
	return b
}

// AddrPortsOf returns a sorted list.
func AddrPortsOf(items ...netip.AddrPort) AddrPorts {
	items = slices.SortedFunc(slices.Values(items), netip.AddrPort.Compare)
	return PackAddrPorts(len(items), func(i int) netip.AddrPort { return items[i] })
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

// Common returns how many items from the i-th on are those of another list from the j-th on. It compares
// blocks, so it costs a fraction of a comparison one by one.
func (l AddrPorts) Common(i int, o AddrPorts, j int) int {
	n, most := 0, min(l.Len()-i, o.Len()-j)
	if most <= 0 || l.records[0] != o.records[0] {
		return 0
	}
	size := int(l.records[0])
	a, b := l.records[1+i*size:], o.records[1+j*size:]
	for block := 1 << 8; block > 0; block >>= 4 {
		for n+block <= most && a[n*size:(n+block)*size] == b[n*size:(n+block)*size] {
			n += block
		}
	}
	return n
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
