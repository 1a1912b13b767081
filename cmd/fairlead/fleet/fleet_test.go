// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead/cmd/fairlead/state"
)

const token = "the user's token"

// cluster is an API server with nodes and pods.
type cluster struct {
	nodes []corev1.Node
	pods  []corev1.Pod
	proxy map[string]http.HandlerFunc // by pod
}

func (c *cluster) add(node string, pod func(*corev1.Pod), answer http.HandlerFunc) {
	c.nodes = append(c.nodes, corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node}})
	if pod == nil {
		return
	}
	p := corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "fairlead-" + node, Namespace: "kube-system"},
		Spec:       corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Ports: []corev1.ContainerPort{{Name: "metrics", ContainerPort: 10249}}}}},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning, HostIP: "127.0.0.1"},
	}
	pod(&p)
	c.pods = append(c.pods, p)
	c.proxy[p.Name] = answer
}

// ServeHTTP serves lists in pages of one object.
func (c *cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	at, _ := strconv.Atoi(r.URL.Query().Get("continue"))
	next := func(n int) metav1.ListMeta {
		if at+1 < n {
			return metav1.ListMeta{Continue: strconv.Itoa(at + 1)}
		}
		return metav1.ListMeta{}
	}
	var answer any
	switch path := r.URL.Path; {
	case r.Header.Get("Authorization") != "Bearer "+token:
		http.Error(w, "{}", http.StatusUnauthorized)
		return
	case path == "/api/v1/nodes":
		answer = corev1.NodeList{TypeMeta: metav1.TypeMeta{Kind: "NodeList", APIVersion: "v1"}, ListMeta: next(len(c.nodes)), Items: c.nodes[at : at+1]}
	case path == "/api/v1/namespaces/kube-system/pods" && r.URL.Query().Get("labelSelector") == "app=x":
		answer = corev1.PodList{TypeMeta: metav1.TypeMeta{Kind: "PodList", APIVersion: "v1"}, ListMeta: next(len(c.pods)), Items: c.pods[at : at+1]}
	default:
		rest, ok := strings.CutPrefix(path, "/api/v1/namespaces/kube-system/pods/")
		pod, suffix, _ := strings.Cut(rest, ":10249/proxy")
		if !ok || suffix != "/state" {
			http.NotFound(w, r)
			return
		}
		c.proxy[pod](w, r)
		return
	}
	_ = json.NewEncoder(w).Encode(answer)
}

func agent(node string, change func(*state.State)) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		s := state.State{Protocol: state.Protocol, Node: node, Version: "1.0", Ready: true}
		change(&s)
		_ = json.NewEncoder(w).Encode(s)
	}
}

func open(t *testing.T, h http.Handler, opts Options) *Fleet {
	t.Helper()
	srv := httptest.NewTLSServer(h)
	t.Cleanup(srv.Close)
	opts.Kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf(`{apiVersion: v1, kind: Config, current-context: x, contexts: [{name: x, context: {cluster: c, user: u}}],
clusters: [{name: c, cluster: {server: %q, insecure-skip-tls-verify: true}}], users: [{name: u, user: {token: %q}}]}`, srv.URL, token)
	if err := os.WriteFile(opts.Kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	opts.Namespace, opts.Selector = "kube-system", "app=x"
	f, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func same(*corev1.Pod)  {}
func fine(*state.State) {}

// TestAsk asks a fleet in which every kind of trouble happens to one agent, and checks
// that each costs the answer of that agent alone.
func TestAsk(t *testing.T) {
	c := &cluster{proxy: map[string]http.HandlerFunc{}}
	c.add("a", same, agent("a", fine))
	c.add("b", same, agent("b", fine))
	c.add("broken", same, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello")) })
	c.add("denied", same, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403,"message":"no"}`))
	})
	c.add("liar", same, agent("liar", func(s *state.State) {
		s.Overlay = &state.Overlay{PeerCount: 1, LostCount: -1, Peers: make([]state.Peer, 1)}
	}))
	c.add("new", same, agent("new", func(s *state.State) { s.Protocol = "fairlead/v2" }))
	c.add("none", nil, nil)
	c.add("old", same, agent("old", func(s *state.State) { s.Version = "0.9" }))
	c.add("pending", func(p *corev1.Pod) { p.Status.Phase = corev1.PodPending }, nil)
	c.add("portless", func(p *corev1.Pod) { p.Spec.Containers[0].Ports = nil }, nil)
	c.add("secure", func(p *corev1.Pod) { p.Spec.Containers[0].Ports[0].Name = "https-metrics" }, nil)
	c.add("sick", same, agent("sick", func(s *state.State) {
		s.ProblemCount = 500
		s.Problems = make([]state.Problem, 500)
		s.Syncs = make([]state.Sync, 500)
	}))
	list, err := open(t, c, Options{}).Ask(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"a": "", "b": "", "broken": "read the answer of the agent", "denied": "the verb get on pods/proxy is needed", "liar": "",
		"new": `the agent speaks "fairlead/v2"`, "none": "has no pod of the agent", "old": "", "pending": "its pod fairlead-pending is Pending",
		"portless": "has no port metrics or https-metrics", "secure": "use --direct", "sick": "",
	}
	if len(list) != len(want) || !slices.IsSortedFunc(list, func(a, b state.Answer) int { return strings.Compare(a.Node, b.Node) }) {
		t.Fatalf("answers: %+v", list)
	}
	for _, a := range list {
		text, known := want[a.Node]
		if !known || (text == "") != (a.Error == "") || !strings.Contains(a.Error, text) || (a.State == nil) != (text != "") {
			t.Errorf("%s: %q, want %q", a.Node, a.Error, text)
		}
		switch a.Node {
		case "old":
			if fmt.Sprint(a.Differs) != "[version is 0.9, elsewhere 1.0]" {
				t.Errorf("old differs %q", a.Differs)
			}
		case "sick":
			if len(a.Faults) != 1 || len(a.State.Problems) != kept || a.State.Syncs != nil {
				t.Errorf("sick has faults %q, %d problems", a.Faults, len(a.State.Problems))
			}
		}
	}
}

// TestDirect sends the token to an agent whose certificate is signed, and to no other.
func TestDirect(t *testing.T) {
	got := make(chan string, 8)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got <- r.Header.Get("Authorization")
		if r.URL.Path == "/redirect" {
			return
		}
		agent("a", fine)(w, r)
	})
	tlsServer := httptest.NewTLSServer(handler)
	plain := httptest.NewServer(handler)
	hostile := httptest.NewServer(http.RedirectHandler(plain.URL+"/redirect", http.StatusFound))
	for _, srv := range []*httptest.Server{tlsServer, plain, hostile} {
		t.Cleanup(srv.Close)
	}
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: tlsServer.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		srv             *httptest.Server
		port, ca        string
		err, credential string
	}{
		"signed":   {tlsServer, "https-metrics", ca, "", "Bearer " + token},
		"unsigned": {tlsServer, "https-metrics", "", "certificate", ""},
		"plain":    {plain, "metrics", "", "", ""},
		"redirect": {hostile, "metrics", "", "the agent answers 302", ""},
	} {
		c := &cluster{proxy: map[string]http.HandlerFunc{}}
		_, port, err := net.SplitHostPort(tt.srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		n, _ := strconv.Atoi(port)
		c.add("a", func(p *corev1.Pod) {
			p.Spec.Containers[0].Ports[0] = corev1.ContainerPort{Name: tt.port, ContainerPort: int32(n)}
		}, nil)
		list, err := open(t, c, Options{Direct: true, CAFile: tt.ca}).Ask(t.Context())
		if err != nil || (tt.err == "") != (list[0].Error == "") || !strings.Contains(list[0].Error, tt.err) {
			t.Errorf("%s: %v, %+v", name, err, list)
		}
		credential := ""
		select {
		case credential = <-got:
		default:
		}
		if credential != tt.credential {
			t.Errorf("%s: the agent gets %q", name, credential)
		}
	}
}

// TestNotFound: without an API server that answers there is one error.
func TestNotFound(t *testing.T) {
	for name, h := range map[string]http.Handler{
		"forbidden": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }),
		"nothing":   http.NotFoundHandler(),
	} {
		if list, err := open(t, h, Options{}).Ask(t.Context()); err == nil || list != nil || !strings.HasPrefix(err.Error(), "find agents: ") {
			t.Errorf("%s: %v, %v", name, list, err)
		}
	}
	if _, err := New(Options{Kubeconfig: "/none"}); err == nil || !strings.HasPrefix(err.Error(), "--kubeconfig: ") {
		t.Errorf("a missing kubeconfig: %v", err)
	}
}
