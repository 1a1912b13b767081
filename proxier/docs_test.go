// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// TestServicesTable compares docs/services.md with the tests that it names, and
// with the API: a field that a new version adds needs a line.
func TestServicesTable(t *testing.T) {
	text := readNaming(t, "services.md", 50)
	for prefix, typ := range map[string]reflect.Type{
		"spec.":                          reflect.TypeFor[corev1.ServiceSpec](),
		"spec.ports[].":                  reflect.TypeFor[corev1.ServicePort](),
		"status.loadBalancer.ingress[].": reflect.TypeFor[corev1.LoadBalancerIngress](),
		"spec.sessionAffinityConfig.":    reflect.TypeFor[corev1.SessionAffinityConfig](),
		"":                               reflect.TypeFor[discoveryv1.EndpointSlice](),
		"ports[].":                       reflect.TypeFor[discoveryv1.EndpointPort](),
		"endpoints[].":                   reflect.TypeFor[discoveryv1.Endpoint](),
		"endpoints[].conditions.":        reflect.TypeFor[discoveryv1.EndpointConditions](),
		"endpoints[].hints.":             reflect.TypeFor[discoveryv1.EndpointHints](),
	} {
		for _, field := range reflect.VisibleFields(typ) {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if field.Anonymous || len(field.Index) > 1 || name == "metadata" {
				continue
			}
			// Fields of a field may stand for it.
			if !regexp.MustCompile("`" + regexp.QuoteMeta(prefix+name) + "[`.[]").Match(text) {
				t.Errorf("%s%s is missing", prefix, name)
			}
		}
	}
}

// TestFieldReports looks for the tests that docs/field-reports.md names. Each row
// links the report.
func TestFieldReports(t *testing.T) {
	text := readNaming(t, "field-reports.md", 20)
	rows := regexp.MustCompile(`(?m)^\| [A-Z].*\|$`).FindAll(text, -1)
	if len(rows) < 15 {
		t.Errorf("only %d reports", len(rows))
	}
	for _, row := range rows {
		if !bytes.Contains(row, []byte("](https://github.com/")) || !bytes.Contains(row, []byte("`Test")) {
			t.Errorf("a report without a link or a test: %.60s", row)
		}
	}
}

// TestSecurityPage looks for the tests that docs/security.md names. Each promise has one.
func TestSecurityPage(t *testing.T) {
	text := readNaming(t, "security.md", 50)
	promises, rest, ok := bytes.Cut(text, []byte("\n## What is not promised\n"))
	if !ok || bytes.Contains(rest, []byte("\n## ")) {
		t.Error("the page does not end with what is not promised")
	}
	rows := regexp.MustCompile(`(?m)^\| [^|]*[.] \|.*\|$`).FindAll(promises, -1)
	if len(rows) < 30 {
		t.Errorf("only %d promises", len(rows))
	}
	for _, row := range rows {
		if strings.Count(string(row), " | ") == 1 {
			continue // a way that was tried
		}
		if !regexp.MustCompile("`(Test|Fuzz|Benchmark)[A-Za-z0-9]+`[^|]*\\|$").Match(row) {
			t.Errorf("a promise without a test: %.60s", row)
		}
	}
}

// readNaming returns a page of docs, and makes sure that every test that it names
// exists, and that there are enough of them.
func readNaming(t *testing.T, page string, fewest int) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "docs", page))
	if err != nil {
		t.Fatal(err)
	}
	var tests strings.Builder
	for _, dir := range []string{"proxier", "proxier/*", "nat", "nat/*", "conntrack", "overlay", "overlay/*", "cmd/fairlead", "cmd/fairlead/*", "internal/*", "deploy/tools/*", "deploy/tools/internal/*"} {
		files, err := filepath.Glob(filepath.Join("..", dir, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			code, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			tests.Write(code)
		}
	}
	named := regexp.MustCompile("`((Test|Fuzz|Benchmark)[A-Za-z0-9_]+)`").FindAllStringSubmatch(string(text), -1)
	if len(named) < fewest {
		t.Errorf("only %d tests are named", len(named))
	}
	for _, m := range named {
		if !strings.Contains(tests.String(), "\nfunc "+m[1]+map[string]string{"Test": "(t *testing.T)", "Fuzz": "(f *testing.F)", "Benchmark": "(b *testing.B)"}[m[2]]) {
			t.Errorf("%s does not exist", m[1])
		}
	}
	return text
}
