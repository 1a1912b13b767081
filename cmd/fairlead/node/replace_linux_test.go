// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"fairlead/internal/leftovers"
	"fairlead/internal/nstest"
)

func TestMain(m *testing.M) { nstest.Main(m) }

// TestReplaceComesBack lets kube-proxy's table come back after the second check, as an nft does
// that outlives kube-proxy on a busy node. The table goes again within seconds.
func TestReplaceComesBack(t *testing.T) {
	table := []string{"ip", "kube-proxy"}
	nft := func(verb ...string) string {
		out, err := exec.CommandContext(t.Context(), "nft", append(verb, table...)...).CombinedOutput()
		if err != nil && verb[0] != "list" {
			t.Fatalf("nft %s: %v: %s", strings.Join(verb, " "), err, out)
		}
		return string(out)
	}
	gone := func(what string) {
		t.Helper()
		for start := time.Now(); strings.HasPrefix(nft("list", "table"), "table"); <-time.After(20 * time.Millisecond) {
			if time.Since(start) > 30*time.Second {
				t.Fatalf("%s is still there", what)
			}
		}
	}
	nft("add", "table")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	opts := LeftoverOptions()
	opts.CNIDir, opts.SubnetFile = t.TempDir(), ""
	r := &Replacer{owners: []leftovers.Owner{leftovers.KubeProxy}, opts: opts, logged: map[string]bool{}, ready: func() bool { return true }}
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	gone("the table")
	<-time.After(replaceWait + replaceWait/2)
	nft("add", "table")
	gone("the table that came back")
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
}

// TestReplaceAnyMoment lets an object come back at each moment after the first check that found
// nothing. It goes after at most as long, or after replaceWait. With checks after 2, 62 and 122
// seconds, an object that came back after 2.1 seconds stayed for a minute.
func TestReplaceAnyMoment(t *testing.T) {
	var checks []time.Duration
	var watched, at time.Duration
	for goesOn := true; goesOn; {
		checks = append(checks, at)
		var wait time.Duration
		wait, goesOn = afterCheck(false, &watched)
		at += wait
	}
	for back := time.Duration(0); back < replaceWatch; back += 100 * time.Millisecond {
		i, _ := slices.BinarySearch(checks, back+1) // the first check after it
		if i == len(checks) {
			t.Fatalf("what comes back after %v stays", back)
		}
		if stays, most := checks[i]-back, max(back, replaceWait); stays > most {
			t.Errorf("what comes back after %v stays for %v, want at most %v", back, stays, most)
		}
	}
}

// TestReplaceChecks checks the times of all checks. Those after everything was removed end, and
// the last one is at least replaceWatch later.
func TestReplaceChecks(t *testing.T) {
	var watched, at time.Duration
	var times []time.Duration
	for n := range 20 {
		times = append(times, at/time.Second)
		wait, goesOn := afterCheck(n == 1, &watched) // the second check finds a program that runs
		if !goesOn {
			break
		}
		at += wait
	}
	if want := []time.Duration{0, 2, 4, 6, 8, 12, 20, 36, 68, 132}; !slices.Equal(times, want) {
		t.Errorf("checks after %v seconds, want %v", times, want)
	}
}
