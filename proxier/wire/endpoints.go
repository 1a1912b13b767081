// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// endpoints decodes the endpoints of slices, which are most of what changes in a cluster. The
// generated decoder allocates up to seven objects for each; this one allocates one text for
// all of them. It reads what package convert reads: of several addresses the first one.
type endpoints struct {
	yes, no bool // what the conditions of all endpoints point to
	buf     []byte
	pieces  []piece
	texts   []string
}

// piece is a text of an endpoint, as a part of buf.
type piece struct {
	endpoint, start, end int
	field                protowire.Number
}

// Numbers of fields in generated.proto of k8s.io/api/discovery/v1.
const (
	endpointsOfSlice = 2

	addressesOfEndpoint  = 1
	conditionsOfEndpoint = 2
	nodeNameOfEndpoint   = 6
	zoneOfEndpoint       = 7
	hintsOfEndpoint      = 8

	readyOfConditions       = 1
	servingOfConditions     = 2
	terminatingOfConditions = 3
)

func newEndpoints() *endpoints { return &endpoints{yes: true} }

// decode appends the endpoints of an EndpointSlice to out. They are valid until the next call.
// It reports false for what it cannot read: then the generated decoder has to decide.
func (d *endpoints) decode(out []discoveryv1.Endpoint, message []byte) ([]discoveryv1.Endpoint, bool) {
	d.buf, d.pieces = d.buf[:0], d.pieces[:0]
	ok := eachField(message, func(number protowire.Number, kind protowire.Type, value []byte) bool {
		if number != endpointsOfSlice {
			return true
		}
		content, ok := bytesOf(kind, value)
		if !ok {
			return false
		}
		out = append(out, discoveryv1.Endpoint{})
		return d.endpoint(out, content)
	})
	if !ok {
		return out, false
	}
	d.point(out)
	return out, true
}

// endpoint decodes the last endpoint of out but for its texts.
func (d *endpoints) endpoint(out []discoveryv1.Endpoint, message []byte) bool {
	last := len(out) - 1
	e, addressed := &out[last], false
	return eachField(message, func(number protowire.Number, kind protowire.Type, value []byte) bool {
		switch number {
		case addressesOfEndpoint, conditionsOfEndpoint, nodeNameOfEndpoint, zoneOfEndpoint, hintsOfEndpoint:
		default:
			return true
		}
		content, ok := bytesOf(kind, value)
		switch {
		case !ok:
			return false
		case number == conditionsOfEndpoint:
			return d.conditions(&e.Conditions, content)
		case number == hintsOfEndpoint:
			if e.Hints == nil {
				e.Hints = &discoveryv1.EndpointHints{}
			}
			return e.Hints.Unmarshal(content) == nil
		case number == addressesOfEndpoint && addressed:
			return true
		}
		addressed = addressed || number == addressesOfEndpoint
		start := len(d.buf)
		d.buf = append(d.buf, content...)
		d.pieces = append(d.pieces, piece{endpoint: last, start: start, end: len(d.buf), field: number})
		return true
	})
}

func (d *endpoints) conditions(c *discoveryv1.EndpointConditions, message []byte) bool {
	return eachField(message, func(number protowire.Number, kind protowire.Type, value []byte) bool {
		var into **bool
		switch number {
		case readyOfConditions:
			into = &c.Ready
		case servingOfConditions:
			into = &c.Serving
		case terminatingOfConditions:
			into = &c.Terminating
		default:
			return true
		}
		v, n := protowire.ConsumeVarint(value)
		if kind != protowire.VarintType || n < 0 {
			return false
		}
		if *into = &d.no; v != 0 {
			*into = &d.yes
		}
		return true
	})
}

// point gives the endpoints their texts.
func (d *endpoints) point(out []discoveryv1.Endpoint) {
	if cap(d.texts) > 3*mostEndpoints {
		d.texts = nil
	}
	d.texts = slices.Grow(d.texts[:0], len(d.pieces))[:len(d.pieces)]
	all := string(d.buf)
	for i, p := range d.pieces {
		d.texts[i] = all[p.start:p.end]
		switch e := &out[p.endpoint]; p.field {
		case addressesOfEndpoint:
			e.Addresses = d.texts[i : i+1 : i+1]
		case nodeNameOfEndpoint:
			e.NodeName = &d.texts[i]
		case zoneOfEndpoint:
			e.Zone = &d.texts[i]
		}
	}
}

// eachField calls f for the fields of a message. It reports false for what is no message, and if
// f does.
func eachField(message []byte, f func(number protowire.Number, kind protowire.Type, value []byte) bool) bool {
	for len(message) > 0 {
		number, kind, tag := protowire.ConsumeTag(message)
		if tag < 0 {
			return false
		}
		size := protowire.ConsumeFieldValue(number, kind, message[tag:])
		if size < 0 || !f(number, kind, message[tag:tag+size]) {
			return false
		}
		message = message[tag+size:]
	}
	return true
}

// bytesOf returns the content of a message or text.
func bytesOf(kind protowire.Type, value []byte) ([]byte, bool) {
	if kind != protowire.BytesType {
		return nil, false
	}
	content, n := protowire.ConsumeBytes(value)
	return content, n >= 0
}
