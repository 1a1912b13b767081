// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"fairlead/cmd/fairlead-lab/world"
	"fairlead/internal/inet"
	"fairlead/internal/lab"
	"fairlead/internal/nstest"
)

// TestMain lets the test binary be the agent, a command and a floor of a benchmark as well: see
// worldOf, onNode and runFloor.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == "run" || os.Getenv("FAIRLEAD_COMMAND") != "") {
		profileStart(os.Getenv("FAIRLEAD_PROFILE"))
		main()
		return
	}
	if name := os.Getenv(floorEnv); name != "" {
		if err := runFloor(context.Background(), name); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if nstest.Available() {
		if err := loopbackUp(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	if os.Getenv(disposableEnv) != "" {
		nstest.MainAsRoot(m) // a user namespace may not set the clock
	}
	nstest.Main(m)
}

// loopbackUp is for tests that listen on 127.0.0.1 of the test's own namespace.
func loopbackUp() error {
	lo, err := netlink.LinkByName("lo")
	return errors.Join(err, netlink.LinkSetUp(lo))
}

// worldOf returns a world whose agents are this test binary, so that the tests
// cover the code that they were built with.
func worldOf(t testing.TB, cfg lab.Config, flags ...string) world.Options {
	t.Helper()
	return world.Options{Dir: t.TempDir(), Lab: cfg, Agent: "/proc/self/exe", Overlay: "vxlan", Flags: flags}
}

// testWorld is a world that ends with the test. The logs of its agents are shown
// when that fails.
func testWorld(t testing.TB, w *world.World, err error) *world.World {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Cluster.Close(); err != nil {
			t.Error(err)
		}
		for name, a := range w.Agents {
			if t.Failed() {
				t.Logf("the log of %s ends with:\n%s", name, a.Tail())
			}
		}
	})
	return w
}

func eventually(t testing.TB, what string, f func() error) {
	t.Helper()
	var err error
	const patience = 2 * time.Minute // of a machine that does much else
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if err = f(); err == nil {
			return
		}
	}
	t.Fatalf("not within %s: %s: %v", patience, what, err)
}

// expect dials until the answer is the right one.
func expect(t testing.TB, from *lab.Host, ip netip.Addr, port uint16, want string) {
	t.Helper()
	at := inet.Addr{IP: ip, Port: port, Proto: inet.TCP}
	eventually(t, fmt.Sprintf("%s to %s: %s", from.Name, at, want), func() error {
		if got := from.Try(t.Context(), at); got != want {
			return errors.New(got)
		}
		return nil
	})
}
