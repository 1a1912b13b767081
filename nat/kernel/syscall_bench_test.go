// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"fairlead/internal/nstest"
)

// BenchmarkSystemCalls reports how many system calls one operation of another
// benchmark takes. It runs that one under strace, twice with different numbers
// of operations, and divides the difference; its own time means nothing.
func BenchmarkSystemCalls(b *testing.B) {
	nstest.Need(b)
	if _, err := exec.LookPath("strace"); err != nil {
		b.Skip("strace is not installed")
	}
	for _, name := range []string{"EndpointChange/services=1000$", "NothingPending/services=1000$"} {
		b.Run(strings.Trim(name, "$"), func(b *testing.B) {
			const few, many = 100, 1100
			for b.Loop() {
				calls := float64(countCalls(b, name, many)-countCalls(b, name, few)) / (many - few)
				b.ReportMetric(calls, "syscalls/op")
			}
		})
	}
}

// BenchmarkNothingPending is a sync without a change.
func BenchmarkNothingPending(b *testing.B) {
	b.Run("services=1000", func(b *testing.B) {
		table := open(b, nstest.New(b))
		s := fillState(1000, 10)
		settle(b, s, table)
		b.ReportAllocs()
		for b.Loop() {
			s.Set(clusterService(7, 10))
			if settle(b, s, table) != 0 {
				b.Fatal("something was pending")
			}
		}
	})
}

// countCalls counts the network system calls of a benchmark that is run n
// times; those of Go's scheduler come and go.
func countCalls(b *testing.B, name string, n int) int {
	b.Helper()
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	out := filepath.Join(b.TempDir(), "calls")
	cmd := exec.Command("strace", "-f", "-qq", "-c", "-U", "calls,name", "-e", "trace=%network", "-o", out,
		self, "-test.run", "^$", "-test.bench", "^Benchmark"+name, "-test.benchtime", fmt.Sprint(n, "x"))
	if text, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("strace: %v\n%s", err, text)
	}
	f, err := os.Open(out)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) == 2 && fields[1] == "total" {
			total, err := strconv.Atoi(fields[0])
			if err != nil {
				b.Fatal(err)
			}
			return total
		}
	}
	b.Fatal("strace gave no total")
	return 0
}
