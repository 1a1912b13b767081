// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package source

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"fairlead/proxier/proxiertest"
)

// streamServer is an API server of Kubernetes 1.34 or newer, for one client: it
// streams lists (KEP-3157), then the events that are sent to its channels. Keys are
// resources.
type streamServer struct {
	client kubernetes.Interface
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
		out := json.NewEncoder(w)
		for _, obj := range lists[kind] {
			_ = out.Encode(event(t, "ADDED", obj))
		}
		_ = out.Encode(event(t, "BOOKMARK", listEnd(ends[kind])))
		w.(http.Flusher).Flush()
		for {
			select {
			case <-r.Context().Done():
				return
			case e := <-s.events[kind]:
				_ = out.Encode(e)
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
	client, err := kubernetes.NewForConfig(&rest.Config{Host: "http://api", Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}})
	if err != nil {
		t.Fatal(err)
	}
	s.client = client
	return s
}

// event gives obj the kind that decoding needs.
func event(t *testing.T, verb string, obj any) metav1.WatchEvent {
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

// TestRunAPIStream follows a server that streams its lists.
func TestRunAPIStream(t *testing.T) {
	s := newStreamServer(t, map[string][]any{
		"services":       {proxiertest.BenchService(0), proxiertest.BenchService(1)},
		"endpointslices": {proxiertest.BenchSlice(0, 3)},
		"nodes":          {&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-a"}}},
		"servicecidrs":   {&networkingv1.ServiceCIDR{ObjectMeta: metav1.ObjectMeta{Name: "k"}}},
	})
	st := startAPI(t, s.client)
	if got := len(st.Services()); got != 2 || len(st.Slices(proxiertest.NameOf("svc-0"))) != 1 || st.Node("node-a") == nil || len(st.ServiceCIDRs()) != 1 {
		t.Errorf("%d Services, want 2, and one of each other kind", got)
	}
	s.events["endpointslices"] <- event(t, "MODIFIED", proxiertest.BenchSlice(0, 4))
	proxiertest.Eventually(t, "changed slice", func() bool { return len(st.Slices(proxiertest.NameOf("svc-0"))[0].Endpoints) == 4 })
	s.events["services"] <- event(t, "DELETED", proxiertest.BenchService(1))
	proxiertest.Eventually(t, "deleted Service", func() bool { return len(st.Services()) == 1 })
}

// TestRunAPIMemory: the store holds the only copy of each object. 100,000
// endpoints may not take more than half of the 100 MB that the agent is allowed.
func TestRunAPIMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("reads 10,000 Services")
	}
	const services = 10_000 / slowdown
	lists := map[string][]any{}
	for n := range services {
		lists["services"] = append(lists["services"], proxiertest.BenchService(n))
		lists["endpointslices"] = append(lists["endpointslices"], proxiertest.BenchSlice(n, 10))
	}
	s := newStreamServer(t, lists)
	before := heap()
	st := startAPI(t, s.client)
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
	runtime.KeepAlive(lists)
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
