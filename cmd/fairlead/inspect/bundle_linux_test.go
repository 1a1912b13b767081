// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package inspect_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"fairlead/cmd/fairlead/doctor/finding"
	"fairlead/cmd/fairlead/inspect"
	"fairlead/cmd/fairlead/view"
	"fairlead/internal/inet"
	"fairlead/internal/lab"
	"fairlead/internal/lab/labtest"
	"fairlead/internal/nstest"
	"fairlead/nat/kernel"
	"fairlead/nat/nattest"
	"fairlead/nat/plan"
	"fairlead/overlay"
	"fairlead/proxier/resolve"
)

func TestMain(m *testing.M) { nstest.Main(m) }

// manifest has an object of each kind, and objects that fairlead does not serve.
const manifest = `
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {clusterIP: 10.96.0.10, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: bare, labels: {a: b}}
spec: {clusterIP: None}
---
apiVersion: v1
kind: Service
metadata: {name: other, labels: {service.kubernetes.io/service-proxy-name: x}}
spec: {clusterIP: 10.96.0.11}
---
apiVersion: v1
kind: Service
metadata: {name: away}
spec: {type: ExternalName, externalName: example.org}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: "", port: 8080}]
endpoints: [{addresses: [10.244.0.3], conditions: {ready: true}}]
---
apiVersion: v1
kind: Node
metadata: {name: node-1}
---
apiVersion: networking.k8s.io/v1
kind: ServiceCIDR
metadata: {name: kubernetes}
spec: {cidrs: [10.96.0.0/16]}
---
apiVersion: v1
kind: Pod
metadata: {name: web-0}
spec: {nodeName: node-1}
---
apiVersion: v1
kind: Pod
metadata: {name: dns, namespace: kube-system}
`

// live returns a node of the lab with a table, an overlay device and manifests.
func live(t *testing.T) (*lab.Node, *inspect.Live) {
	t.Helper()
	c := labtest.New(t, lab.Config{Nodes: 1, IPv6: true})
	labtest.Pod(t, c.Nodes[0], "web", 80, inet.TCP)
	table, err := kernel.Open(c.Nodes[0].NS)
	check(t, err)
	t.Cleanup(func() { _ = table.Close() })
	state := plan.NewState()
	state.Configure(nattest.CountingSettings())
	nattest.Variety(state)
	for step := state.Next(0); step != nil; step = state.Next(0) {
		check(t, table.Commit(t.Context(), step.Batch))
		state.Acked(step)
	}
	dir := t.TempDir()
	check(t, os.WriteFile(filepath.Join(dir, "all.yaml"), []byte(manifest), 0o600))
	check(t, os.WriteFile(filepath.Join(dir, "10-a.conflist"), []byte(`{"name": "a"}`), 0o600))
	cfg := view.Config{
		Table: resolve.Config{
			NodeName: "node-1", ClusterCIDRs: nattest.Prefixes("10.244.0.0/16"), NodePortAddresses: []string{"primary"},
			NodeAddress: netip.MustParseAddr("192.168.0.1"), ExternalIPs: []netip.Prefix{},
			Overlay: &overlay.Config{Mode: overlay.Direct, ClusterCIDRs: nattest.Prefixes("10.244.0.0/16")},
		},
		CNIConfDir: dir, Source: "flags",
	}
	check := func(context.Context) (*finding.Report, error) {
		r := &finding.Report{Time: time.Unix(1, 0).UTC(), Version: "v1", Node: "node-1", Kernel: "6"}
		r.Add("cni", finding.Warning, []string{"mv a b"}, "a is first")
		return r, nil
	}
	return c.Nodes[0], &inspect.Live{Version: "v1", Config: cfg, Manifests: filepath.Join(dir, "all.yaml"), Check: check}
}

// TestBundle writes a node to files and reads each part back, from a directory, a tar
// archive and a compressed one.
func TestBundle(t *testing.T) {
	node, l := live(t)
	var files map[string][]byte
	var was parts
	check(t, node.NS.Do(func() error {
		n := l.Node()
		var err error
		files, err = view.Files(t.Context(), n)
		was = readParts(t, n)
		return err
	}))
	for _, name := range slices.Sorted(maps.Keys(files)) {
		t.Logf("%s: %d bytes", name, len(files[name]))
	}
	for name, path := range map[string]string{"directory": writeDir(t, files), "tar": writeTar(t, files, false), "tar.gz": writeTar(t, files, true)} {
		t.Run(name, func(t *testing.T) {
			n, err := inspect.OpenBundle(path)
			check(t, err)
			is := readParts(t, n)
			ignore := cmpopts.IgnoreMapEntries(func(k, _ string) bool { return strings.HasSuffix(k, "nf_conntrack_count") })
			if diff := cmp.Diff(was, is, ignore, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
				t.Errorf("(-live +bundle):\n%s", diff)
			}
			if _, err := n.Agent(t.Context()); !errors.Is(err, view.ErrAbsent) {
				t.Errorf("state of the agent: %v, want ErrAbsent", err)
			}
		})
	}
}

// TestBrokenBundle: each kind of broken bundle is an error that names the file.
func TestBrokenBundle(t *testing.T) {
	node, l := live(t)
	var files map[string][]byte
	check(t, node.NS.Do(func() (err error) {
		files, err = view.Files(t.Context(), l.Node())
		return err
	}))
	if _, err := inspect.OpenBundle(t.TempDir()); err == nil || !strings.Contains(err.Error(), "node.json") {
		t.Errorf("empty directory: %v", err)
	}
	if _, err := inspect.OpenBundle("/nonexistent"); err == nil || !strings.HasPrefix(err.Error(), "--bundle: ") {
		t.Errorf("no file: %v", err)
	}
	bomb := filepath.Join(t.TempDir(), "bomb.tar.gz")
	check(t, os.WriteFile(bomb, tarBomb(t), 0o600))
	if _, err := inspect.OpenBundle(bomb); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("bomb: %v", err)
	}
	newer := maps.Clone(files)
	newer["node.json"] = bytes.Replace(files["node.json"], []byte(`"version": 1`), []byte(`"version": 9`), 1)
	if _, err := inspect.OpenBundle(writeDir(t, newer)); err == nil || !strings.Contains(err.Error(), "version 9 is not 1") {
		t.Errorf("newer: %v", err)
	}
	half := maps.Clone(files)
	half["table.json"] = half["table.json"][:100]
	delete(half, "network.json")
	n, err := inspect.OpenBundle(writeTar(t, half, true))
	check(t, err)
	if _, err := n.Table(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "read table.json: ") {
		t.Errorf("half a table: %v", err)
	}
	if _, err := n.Network(t.Context()); !errors.Is(err, view.ErrAbsent) {
		t.Errorf("no network: %v", err)
	}
}

// parts are all parts of a node, comparable.
type parts struct {
	About   *view.About
	Config  *view.Config
	Table   string
	Objects []string
	Pods    int
	Missing map[string]string
	Network *view.Network
	Sysctls map[string]string
	CNI     []view.CNIFile
	Check   *finding.Report
}

func readParts(t *testing.T, n view.Node) (p parts) {
	t.Helper()
	ctx := t.Context()
	var err error
	p.About, err = n.About(ctx)
	check(t, err)
	p.About.Time = p.About.Time.Truncate(0).UTC()
	p.About = &view.About{Host: p.About.Host, Kernel: p.About.Kernel, Version: p.About.Version}
	p.Config, err = n.Config(ctx)
	check(t, err)
	table, err := n.Table(ctx)
	check(t, err)
	b, err := json.Marshal(table)
	check(t, err)
	p.Table = string(b)
	o, err := n.Objects(ctx)
	check(t, err)
	for _, obj := range o.All() {
		p.Objects = append(p.Objects, obj.GetNamespace()+"/"+obj.GetName())
	}
	p.Missing = o.Missing
	pods, err := n.Pods(ctx, "kube-system")
	check(t, err)
	p.Pods = len(pods)
	p.Network, err = n.Network(ctx)
	check(t, err)
	p.Network.Neighbours = nil // change with the time
	p.Sysctls, err = n.Sysctls(ctx)
	check(t, err)
	p.CNI, err = n.CNI(ctx)
	check(t, err)
	p.Check, err = n.Check(ctx)
	check(t, err)
	if len(p.Objects) != 9 || p.Pods != 1 || len(p.Network.Links) < 3 || len(p.Network.Rules) < 5 || p.Sysctls["net/ipv4/ip_forward"] != "1" || len(p.CNI) != 1 {
		t.Errorf("parts are missing: %+v", p)
	}
	return p
}

func writeDir(t *testing.T, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, b := range files {
		check(t, os.WriteFile(filepath.Join(dir, name), b, 0o600))
	}
	return dir
}

func writeTar(t *testing.T, files map[string][]byte, compress bool) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, data := range files {
		check(t, w.WriteHeader(&tar.Header{Name: "./node-1/" + name, Mode: 0o600, Size: int64(len(data)), Typeflag: tar.TypeReg}))
		_, err := w.Write(data)
		check(t, err)
	}
	check(t, w.Close())
	out := b.Bytes()
	if compress {
		var z bytes.Buffer
		zw := gzip.NewWriter(&z)
		_, err := zw.Write(out)
		check(t, errors.Join(err, zw.Close()))
		out = z.Bytes()
	}
	name := filepath.Join(t.TempDir(), "bundle")
	check(t, os.WriteFile(name, out, 0o600))
	return name
}

// tarBomb returns an archive whose header promises more than a bundle may have.
func tarBomb(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	check(t, tar.NewWriter(&b).WriteHeader(&tar.Header{Name: "node.json", Mode: 0o600, Size: 1 << 40, Typeflag: tar.TypeReg}))
	return b.Bytes()
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
