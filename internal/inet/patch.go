// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package inet

import (
	"net/netip"
	"slices"
	"sort"
	"strings"
)

// Patch returns a sorted list without some of its items and with others, both sorted. It copies the
// others in blocks. It reports false if an item to be removed is not there, or one to be added is.
func (l AddrPorts) Patch(gone, came []netip.AddrPort) (AddrPorts, bool) {
	n := l.Len() - len(gone) + len(came)
	if !l.takes(came) {
		return l.rebuilt(gone, came)
	}
	size := int(l.records[0])
	var out strings.Builder
	out.Grow(1 + max(n, 0)*size)
	out.WriteByte(byte(size))
	from := 0
	for len(gone)+len(came) > 0 {
		var item netip.AddrPort
		add := len(gone) == 0 || len(came) > 0 && came[0].Compare(gone[0]) < 0
		if add {
			item, came = came[0], came[1:]
		} else {
			item, gone = gone[0], gone[1:]
		}
		at := from + sort.Search(l.Len()-from, func(i int) bool { return l.At(from+i).Compare(item) >= 0 })
		if has := at < l.Len() && l.At(at) == item; has == add {
			return AddrPorts{}, false
		}
		out.WriteString(l.records[1+from*size : 1+at*size])
		if from = at; add {
			record := encode(item, size)
			out.Write(record[:size])
		} else {
			from++
		}
	}
	out.WriteString(l.records[1+from*size:])
	return AddrPorts{out.String()}.canonical(), true
}

// takes reports whether a list that is not empty has records for other items.
func (l AddrPorts) takes(items []netip.AddrPort) bool {
	if l.Len() == 0 {
		return false
	}
	long := func(item netip.AddrPort) bool { return !item.Addr().Is4() }
	return l.records[0] == longRecord || !slices.ContainsFunc(items, long)
}

// rebuilt is Patch for a list that gets records of another size.
func (l AddrPorts) rebuilt(gone, came []netip.AddrPort) (AddrPorts, bool) {
	list := l.List()
	for _, item := range gone {
		i, found := slices.BinarySearchFunc(list, item, netip.AddrPort.Compare)
		if !found {
			return AddrPorts{}, false
		}
		list = slices.Delete(list, i, i+1)
	}
	for _, item := range came {
		i, found := slices.BinarySearchFunc(list, item, netip.AddrPort.Compare)
		if found {
			return AddrPorts{}, false
		}
		list = slices.Insert(list, i, item)
	}
	return PackAddrPorts(len(list), func(i int) netip.AddrPort { return list[i] }), true
}

// canonical returns the list as PackAddrPorts does: without long records if there are only IPv4
// addresses, which come first in order.
func (l AddrPorts) canonical() AddrPorts {
	switch n := l.Len(); {
	case n == 0:
		return AddrPorts{}
	case l.records[0] == longRecord && l.At(n-1).Addr().Is4():
		return PackAddrPorts(n, l.At)
	}
	return l
}
