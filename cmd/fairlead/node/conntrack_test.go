// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestConntrackSysctls(t *testing.T) {
	c := Conntrack{MaxPerCore: 32768, Min: 131072, Established: 24 * time.Hour, UDPTimeout: 1500 * time.Millisecond, BeLiberal: true}
	timeouts := []kernelLimit{
		{"nf_conntrack_tcp_timeout_established", 86400, false}, {"nf_conntrack_udp_timeout", 2, false}, {"nf_conntrack_tcp_be_liberal", 1, false},
	}
	for cpus, limit := range map[int]int{2: 131072, 8: 262144, 1 << 20: 1<<31 - 1} {
		want := append([]kernelLimit{{"nf_conntrack_buckets", limit / 4, true}, {"nf_conntrack_max", limit, true}}, timeouts...)
		if diff := cmp.Diff(want, c.limits(cpus), cmp.AllowUnexported(kernelLimit{})); diff != "" {
			t.Errorf("%d CPUs (-want +got):\n%s", cpus, diff)
		}
	}
	for d, want := range map[time.Duration]int{1: 1, time.Second: 1, time.Second + 1: 2, math.MaxInt64: 9223372037} {
		if got := (&Conntrack{UDPTimeout: d}).limits(2); len(got) != 1 || got[0].value != want {
			t.Errorf("%d ns: %v, want %d s", d, got, want)
		}
	}
	if got := (&Conntrack{Min: 5}).limits(2); len(got) > 0 {
		t.Errorf("nothing to set, but %v", got)
	}
}

// TestConntrackApply: what can be written is, and what cannot is named.
func TestConntrackApply(t *testing.T) {
	dir := t.TempDir()
	c := Conntrack{MaxPerCore: 1, Min: 1000, CloseWait: time.Minute}
	file := func(name string) string { return filepath.Join(dir, "netfilter", name) }
	if err := os.Mkdir(file(""), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"nf_conntrack_max": "5000\n", "nf_conntrack_tcp_timeout_close_wait": "5\n"} {
		if err := os.WriteFile(file(name), []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Apply(dir, 2); err == nil || !strings.Contains(err.Error(), "nf_conntrack_buckets") || strings.Contains(err.Error(), "\n") {
		t.Errorf("error %v, want one, of nf_conntrack_buckets", err)
	}
	for name, want := range map[string]string{"nf_conntrack_max": "5000", "nf_conntrack_tcp_timeout_close_wait": "60"} {
		if got, err := os.ReadFile(file(name)); err != nil || strings.TrimSpace(string(got)) != want {
			t.Errorf("%s is %q, %v, want %s", name, got, err, want)
		}
	}
}
