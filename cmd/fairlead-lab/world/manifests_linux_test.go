// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package world

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/yaml"

	"fairlead/internal/lab"
)

func testPod(name, v4, v6 string) *lab.Pod {
	return &lab.Pod{
		Host: &lab.Host{Name: name, Addr4: netip.MustParseAddr(v4), Addr6: netip.MustParseAddr(v6)},
		Node: &lab.Node{Host: &lab.Host{Name: "node-1"}},
	}
}

// readManifest writes a manifest and reads it back, document by document.
func readManifest(t *testing.T, text string) []string {
	t.Helper()
	dir := t.TempDir()
	if err := WriteManifest(dir, "x.yaml", text); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 {
		t.Fatalf("the directory holds %v, %v, want x.yaml alone", files, err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "x.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(string(b), "\n---\n")
}

// decode reads a document the way an API server would with strict validation.
func decode[T any](t *testing.T, doc string) (out T) {
	t.Helper()
	if err := yaml.UnmarshalStrict([]byte(doc), &out); err != nil {
		t.Fatalf("%v\n%s", err, doc)
	}
	return out
}

func TestServiceManifest(t *testing.T) {
	s := Service{
		Name: "web", Port: 80, NodePort: 30080, TargetPort: 8080,
		ClusterIPs: VIPs(lab.Config{IPv6: true}, 10),
		Endpoints: []Endpoint{
			{Pod: testPod("web-1", "10.244.1.2", "fd00:10:244:1::2")},
			{Pod: testPod("web-2", "10.244.1.3", "fd00:10:244:1::3"), Terminating: true},
		},
	}
	docs := readManifest(t, s.Manifest())
	if len(docs) != 3 {
		t.Fatalf("%d documents, want a Service and two slices", len(docs))
	}
	svc := decode[corev1.Service](t, docs[0])
	if diff := cmp.Diff([]string{"10.96.0.10", "fd00:10:96::a"}, svc.Spec.ClusterIPs); diff != "" {
		t.Errorf("cluster IPs (-want +got):\n%s", diff)
	}
	port := svc.Spec.Ports[0]
	if port.Port != 80 || port.NodePort != 30080 || port.TargetPort.IntValue() != 8080 {
		t.Errorf("port %+v", port)
	}
	want := [][]string{{"10.244.1.2 true false", "10.244.1.3 false true"}, {"fd00:10:244:1::2 true false", "fd00:10:244:1::3 false true"}}
	var got [][]string
	for _, doc := range docs[1:] {
		slice := decode[discoveryv1.EndpointSlice](t, doc)
		if slice.Labels[discoveryv1.LabelServiceName] != "web" || *slice.Ports[0].Port != 8080 {
			t.Errorf("slice %+v", slice)
		}
		got = append(got, endpointWords(slice))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("endpoints (-want +got):\n%s", diff)
	}
}

func endpointWords(slice discoveryv1.EndpointSlice) (out []string) {
	word := map[bool]string{true: " true", false: " false"}
	for _, e := range slice.Endpoints {
		out = append(out, e.Addresses[0]+word[*e.Conditions.Ready]+word[*e.Conditions.Terminating])
	}
	return out
}

func TestServiceManifestEmpty(t *testing.T) {
	docs := readManifest(t, Service{Name: "idle", ClusterIPs: VIPs(lab.Config{}, 20)}.Manifest())
	if len(docs) != 2 {
		t.Fatalf("%d documents, want a Service and one slice", len(docs))
	}
	if slice := decode[discoveryv1.EndpointSlice](t, docs[1]); slice.Endpoints == nil || len(slice.Endpoints) != 0 {
		t.Errorf("endpoints %v, want an empty list", slice.Endpoints)
	}
}

func TestNodesManifest(t *testing.T) {
	node := &lab.Node{
		Host:     &lab.Host{Name: "node-1", Addr4: netip.MustParseAddr("192.168.50.1"), Addr6: netip.MustParseAddr("fd00:50::1")},
		PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.244.1.0/24"), netip.MustParsePrefix("fd00:10:244:1::/64")},
	}
	list := decode[struct {
		APIVersion, Kind string
		Items            []corev1.Node
	}](t, readManifest(t, NodesManifest([]*lab.Node{node}))[0])
	if len(list.Items) != 1 {
		t.Fatalf("%d nodes, want 1", len(list.Items))
	}
	got := list.Items[0]
	want := []corev1.NodeAddress{
		{Type: corev1.NodeInternalIP, Address: "192.168.50.1"},
		{Type: corev1.NodeInternalIP, Address: "fd00:50::1"},
		{Type: corev1.NodeHostName, Address: "node-1"},
	}
	if diff := cmp.Diff(want, got.Status.Addresses); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"10.244.1.0/24", "fd00:10:244:1::/64"}, got.Spec.PodCIDRs); diff != "" {
		t.Errorf("pod CIDRs (-want +got):\n%s", diff)
	}
}
