// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package source

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"fairlead/proxier/convert"
	"fairlead/proxier/objects"
	"fairlead/proxier/wire"
)

// slimDecoder decodes one answer of the API server. It converts each object of a watch at
// once, so that none is in memory as a whole, and leaves out of lists what convert does
// not read. Only one goroutine may use it at a time.
type slimDecoder struct {
	whole runtime.Decoder // for all other kinds, and for what is no object
	wire  *wire.Decoder
	plain metav1.Object
}

func newSlimDecoder(whole runtime.Decoder) *slimDecoder {
	return &slimDecoder{whole, wire.NewDecoder(), &metav1.ObjectMeta{}}
}

// Decode is that of runtime.Decoder.
func (d *slimDecoder) Decode(data []byte, defaults *schema.GroupVersionKind, into runtime.Object) (runtime.Object, *schema.GroupVersionKind, error) {
	if into != nil {
		if short, ok := d.wire.Shorten(data); ok {
			data = short
		}
		return d.whole.Decode(data, defaults, into)
	}
	if obj, ok := d.wire.Decode(data); ok {
		it, err := convert.Convert(obj)
		if err != nil {
			return nil, nil, err
		}
		out := &converted{Object: d.plain, version: obj.GetResourceVersion(), item: it}
		if end, ok := obj.GetAnnotations()[metav1.InitialEventsAnnotationKey]; ok {
			out.Object = &metav1.ObjectMeta{Annotations: map[string]string{metav1.InitialEventsAnnotationKey: end}}
		}
		return out, nil, nil
	}
	return d.whole.Decode(data, defaults, into)
}

// converted is an object that was converted while its list is still coming in, so that
// memory never holds a whole list of API objects. It has of the metadata what reflectors
// read.
type converted struct {
	// Object has the annotation of a bookmark that ends a list.
	metav1.Object
	version string
	item    objects.Object
}

// GetNamespace returns the namespace.
func (c *converted) GetNamespace() string {
	namespace, _ := c.item.Key.Split()
	return namespace
}

// GetName returns the name.
func (c *converted) GetName() string {
	_, name := c.item.Key.Split()
	return name
}

// GetResourceVersion returns the version that the object came with.
func (c *converted) GetResourceVersion() string { return c.version }

// GetObjectKind returns nothing, as that of all objects that clients decode.
func (c *converted) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

// DeepCopyObject returns c, which nothing changes.
func (c *converted) DeepCopyObject() runtime.Object { return c }

// eventSerializer opens events of a watch without a copy. The object is decoded before the
// next event is read, and decoding copies what it keeps.
type eventSerializer struct{ runtime.Serializer }

// Decode is that of runtime.Decoder.
func (s eventSerializer) Decode(data []byte, defaults *schema.GroupVersionKind, into runtime.Object) (runtime.Object, *schema.GroupVersionKind, error) {
	if e, ok := into.(*metav1.WatchEvent); ok && e != nil {
		if verb, raw, ok := wire.Event(data); ok {
			*e = metav1.WatchEvent{Type: verb, Object: runtime.RawExtension{Raw: raw}}
			return e, nil, nil
		}
	}
	return s.Serializer.Decode(data, defaults, into)
}
