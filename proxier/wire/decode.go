// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"

	"google.golang.org/protobuf/encoding/protowire"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// Object is an object of the API.
type Object interface {
	metav1.Object
	Unmarshal(data []byte) error
}

// Decoder decodes objects of the kinds that come in large numbers. It uses the memory of
// one object for all of a kind. Only one goroutine may use it at a time.
type Decoder struct {
	kinds     map[typeMeta]*scratch
	buf       []byte
	bare      Message // an EndpointSlice without endpoints
	endpoints *endpoints
}

type typeMeta struct{ version, kind string }

// scratch is what is kept of one kind, and the memory for one object.
type scratch struct {
	message Message
	object  Object // nil for a list
}

// mostEndpoints bounds the memory for endpoints that is used again. Slices have 100
// endpoints unless someone configured up to 1000.
const mostEndpoints = 1000

// NewDecoder returns a Decoder of Services, EndpointSlices and Nodes.
func NewDecoder() *Decoder {
	bare := slice()
	delete(bare, endpointsOfSlice)
	return &Decoder{bare: bare, endpoints: newEndpoints(), kinds: map[typeMeta]*scratch{
		{"v1", "Service"}: {message: service(), object: &corev1.Service{}}, {"v1", "ServiceList"}: {message: listOf(service())},
		{"v1", "Node"}: {message: node(), object: &corev1.Node{}}, {"v1", "NodeList"}: {message: listOf(node())},
		{discovery, "EndpointSlice"}: {message: slice(), object: &discoveryv1.EndpointSlice{}}, {discovery, "EndpointSliceList"}: {message: listOf(slice())},
	}}
}

const discovery = "discovery.k8s.io/v1"

// Decode decodes an object, with the fields only that package convert reads. The result is
// valid until the next call; its texts stay valid. It returns false for another kind and
// for what it cannot read: then the decoder of whole objects has to decide.
func (d *Decoder) Decode(data []byte) (Object, bool) {
	of, raw, ok := envelope(data)
	if !ok {
		return nil, false
	}
	s := d.kinds[of]
	if s == nil || s.object == nil {
		return nil, false
	}
	if o, ok := s.object.(*discoveryv1.EndpointSlice); ok && d.slice(o, raw) {
		return o, true
	}
	return s.object, d.read(s.object, s.message, raw)
}

// read decodes the fields of an object that are kept.
func (d *Decoder) read(o Object, kept Message, raw []byte) (ok bool) {
	if d.buf, ok = kept.Shorten(d.buf[:0], raw); !ok {
		return false
	}
	reset(o)
	return o.Unmarshal(d.buf) == nil
}

// slice decodes an EndpointSlice with little memory.
func (d *Decoder) slice(o *discoveryv1.EndpointSlice, raw []byte) (ok bool) {
	if !d.read(o, d.bare, raw) {
		return false
	}
	o.Endpoints, ok = d.endpoints.decode(o.Endpoints, raw)
	return ok
}

// reset empties an object. A slice keeps its memory for endpoints, because to grow it one
// by one costs more than all the rest.
func reset(obj Object) {
	switch o := obj.(type) {
	case *corev1.Service:
		*o = corev1.Service{}
	case *corev1.Node:
		*o = corev1.Node{}
	case *discoveryv1.EndpointSlice:
		kept := o.Endpoints[:0]
		if cap(kept) > mostEndpoints {
			kept = nil
		}
		*o = discoveryv1.EndpointSlice{Endpoints: kept, Ports: o.Ports[:0]}
	}
}

// Shorten returns a shorter object or list that is sent in the same way, for the decoder
// of whole objects. Shorten returns false as Decode does.
func (d *Decoder) Shorten(data []byte) ([]byte, bool) {
	of, raw, ok := envelope(data)
	s := d.kinds[of]
	if !ok || s == nil {
		return nil, false
	}
	raw, ok = s.message.Shorten(nil, raw)
	if !ok {
		return nil, false
	}
	out := runtime.Unknown{TypeMeta: runtime.TypeMeta{APIVersion: of.version, Kind: of.kind}, Raw: raw}
	sent, err := out.Marshal()
	return append([]byte(prefix), sent...), err == nil
}

// fields calls f for the fields of a message, all of which are messages or texts.
func fields(message []byte, f func(number protowire.Number, content []byte) bool) bool {
	for len(message) > 0 {
		number, kind, tag := protowire.ConsumeTag(message)
		if tag < 0 || kind != protowire.BytesType {
			return false
		}
		content, n := protowire.ConsumeBytes(message[tag:])
		if n < 0 || !f(number, content) {
			return false
		}
		message = message[tag+n:]
	}
	return true
}

// prefix begins what is sent in protobuf, but for the events of a watch.
const prefix = "k8s\x00"

// envelope opens what objects are sent in: a runtime.Unknown behind a prefix. It reports
// false unless it knows all fields.
func envelope(data []byte) (of typeMeta, raw []byte, ok bool) {
	data, ok = bytes.CutPrefix(data, []byte(prefix))
	if !ok {
		return of, nil, false
	}
	ok = fields(data, func(number protowire.Number, content []byte) bool {
		switch number {
		case 1: // typeMeta
			return fields(content, func(number protowire.Number, content []byte) bool {
				switch number {
				case 1:
					of.version = string(content)
				case 2:
					of.kind = string(content)
				}
				return number <= 2
			})
		case 2:
			raw = content
			return true
		}
		return len(content) == 0 // contentEncoding and contentType
	})
	return of, raw, ok
}

// Event opens a metav1.WatchEvent without a copy: object is a part of data. It reports
// false unless it knows all fields.
func Event(data []byte) (verb string, object []byte, ok bool) {
	ok = fields(data, func(number protowire.Number, content []byte) bool {
		switch number {
		case 1:
			verb = string(content)
			return true
		case 2:
			return fields(content, func(number protowire.Number, raw []byte) bool {
				object = raw
				return number == 1
			})
		}
		return false
	})
	return verb, object, ok
}
