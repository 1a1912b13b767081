// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"net/netip"
	"reflect"
	"slices"
	"unique"

	"fairlead/proxier/objects"
)

// packed is a slice in little memory: 12 bytes for each endpoint with an IPv4 address
// instead of 64. The endpoints of all Services are most of what an agent keeps of the API.
type packed struct {
	head objects.Slice // without endpoints
	// addrs are the addresses one after the other: of 4 bytes each, or of 17 bytes,
	// of which the first is the length of the address.
	addrs []byte
	// places are what is said of each endpoint besides its address.
	places []unique.Handle[objects.Endpoint]
}

const (
	short = 4
	long  = 17
)

// pack returns the packed form of a slice. Addresses with a zone are no endpoints; they
// lose it.
func pack(s *objects.Slice) *packed {
	p := &packed{head: *s, places: make([]unique.Handle[objects.Endpoint], len(s.Endpoints))}
	p.head.Endpoints = nil
	size := short
	if slices.ContainsFunc(s.Endpoints, func(e objects.Endpoint) bool { return !e.Addr.Is4() }) {
		size = long
	}
	p.addrs = make([]byte, size*len(s.Endpoints))
	for i := range s.Endpoints {
		e := s.Endpoints[i]
		at := p.addrs[size*i:]
		if size == short {
			b := e.Addr.As4()
			copy(at, b[:])
		} else if e.Addr.IsValid() {
			at[0] = byte(copy(at[1:], e.Addr.AsSlice()))
		}
		e.Addr = netip.Addr{}
		p.places[i] = unique.Make(e)
	}
	return p
}

// unpack returns the slice, which belongs to the caller but for its ports.
func (p *packed) unpack() *objects.Slice {
	out := new(p.head)
	if len(p.places) == 0 {
		return out
	}
	out.Endpoints = make([]objects.Endpoint, len(p.places))
	size := len(p.addrs) / len(p.places)
	for i, place := range p.places {
		at := p.addrs[size*i:]
		out.Endpoints[i] = place.Value()
		switch {
		case size == short:
			out.Endpoints[i].Addr = netip.AddrFrom4([short]byte(at))
		case at[0] > 0:
			out.Endpoints[i].Addr, _ = netip.AddrFromSlice(at[1 : 1+at[0]])
		}
	}
	return out
}

// same reports whether two slices say the same, whenever they were changed.
func (p *packed) same(o *packed) bool {
	was := p.head
	was.Changed = o.head.Changed
	return bytes.Equal(p.addrs, o.addrs) && slices.Equal(p.places, o.places) && reflect.DeepEqual(&was, &o.head)
}
