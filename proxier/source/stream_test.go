// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package source

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"reflect"
	goruntime "runtime"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"

	"fairlead/proxier/convert"
	"fairlead/proxier/proxiertest"
)

// streamServer is an API server of Kubernetes 1.34 or newer, for one client: it
// streams lists (KEP-3157), then the events that are sent to its channels. Keys are
// resources.
type streamServer struct {
	client kubernetes.Interface // asks for JSON
	config *rest.Config
	events map[string]chan metav1.WatchEvent
}

func newStreamServer(t *testing.T, lists map[string][]any) *streamServer {
	t.Helper()
	s := &streamServer{events: map[string]chan metav1.WatchEvent{}}
	ends := map[string]any{
		"services": &corev1.Service{}, "endpointslices": &discoveryv1.EndpointSlice{},
		"nodes": &corev1.Node{}, "servicecidrs": &networkingv1.ServiceCIDR{}, "pods": &corev1.Pod{},
	}
	for kind := range ends {
		s.events[kind] = make(chan metav1.WatchEvent)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kind := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Query().Get("watch") == "" { // is it served at all?
			list := map[string]string{
				"servicecidrs": `{"kind":"ServiceCIDRList","apiVersion":"networking.k8s.io/v1"}`,
				"pods":         `{"kind":"PodList","apiVersion":"v1"}`,
			}
			_, _ = w.Write([]byte(list[kind]))
			return
		}
		if r.URL.Query().Get("sendInitialEvents") != "true" {
			http.Error(w, "a plain watch", http.StatusBadRequest)
			return
		}
		send := func(e metav1.WatchEvent) { _ = json.NewEncoder(w).Encode(e) }
		if strings.HasPrefix(r.Header.Get("Accept"), runtime.ContentTypeProtobuf) {
			w.Header().Set("Content-Type", runtime.ContentTypeProtobuf+";stream=watch")
			send = func(e metav1.WatchEvent) { _, _ = w.Write(protobufFrame(t, e)) }
		}
		for _, obj := range lists[kind] {
			send(event(t, "ADDED", obj))
		}
		send(event(t, "BOOKMARK", listEnd(ends[kind])))
		w.(http.Flusher).Flush()
		for {
			select {
			case <-r.Context().Done():
				return
			case e := <-s.events[kind]:
				send(e)
				w.(http.Flusher).Flush()
			}
		}
	}))
	// Tests run in a namespace whose loopback device is down.
	socket := filepath.Join(t.TempDir(), "api")
	listener, err := new(net.ListenConfig).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server.Listener = listener
	server.Start()
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	s.config = &rest.Config{Host: "http://api", Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}
	if s.client, err = kubernetes.NewForConfig(s.config); err != nil {
		t.Fatal(err)
	}
	return s
}

// slim returns the client that agents use, which asks for that type of content.
func (s *streamServer) slim(t testing.TB, accept string) Client {
	t.Helper()
	cfg := rest.CopyConfig(s.config)
	cfg.ContentType, cfg.AcceptContentTypes = accept, accept
	h, err := rest.HTTPClientFor(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewClient(cfg, h)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// protobufFrame encodes an event whose object is in JSON.
func protobufFrame(t testing.TB, e metav1.WatchEvent) []byte {
	t.Helper()
	obj, _, err := scheme.Codecs.UniversalDeserializer().Decode(e.Object.Raw, nil, nil)
	if err != nil {
		t.Error(err)
		return nil
	}
	info, _ := runtime.SerializerInfoForMediaType(scheme.Codecs.SupportedMediaTypes(), runtime.ContentTypeProtobuf)
	codec := scheme.Codecs.EncoderForVersion(info.Serializer, schema.GroupVersions{corev1.SchemeGroupVersion, discoveryv1.SchemeGroupVersion, networkingv1.SchemeGroupVersion})
	raw, err := runtime.Encode(codec, obj)
	if err != nil {
		t.Error(err)
		return nil
	}
	var out bytes.Buffer
	e.Object = runtime.RawExtension{Raw: raw}
	if err := info.StreamSerializer.Encode(&e, info.StreamSerializer.NewFrameWriter(&out)); err != nil {
		t.Error(err)
	}
	return out.Bytes()
}

// event gives obj the kind that decoding needs.
func event(t testing.TB, verb string, obj any) metav1.WatchEvent {
	t.Helper()
	data, err := json.Marshal(obj)
	if err != nil {
		t.Fatal(err)
	}
	var kind string
	switch obj.(type) {
	case *corev1.Service:
		kind = `"kind":"Service","apiVersion":"v1",`
	case *corev1.Node:
		kind = `"kind":"Node","apiVersion":"v1",`
	case *discoveryv1.EndpointSlice:
		kind = `"kind":"EndpointSlice","apiVersion":"discovery.k8s.io/v1",`
	case *corev1.Pod:
		kind = `"kind":"Pod","apiVersion":"v1",`
	case *metav1.Status:
		kind = `"kind":"Status","apiVersion":"v1",`
	case *networkingv1.ServiceCIDR:
		kind = `"kind":"ServiceCIDR","apiVersion":"networking.k8s.io/v1",`
	}
	e := metav1.WatchEvent{Type: verb}
	e.Object.Raw = append([]byte("{"+kind), data[1:]...)
	return e
}

// listEnd is the bookmark that ends a streamed list.
func listEnd(obj any) any {
	m := obj.(metav1.Object)
	m.SetResourceVersion("100")
	m.SetAnnotations(map[string]string{metav1.InitialEventsAnnotationKey: "true"})
	return obj
}

// TestRunAPIStream follows a server that streams its lists, with each client and encoding.
func TestRunAPIStream(t *testing.T) {
	for name, client := range map[string]func(*streamServer) Client{
		"typed":    func(s *streamServer) Client { return s.client },
		"JSON":     func(s *streamServer) Client { return s.slim(t, runtime.ContentTypeJSON) },
		"protobuf": func(s *streamServer) Client { return s.slim(t, runtime.ContentTypeProtobuf) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newStreamServer(t, map[string][]any{
				"services":       {proxiertest.BenchService(0), proxiertest.BenchService(1)},
				"endpointslices": {proxiertest.BenchSlice(0, 3), proxiertest.BenchSlice(1, 2)},
				"nodes":          {&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-a"}}},
				"servicecidrs":   {&networkingv1.ServiceCIDR{ObjectMeta: metav1.ObjectMeta{Name: "k"}}},
				"pods": {&corev1.Pod{
					ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "pod"},
					Spec:       corev1.PodSpec{NodeName: "node-a", Containers: []corev1.Container{{Ports: []corev1.ContainerPort{{HostPort: 80, ContainerPort: 80}}}}},
					Status:     corev1.PodStatus{PodIP: "10.244.0.7"},
				}},
			})
			st := startAPI(t, client(s))
			if got := len(st.Services()); got != 2 || st.Node("node-a") == nil || len(st.ServiceCIDRs()) != 1 || st.Pod(proxiertest.NameOf("pod")) == nil {
				t.Errorf("%d Services, want 2, and one of each other kind", got)
			}
			for n, endpoints := range []int{3, 2} {
				want, _ := convert.Slice(proxiertest.BenchSlice(n, endpoints))
				if got := st.Slices(proxiertest.NameOf(fmt.Sprint("svc-", n))); len(got) != 1 || !reflect.DeepEqual(got[0], want) {
					t.Errorf("slice %d is %+v, want %+v", n, got, want)
				}
			}
			s.events["endpointslices"] <- event(t, "MODIFIED", proxiertest.BenchSlice(0, 4))
			proxiertest.Eventually(t, "changed slice", func() bool { return len(st.Slices(proxiertest.NameOf("svc-0"))[0].Endpoints) == 4 })
			s.events["services"] <- event(t, "DELETED", proxiertest.BenchService(1))
			proxiertest.Eventually(t, "deleted Service", func() bool { return len(st.Services()) == 1 })
			s.events["services"] <- event(t, "ADDED", proxiertest.BenchService(2))
			proxiertest.Eventually(t, "new Service", func() bool { return st.Service(proxiertest.NameOf("svc-2")) != nil })
			if got, want := st.LastHeard()[sourceServices].Revision, proxiertest.BenchService(2).ResourceVersion; got == "" || want != "" && got != want {
				t.Errorf("after an event of revision %q the revision is %q", want, got)
			}
			heard := st.LastHeard()[sourceNodes].At
			s.events["nodes"] <- event(t, "BOOKMARK", &corev1.Node{ObjectMeta: metav1.ObjectMeta{ResourceVersion: "200"}})
			proxiertest.Eventually(t, "bookmark", func() bool {
				last := st.LastHeard()[sourceNodes]
				return last.At.After(heard) && last.Revision == "200"
			})
			// The version is too old: everything is listed again.
			s.events["services"] <- event(t, "ERROR", &metav1.Status{Status: metav1.StatusFailure, Reason: metav1.StatusReasonExpired, Code: http.StatusGone})
			proxiertest.Eventually(t, "the list again", func() bool { return len(st.Services()) == 2 && st.Service(proxiertest.NameOf("svc-1")) != nil })
		})
	}
}

// TestRunAPIMemory: the store holds the only copy of each object. 100,000
// endpoints may not take more than half of the 100 MB that the agent is allowed.
func TestRunAPIMemory(t *testing.T) {
	const services = 10_000 / slowdown
	lists := map[string][]any{}
	for n := range services {
		lists["services"] = append(lists["services"], proxiertest.BenchService(n))
		lists["endpointslices"] = append(lists["endpointslices"], proxiertest.BenchSlice(n, 10))
	}
	s := newStreamServer(t, lists)
	before := heap()
	st := startAPI(t, s.slim(t, runtime.ContentTypeProtobuf))
	if got := len(st.Services()); got != services {
		t.Fatalf("%d Services, want %d", got, services)
	}
	// The connection and the decoders release their memory when they come to rest.
	var used int64
	proxiertest.Eventually(t, "the st takes no more", func() bool {
		used = int64(heap()) - int64(before)
		return used <= 50<<20/slowdown
	})
	t.Logf("the st takes %d KiB", used>>10)
	goruntime.KeepAlive(lists)
}

func heap() uint64 {
	var m goruntime.MemStats
	goruntime.GC()
	goruntime.GC()
	goruntime.ReadMemStats(&m)
	return m.HeapAlloc
}
