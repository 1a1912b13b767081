// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package wire_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"

	"fairlead/proxier/convert"
	"fairlead/proxier/wire"
)

// object is an object of the API that protobuf can carry.
type object interface {
	wire.Object
	runtime.Object
	Marshal() ([]byte, error)
	Reset()
}

// kinds are empty objects of the kinds that are shortened, with what Kubernetes calls them.
func kinds() map[runtime.TypeMeta]func() object {
	return map[runtime.TypeMeta]func() object{
		{APIVersion: "v1", Kind: "Service"}:                        func() object { return &corev1.Service{} },
		{APIVersion: "v1", Kind: "Node"}:                           func() object { return &corev1.Node{} },
		{APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSlice"}: func() object { return &discoveryv1.EndpointSlice{} },
	}
}

// sent returns what the API server sends for a message.
func sent(t testing.TB, of runtime.TypeMeta, raw []byte) []byte {
	t.Helper()
	u := runtime.Unknown{TypeMeta: of, Raw: raw}
	b, err := u.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return append([]byte("k8s\x00"), b...)
}

func raw(t testing.TB, o object) []byte {
	t.Helper()
	b, err := o.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// compare decodes an object both ways and compares what convert makes of it, and what
// reflectors read of it.
func compare(t *testing.T, d *wire.Decoder, of runtime.TypeMeta, whole object, data []byte) {
	t.Helper()
	short, ok := d.Decode(data)
	if !ok {
		t.Fatalf("%s is not decoded", of.Kind)
	}
	want, err := convert.Convert(whole)
	if err != nil {
		t.Fatal(err)
	}
	got, err := convert.Convert(short)
	if err != nil {
		t.Fatal(err)
	}
	if !got.Equal(&want) {
		t.Errorf("%s (-whole +short):\n%s", of.Kind, cmp.Diff(fmt.Sprintf("%+v", want), fmt.Sprintf("%+v", got)))
	}
	if short.GetResourceVersion() != whole.GetResourceVersion() || short.GetAnnotations()[metav1.InitialEventsAnnotationKey] != whole.GetAnnotations()[metav1.InitialEventsAnnotationKey] {
		t.Errorf("%s: version %s, want %s, or the annotation differs", of.Kind, short.GetResourceVersion(), whole.GetResourceVersion())
	}
}

// TestDecode compares random objects with what the decoder of whole objects reads. One
// decoder reads all of them, so nothing of an object may be left in the next one.
func TestDecode(t *testing.T) {
	d := wire.NewDecoder()
	for seed := range uint64(1500) {
		g := newGenerator(seed)
		for of, empty := range kinds() {
			o := empty()
			g.object(o)
			data := raw(t, o)
			whole := empty()
			if err := whole.Unmarshal(data); err != nil {
				t.Fatal(err)
			}
			compare(t, d, of, whole, sent(t, of, data))
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		}
	}
}

// TestDecodeDamaged does so with messages that were cut, changed and put together, as far
// as the decoder of whole objects accepts them. It may refuse what is left out.
func TestDecodeDamaged(t *testing.T) {
	d := wire.NewDecoder()
	both := 0
	for seed := range uint64(3000) {
		g := newGenerator(seed)
		for of, empty := range kinds() {
			o := empty()
			g.object(o)
			data := raw(t, o)
			for range 1 + g.IntN(3) {
				i, j := g.IntN(len(data)), g.IntN(len(data))
				switch g.IntN(4) {
				case 0:
					data[i] = byte(g.Uint32())
				case 1:
					data = data[:i+1]
				case 2:
					data = slices.Concat(data, data)
				case 3:
					data[i], data[j] = data[j], data[i]
				}
			}
			whole, message := empty(), sent(t, of, data)
			if _, ok := d.Decode(message); !ok || whole.Unmarshal(data) != nil {
				continue
			}
			both++
			compare(t, d, of, whole, message)
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		}
	}
	if both < 1000 {
		t.Errorf("only %d messages were compared", both)
	}
}

// TestDecodeKept: texts of an object stay valid when the buffer of the answer is used again.
func TestDecodeKept(t *testing.T) {
	d := wire.NewDecoder()
	data := sent(t, runtime.TypeMeta{APIVersion: "v1", Kind: "Service"}, raw(t, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"},
		Spec:       corev1.ServiceSpec{ClusterIPs: []string{"10.96.0.1"}, Ports: []corev1.ServicePort{{Name: "http", Port: 80}}},
	}))
	o, ok := d.Decode(data)
	if !ok {
		t.Fatal("not decoded")
	}
	it, err := convert.Convert(o)
	if err != nil {
		t.Fatal(err)
	}
	clear(data)
	d.Decode(sent(t, runtime.TypeMeta{APIVersion: "v1", Kind: "Service"}, raw(t, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "another", Name: "one"}})))
	if s := it.Service; s.Key.String() != "default/web" || s.Ports[0].Name != "http" {
		t.Errorf("the Service is now %+v", s)
	}
}

// TestDecodeLess: most of what an agent does not need costs no memory.
func TestDecodeLess(t *testing.T) {
	slice := &discoveryv1.EndpointSlice{AddressType: discoveryv1.AddressTypeIPv4}
	slice.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "m", FieldsV1: metav1.NewFieldsV1(string(make([]byte, 1<<20)))}}
	slice.Annotations = map[string]string{corev1.LastAppliedConfigAnnotation: string(make([]byte, 1<<20))}
	for range 10 {
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{"10.0.0.1"}, TargetRef: &corev1.ObjectReference{Name: string(make([]byte, 1<<20))}})
	}
	of := runtime.TypeMeta{APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSlice"}
	data := sent(t, of, raw(t, slice))
	d := wire.NewDecoder()
	d.Decode(data)
	if r := testing.Benchmark(func(b *testing.B) {
		b.Helper()
		for b.Loop() {
			if _, ok := d.Decode(data); !ok {
				b.Fatal("not decoded")
			}
		}
	}); r.AllocedBytesPerOp() > 4<<10 {
		t.Errorf("%d bytes for 10 endpoints", r.AllocedBytesPerOp())
	}
}

// TestShorten compares lists that are read with the serializer of client-go.
func TestShorten(t *testing.T) {
	d := wire.NewDecoder()
	info, _ := runtime.SerializerInfoForMediaType(scheme.Codecs.SupportedMediaTypes(), runtime.ContentTypeProtobuf)
	decoder := scheme.Codecs.WithoutConversion().DecoderToVersion(info.Serializer, nil)
	g := newGenerator(7)
	list := &corev1.ServiceList{ListMeta: metav1.ListMeta{ResourceVersion: "5", Continue: "token"}}
	for range 50 {
		var svc corev1.Service
		g.object(&svc)
		list.Items = append(list.Items, svc)
	}
	data, err := list.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	whole := sent(t, runtime.TypeMeta{APIVersion: "v1", Kind: "ServiceList"}, data)
	short, ok := d.Shorten(whole)
	if !ok || len(short) >= len(whole) {
		t.Fatalf("%d of %d bytes are left, %v", len(short), len(whole), ok)
	}
	var want, got corev1.ServiceList
	for data, into := range map[*[]byte]*corev1.ServiceList{&whole: &want, &short: &got} {
		if _, _, err := decoder.Decode(*data, nil, into); err != nil {
			t.Fatal(err)
		}
	}
	if want.ListMeta != got.ListMeta || len(want.Items) != len(got.Items) {
		t.Fatalf("%+v with %d items, want %+v with %d", got.ListMeta, len(got.Items), want.ListMeta, len(want.Items))
	}
	for i := range want.Items {
		a, _ := convert.Convert(&want.Items[i])
		b, _ := convert.Convert(&got.Items[i])
		if !a.Equal(&b) {
			t.Errorf("item %d differs", i)
		}
	}
}

// TestOthers leaves what it does not know to the decoder of whole objects.
func TestOthers(t *testing.T) {
	d := wire.NewDecoder()
	svc := runtime.TypeMeta{APIVersion: "v1", Kind: "Service"}
	for name, data := range map[string][]byte{
		"nothing":          nil,
		"no prefix":        []byte("{}"),
		"prefix":           []byte("k8s\x00"),
		"another kind":     sent(t, runtime.TypeMeta{APIVersion: "v1", Kind: "Secret"}, nil),
		"another version":  sent(t, runtime.TypeMeta{APIVersion: "v2", Kind: "Service"}, nil),
		"a list":           sent(t, runtime.TypeMeta{APIVersion: "v1", Kind: "ServiceList"}, nil),
		"cut":              sent(t, svc, []byte{0x0a, 0x05, 0x01}),
		"wrong type":       sent(t, svc, []byte{0x08, 0x01}),
		"group":            sent(t, svc, []byte{0x0b}),
		"field zero":       sent(t, svc, []byte{0x02, 0x00}),
		"long number":      sent(t, svc, slices.Repeat([]byte{0xff}, 11)),
		"cut in a map":     sent(t, svc, []byte{0x0a, 0x03, 0x5a, 0x01, 0x0a}),
		"compressed":       append([]byte("k8s\x00"), 0x12, 0x00, 0x1a, 0x01, 'x'),
		"number of a name": sent(t, svc, []byte{0x0a, 0x02, 0x08, 0x01}),
	} {
		if o, ok := d.Decode(data); ok {
			t.Errorf("%s is decoded to %+v", name, o)
		}
	}
	if _, _, ok := wire.Event([]byte{0x1a, 0x00}); ok {
		t.Error("an event with another field is opened")
	}
}

// FuzzDecode: of what the decoder of whole objects accepts, convert makes the same.
func FuzzDecode(f *testing.F) {
	for seed := range uint64(20) {
		g := newGenerator(seed)
		for _, empty := range kinds() {
			o := empty()
			g.object(o)
			f.Add(raw(f, o))
		}
	}
	d := wire.NewDecoder()
	f.Fuzz(func(t *testing.T, data []byte) {
		for of, empty := range kinds() {
			whole := empty()
			message := sent(t, of, data)
			if _, ok := d.Decode(message); !ok || whole.Unmarshal(data) != nil {
				continue
			}
			compare(t, d, of, whole, message)
		}
	})
}

// BenchmarkDecode reads a slice of ten endpoints as controllers write it.
func BenchmarkDecode(b *testing.B) {
	slice := &discoveryv1.EndpointSlice{AddressType: discoveryv1.AddressTypeIPv4}
	slice.Name, slice.Namespace, slice.Labels = "web-1", "default", map[string]string{discoveryv1.LabelServiceName: "web"}
	slice.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "m", Time: &metav1.Time{Time: time.Unix(1, 0)}, FieldsV1: metav1.NewFieldsV1(string(make([]byte, 400)))}}
	node, zone, yes := "node-a", "zone-a", true
	for i := range 10 {
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{fmt.Sprintf("10.0.0.%d", i+1)}, NodeName: &node, Zone: &zone, Conditions: discoveryv1.EndpointConditions{Ready: &yes, Serving: &yes},
			TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: "default", Name: "web-5d4f8c7b9d-abcde", UID: "0b6a2c1e-0000-4000-8000-000000000000"},
		})
	}
	of := runtime.TypeMeta{APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSlice"}
	data := sent(b, of, raw(b, slice))
	d := wire.NewDecoder()
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := d.Decode(data); !ok {
			b.Fatal("not decoded")
		}
	}
}
