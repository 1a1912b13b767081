// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/scheme"

	"fairlead/proxier/proxiertest"
)

// benchAPI is an API server of Kubernetes 1.34 or newer that streams lists (KEP-3157)
// in protobuf. It encodes every object before it serves one, so that its own work is
// little more than a write, and a benchmark measures the agent.
type benchAPI struct {
	addr   string
	codec  runtime.Encoder
	stream runtime.StreamSerializerInfo
	lists  map[string][]byte // resource -> frames of its list, with the bookmark behind it
	slices chan []byte       // frames of changed slices, for one watch
}

// listEnds returns the bookmarks that end the streamed lists of what the agent watches.
func listEnds() map[string]runtime.Object {
	end := metav1.ObjectMeta{ResourceVersion: "100", Annotations: map[string]string{metav1.InitialEventsAnnotationKey: "true"}}
	return map[string]runtime.Object{
		"services": &corev1.Service{ObjectMeta: end}, "endpointslices": &discoveryv1.EndpointSlice{ObjectMeta: end}, "nodes": &corev1.Node{ObjectMeta: end},
		"servicecidrs": &networkingv1.ServiceCIDR{ObjectMeta: end}, "pods": &corev1.Pod{ObjectMeta: end},
	}
}

// newBenchAPI serves that many Services with that many endpoints each.
func newBenchAPI(b *testing.B, services, endpoints int) *benchAPI {
	b.Helper()
	info, ok := runtime.SerializerInfoForMediaType(scheme.Codecs.SupportedMediaTypes(), runtime.ContentTypeProtobuf)
	if !ok {
		b.Fatal("no protobuf")
	}
	a := &benchAPI{
		stream: *info.StreamSerializer, lists: map[string][]byte{}, slices: make(chan []byte),
		codec: scheme.Codecs.EncoderForVersion(info.Serializer, schema.GroupVersions{corev1.SchemeGroupVersion, discoveryv1.SchemeGroupVersion, networkingv1.SchemeGroupVersion}),
	}
	add := func(kind string, obj runtime.Object) {
		a.lists[kind] = append(a.lists[kind], a.frame(b, watch.Added, obj)...)
	}
	add("nodes", &corev1.Node{ObjectMeta: benchMeta("", "node-a")})
	for n := range 100 {
		add("nodes", &corev1.Node{ObjectMeta: benchMeta("", fmt.Sprint("node-", n))})
	}
	for n := range services {
		svc := proxiertest.BenchService(n)
		svc.ObjectMeta = benchMeta("default", svc.Name)
		svc.Spec.ClusterIPs = []string{svc.Spec.ClusterIP}
		add("services", svc)
		for _, s := range benchSlices(n, endpoints) {
			add("endpointslices", s)
		}
	}
	for kind, end := range listEnds() {
		a.lists[kind] = append(a.lists[kind], a.frame(b, watch.Bookmark, end)...)
	}
	a.serve(b)
	return a
}

// mostInSlice is how many endpoints controllers put into a slice, unless they are told otherwise.
const mostInSlice = 100

// benchSlices are the slices of a Service.
func benchSlices(n, endpoints int) []*discoveryv1.EndpointSlice {
	whole := benchSlice(n, endpoints)
	var out []*discoveryv1.EndpointSlice
	for part := range slices.Chunk(whole.Endpoints, mostInSlice) {
		s := *whole
		if s.Endpoints = part; len(out) > 0 {
			s.Name = fmt.Sprint(whole.Name, "-", len(out))
		}
		out = append(out, &s)
	}
	return out
}

// benchSlice has the metadata that the controllers of Kubernetes write.
func benchSlice(n, endpoints int) *discoveryv1.EndpointSlice {
	s := proxiertest.BenchSlice(n, endpoints)
	labels := s.Labels
	s.ObjectMeta = benchMeta("default", s.Name)
	s.Labels = labels
	s.Annotations = map[string]string{corev1.EndpointsLastChangeTriggerTime: "2026-01-02T03:04:05Z"}
	return s
}

// benchMeta has about as many bytes as the metadata of an object that controllers wrote.
func benchMeta(namespace, name string) metav1.ObjectMeta {
	at := metav1.NewTime(time.Unix(1_700_000_000, 0))
	fields := `{"f:addressType":{},"f:endpoints":{},"f:metadata":{"f:annotations":{".":{},"f:endpoints.kubernetes.io/last-change-trigger-time":{}},"f:generateName":{},"f:labels":{".":{},"f:endpointslice.kubernetes.io/managed-by":{},"f:kubernetes.io/service-name":{}}},"f:ports":{}}`
	return metav1.ObjectMeta{
		Namespace: namespace, Name: name, UID: "0b6a2c1e-0000-4000-8000-000000000000", ResourceVersion: "100", CreationTimestamp: at,
		ManagedFields: []metav1.ManagedFieldsEntry{{
			Manager: "kube-controller-manager", Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: "discovery.k8s.io/v1", Time: &at,
			FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(fields),
		}},
	}
}

// frame encodes a watch event.
func (a *benchAPI) frame(b *testing.B, verb watch.EventType, obj runtime.Object) []byte {
	b.Helper()
	raw, err := runtime.Encode(a.codec, obj)
	if err != nil {
		b.Fatal(err)
	}
	var out bytes.Buffer
	e := &metav1.WatchEvent{Type: string(verb), Object: runtime.RawExtension{Raw: raw}}
	if err := a.stream.Encode(e, a.stream.NewFrameWriter(&out)); err != nil {
		b.Fatal(err)
	}
	return out.Bytes()
}

func (a *benchAPI) serve(b *testing.B) {
	b.Helper()
	l, err := new(net.ListenConfig).Listen(b.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	a.addr = l.Addr().String()
	srv := &http.Server{Handler: a, ReadHeaderTimeout: time.Second}
	go func() { _ = srv.Serve(l) }()
	b.Cleanup(func() { _ = srv.Close() })
}

// ServeHTTP answers a streamed list, and what the agent asks besides.
func (a *benchAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	kind := path.Base(r.URL.Path)
	frames, known := a.lists[kind]
	switch {
	case !known || r.Method != http.MethodGet:
		http.NotFound(w, r)
	case r.URL.Query().Get("watch") == "":
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, map[string]string{
			"servicecidrs": `{"kind":"ServiceCIDRList","apiVersion":"networking.k8s.io/v1"}`,
			"pods":         `{"kind":"PodList","apiVersion":"v1"}`,
		}[kind])
	default:
		w.Header().Set("Content-Type", runtime.ContentTypeProtobuf+";stream=watch")
		if r.URL.Query().Get("sendInitialEvents") == "true" {
			_, _ = w.Write(frames)
		}
		w.(http.Flusher).Flush()
		a.follow(w, r, strings.HasSuffix(kind, "slices"))
	}
}

// follow sends the changes of slices until the client goes.
func (a *benchAPI) follow(w http.ResponseWriter, r *http.Request, slices bool) {
	var changes <-chan []byte
	if slices {
		changes = a.slices
	}
	for {
		select {
		case <-r.Context().Done():
			return
		case frame := <-changes:
			_, _ = w.Write(frame)
			w.(http.Flusher).Flush()
		}
	}
}
