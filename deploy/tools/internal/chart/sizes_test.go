// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"fmt"
	"os"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// memory is a formula of docs/performance.md, in MB.
type memory struct{ base, per1000Services, per10000Endpoints float64 }

func (m memory) of(services, endpoints int) float64 {
	return m.base + m.per1000Services*float64(services)/1000 + m.per10000Endpoints*float64(endpoints)/10_000
}

// mebibytes rounds MB up to a multiple of so many MiB.
func mebibytes(mb float64, step int64) *resource.Quantity {
	n := int64(mb * 1e6)
	unit := step << 20
	return resource.NewQuantity((n+unit-1)/unit*unit, resource.BinarySI)
}

// TestSizes: the resources of each size follow from the formulas, and the documentation has
// the formulas, the sizes and the resources.
func TestSizes(t *testing.T) {
	rest, peak := memory{38, 0.9, 2.5}, memory{44, 2.4, 3.4}
	// measured are resident memory and its peak with the table in the kernel.
	for _, m := range []struct {
		services, endpoints int
		rest, peak          float64
	}{{1000, 10_000, 39 + 2, 47 + 2}, {10_000, 100_000, 46 + 15, 84 + 15}, {25_000, 250_000, 86 + 34, 154 + 34}, {5006, 250_300, 57 + 46, 94 + 46}} {
		for name, pair := range map[string][2]float64{"rest": {m.rest, rest.of(m.services, m.endpoints)}, "peak": {m.peak, peak.of(m.services, m.endpoints)}} {
			if pair[1] < pair[0] || pair[1] > 1.25*pair[0] {
				t.Errorf("%s of %d Services with %d endpoints: %.0f MB, measured %.0f", name, m.services, m.endpoints, pair[1], pair[0])
			}
		}
	}
	doc, err := os.ReadFile("../../../../docs/performance.md")
	if err != nil {
		t.Fatal(err)
	}
	values, err := os.ReadFile(dir + "/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []struct {
		name, services, endpoints string
		n, m                      int
	}{{"small", "100", "1,000", 100, 1000}, {"medium", "2,000", "20,000", 2000, 20_000}, {"large", "10,000", "100,000", 10_000, 100_000}, {"xlarge", "25,000", "250,000", 25_000, 250_000}} {
		request, limit := mebibytes(rest.of(s.n, s.m), 64), mebibytes(3*peak.of(s.n, s.m)+105, 256)
		agent := pick[*appsv1.DaemonSet](t, objects(t, with(map[string]any{"size": s.name}), Release{})).Spec.Template.Spec.Containers[0]
		if got := agent.Resources.Requests.Memory(); got.Cmp(*request) != 0 {
			t.Errorf("%s requests %s, want %s", s.name, got, request)
		}
		if got := agent.Resources.Limits.Memory(); got.Cmp(*limit) != 0 {
			t.Errorf("%s has the limit %s, want %s", s.name, got, limit)
		}
		for name, text := range map[string][2]string{
			"docs/performance.md": {string(doc), fmt.Sprintf("| %s | %s | %s | %s | %s |", s.name, s.services, s.endpoints, request, limit)},
			"values.yaml":         {strings.Join(strings.Fields(strings.ReplaceAll(string(values), "#", "")), " "), s.services},
		} {
			if !strings.Contains(text[0], text[1]) {
				t.Errorf("%s lacks %q", name, text[1])
			}
		}
	}
}
