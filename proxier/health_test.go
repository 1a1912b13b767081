// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"k8s.io/apimachinery/pkg/types"

	"fairlead/internal/healthcheck"
	"fairlead/proxier/objects"
	"fairlead/proxier/proxiertest"
	"fairlead/proxier/resolve"
	"fairlead/proxier/status"
)

// askedHealth writes down what load balancers would be told.
type askedHealth struct {
	ports map[healthcheck.Name]uint16
	local map[healthcheck.Name]int
	on    []netip.Prefix
}

func (a *askedHealth) Set(n healthcheck.Name, port uint16)    { a.ports[n] = port }
func (a *askedHealth) SetLocal(n healthcheck.Name, local int) { a.local[n] = local }
func (a *askedHealth) Serve(on []netip.Prefix)                { a.on = on }
func (a *askedHealth) Delete(n healthcheck.Name)              { delete(a.ports, n); delete(a.local, n) }

func (a *askedHealth) String() string {
	var out []string
	for _, n := range slices.SortedFunc(maps.Keys(a.ports), func(a, b healthcheck.Name) int { return strings.Compare(a.Name, b.Name) }) {
		out = append(out, fmt.Sprint(n.Name, ":", a.ports[n], "=", a.local[n]))
	}
	return strings.Join(out, " ")
}

// TestHealthPorts changes Services step by step.
func TestHealthPorts(t *testing.T) {
	self := &resolve.Self{Name: "node-a"}
	h, book := newHealthPorts(), status.NewBook()
	told := &askedHealth{ports: map[healthcheck.Name]uint16{}, local: map[healthcheck.Name]int{}}
	for pass, step := range []struct {
		name, svc   string
		port        uint16
		age         int64
		eps         string
		unreachable bool // the kernel did not take it
		want        string
		problems    []string
	}{
		{name: "no port", svc: "web", eps: "a1", want: ""},
		{name: "no endpoint", svc: "web", port: 1000, age: 5, want: "web:1000=0"},
		{name: "one here, one not ready", svc: "web", port: 1000, age: 5, eps: "a1 a2/unready b3", want: "web:1000=1"},
		{name: "those that terminate do not count", svc: "web", port: 1000, age: 5, eps: "a1/draining b3", want: "web:1000=0"},
		{name: "not before the kernel has it", svc: "web", port: 1000, age: 5, eps: "a1 a2", unreachable: true, want: "web:1000=0"},
		{name: "another Service meanwhile", svc: "db", port: 1001, age: 5, eps: "a1", want: "db:1001=1 web:1000=2"},
		{name: "the port moves", svc: "db", port: 1002, age: 5, eps: "a1", want: "db:1002=1 web:1000=2"},
		{name: "an older Service asks for it later", svc: "old", port: 1000, age: 1, eps: "a1 a2 a3", want: "db:1002=1 web:1000=2",
			problems: []string{"Service default/old: spec.healthCheckNodePort: port 1000 belongs to Service default/web, which claimed it first"}},
		{name: "the first one gives it up", svc: "web", want: "db:1002=1 old:1000=3"},
		{name: "another for the other port", svc: "aaa", port: 1002, age: 5, want: "db:1002=1 old:1000=3",
			problems: []string{"Service default/aaa: spec.healthCheckNodePort: port 1002 belongs to Service default/db, which claimed it first"}},
		{name: "its owner goes", svc: "db", want: "aaa:1002=0 old:1000=3"},
		{name: "the last but one goes", svc: "old", want: "aaa:1002=0"},
	} {
		key := types.NamespacedName{Namespace: "default", Name: step.svc}
		svc := &objects.Service{Key: key, Created: time.Unix(step.age, 0), HealthCheckNodePort: step.port}
		h.Set(resolve.Subject{NamespacedName: key}, resolve.HealthWish(svc, proxiertest.SlicesOf(t, step.eps), self, uint64(pass)))
		h.settle(book)
		h.publish(told, func(types.NamespacedName) bool { return !step.unreachable })
		if told.String() != step.want {
			t.Errorf("%s: %s, want %s", step.name, told, step.want)
		}
		if diff := cmp.Diff(step.problems, proxiertest.ProblemTexts(book.Problems())); diff != "" {
			t.Errorf("%s: problems (-want +got):\n%s", step.name, diff)
		}
	}
	h.Set(resolve.Subject{NamespacedName: types.NamespacedName{Namespace: "default", Name: "aaa"}}, nil)
	if h.Size() > 0 {
		t.Errorf("left over: %+v", h)
	}
}

// TestLocalReady counts addresses, not ports, and of two families the larger.
func TestHealthChecks(t *testing.T) {
	w := newTestWorld(t)
	server := healthcheck.New(healthcheck.Options{NS: w.ns, Report: func(n healthcheck.Name, err error) { HealthCheck(w.store.Book(), n, err) }})
	w.p.health = server
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- server.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run() = %v, want nil", err)
		}
	}()
	if err := w.ns.Do(func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(lo)
	}); err != nil {
		t.Fatal(err)
	}
	service := func(policy string) string {
		return "{apiVersion: v1, kind: Service, metadata: {namespace: default, name: web}, " +
			"spec: {type: LoadBalancer, clusterIP: 10.96.0.1, healthCheckNodePort: 30100, externalTrafficPolicy: " + policy + ", ports: [{port: 80, nodePort: 30080}]}}"
	}
	slice := "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {namespace: default, name: web-1, labels: {kubernetes.io/service-name: web}}, " +
		"addressType: IPv4, ports: [{port: 8080}], endpoints: [{addresses: [10.244.0.1], nodeName: node-a}, {addresses: [10.244.1.2], nodeName: node-b}]}"
	for _, step := range []struct {
		change func(string) error
		object string
		want   string
	}{
		{w.apply, service("Local"), "503, 0 endpoints"},
		{w.apply, slice, "200, 1 endpoints"},
		{w.remove, slice, "503, 0 endpoints"},
		{w.apply, service("Cluster"), "nobody"},
		{w.apply, service("Local"), "503, 0 endpoints"},
		{w.remove, service("Local"), "nobody"},
	} {
		if err := step.change(step.object); err != nil {
			t.Fatal(err)
		}
		if _, err := w.sync(); err != nil {
			t.Fatal(err)
		}
		proxiertest.Eventually(t, step.want, func() bool { return w.askHealth(t, "127.0.0.1:30100") == step.want })
	}

	// Somebody else has the port: the Service is named, and works otherwise.
	var other net.Listener
	if err := w.ns.Do(func() (err error) {
		other, err = new(net.ListenConfig).Listen(t.Context(), "tcp", ":30100")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := w.apply(service("Local")); err != nil {
		t.Fatal(err)
	}
	want := []string{"Service default/web: spec.healthCheckNodePort: listen on :30100: address already in use; tried again"}
	proxiertest.Eventually(t, "the problem", func() bool {
		_, err := w.sync()
		var got []string
		for _, p := range w.p.book.Problems() {
			if p.Kind == objects.KindService {
				got = append(got, p.String())
			}
		}
		return err == nil && slices.Equal(got, want)
	})
	if text := w.summary(); !strings.Contains(text, "vips4 10.96.0.1 . tcp . 80") {
		t.Errorf("the Service is not served:\n%s", text)
	}
	_ = other.Close()
	proxiertest.Eventually(t, "the port", func() bool { return w.askHealth(t, "127.0.0.1:30100") == "503, 0 endpoints" })
	proxiertest.Eventually(t, "no problem", func() bool {
		return !slices.ContainsFunc(w.store.Book().Problems(), func(p objects.Problem) bool { return p.Kind == objects.KindService })
	})
}

func (w *world) askHealth(t *testing.T, addr string) string {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, addr string) (conn net.Conn, err error) {
		err = w.ns.Do(func() (err error) {
			conn, err = new(net.Dialer).DialContext(ctx, network, addr)
			return err
		})
		return conn, err
	}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return "nobody"
	}
	defer func() { _ = resp.Body.Close() }()
	var answer struct{ LocalEndpoints int }
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%d, %d endpoints", resp.StatusCode, answer.LocalEndpoints)
}
