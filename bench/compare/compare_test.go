// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"fairlead/bench/controlplane"
	"fairlead/internal/lab"
	"fairlead/internal/lab/labtest"
	"fairlead/internal/nstest"
)

var (
	services = flag.Int("services", 30, "how many Services there are")
	backends = flag.Int("backends", 3, "how many endpoints each of them has")
	updates  = flag.Int("updates", 3, "how many updates are measured")
	report   = flag.String("report", "", "file to append the table to")
)

func TestMain(m *testing.M) { nstest.MainAsRoot(m) }

// podNet has a pod CIDR of the lab in it, and addresses for a million endpoints.
var podNet = netip.MustParsePrefix("10.128.0.0/9")

// bench is the cluster that is measured.
type bench struct {
	*lab.Cluster
	plane *controlplane.Plane
	dir   string
	world *world
}

func TestCompare(t *testing.T) {
	b := newBench(t)
	watch := b.measureWatch(t)
	subjects := []subject{fairlead(t), kubeProxy()}
	results := make([]result, len(subjects))
	for i, s := range subjects {
		results[i] = b.measure(t, s, b.Nodes[i])
	}
	text := table(*services, *backends, watch, subjects, results)
	fmt.Print(text)
	if *report == "" {
		return
	}
	f, err := os.OpenFile(*report, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		t.Error(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{Cluster: labtest.New(t, lab.Config{Nodes: 2}), dir: t.TempDir()}
	plane, err := controlplane.Start(t.Context(), controlplane.Config{
		Host: b.Outside, Binary: binary(t, "controlplane"), Dir: b.dir,
		PodCIDRs:     []netip.Prefix{podNet},
		ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16")},
	})
	if err != nil {
		t.Fatal(err)
	}
	b.plane = plane
	t.Cleanup(func() {
		if t.Failed() {
			for _, path := range plane.Logs() {
				t.Logf("%s:\n%s", path, controlplane.Tail(path))
			}
		}
	})
	b.world = newWorld(t, b)
	return b
}

func binary(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "..", "bin", name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v; run \"make compare\"", err)
	}
	return path
}
