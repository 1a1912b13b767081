// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"net/netip"
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
// lose it. old is the slice before, or nil: most of its endpoints are there still.
func pack(s *objects.Slice, old *packed) *packed {
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
		if old != nil && i < len(old.places) && old.places[i].Value() == e {
			p.places[i] = old.places[i] // costs less than to search among all
		} else {
			p.places[i] = unique.Make(e)
		}
	}
	return p
}

// endpoints fills out with the endpoints, of which there are as many as places.
func (p *packed) endpoints(out []objects.Endpoint) {
	if len(p.places) == 0 {
		return
	}
	size := len(p.addrs) / len(p.places)
	for i, place := range p.places {
		at := p.addrs[size*i:]
		out[i] = place.Value()
		switch {
		case size == short:
			out[i].Addr = netip.AddrFrom4([short]byte(at))
		case at[0] > 0:
			out[i].Addr, _ = netip.AddrFromSlice(at[1 : 1+at[0]])
		}
	}
}

// Unpacked is memory for the slices of one Service after another. The zero value is ready for
// use by one goroutine.
type Unpacked struct {
	list      []*objects.Slice
	heads     []objects.Slice
	endpoints []objects.Endpoint
}

// mostUnpacked is how many endpoints memory is kept for. A Service with more is rare, and takes
// memory of its own.
const mostUnpacked = 1 << 10

// Slices returns what v.Slices does. The slices and their endpoints are valid until the next
// call.
func (u *Unpacked) Slices(v *View, pause func(endpoints int)) []*objects.Slice {
	n := v.CountEndpoints()
	if n > mostUnpacked || len(v.slices) > mostUnpacked {
		u = &Unpacked{}
	}
	u.list, u.heads = u.list[:0], slices.Grow(u.heads[:0], len(v.slices))
	u.endpoints = slices.Grow(u.endpoints[:0], n)[:n]
	free := u.endpoints
	for _, p := range v.slices {
		u.heads = append(u.heads, p.head)
		head := &u.heads[len(u.heads)-1]
		if of := len(p.places); of > 0 {
			head.Endpoints, free = free[:of:of], free[of:]
			p.endpoints(head.Endpoints)
		}
		u.list = append(u.list, head)
		pause(len(p.places))
	}
	return u.list
}

// same reports whether two slices say the same, whenever they were changed.
func (p *packed) same(o *packed) bool {
	return bytes.Equal(p.addrs, o.addrs) && slices.Equal(p.places, o.places) && p.sameHead(o)
}
