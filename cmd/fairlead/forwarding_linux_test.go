// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"fairlead/cmd/fairlead-lab/world"
	"fairlead/internal/inet"
	"fairlead/internal/lab"
	"fairlead/internal/nstest"
)

// TestForwardingOfDevices turns forwarding off for single devices, as network managers
// do, while net.ipv4.ip_forward stays on. The agent turns it on again before its next
// periodic check, also for a device that it has not seen before, and packets pass.
func TestForwardingOfDevices(t *testing.T) {
	nstest.Need(t)
	cfg := lab.Config{Nodes: 2, NoPodRoutes: true}
	made, err := world.New(t.Context(), worldOf(t, cfg, "--nodeport-addresses="), 2)
	w := testWorld(t, made, err)
	if err := errors.Join(w.StartAgents(), w.WaitAgents(t.Context(), w.Web)); err != nil {
		t.Fatal(err)
	}
	n := w.Cluster.Nodes[0]
	answers := func(what string) {
		t.Helper()
		deadline := time.Now().Add(30 * time.Second)
		for {
			got := w.Cluster.Outside.Try(t.Context(), inet.Addr{IP: n.Addr4, Port: w.Web.NodePort, Proto: inet.TCP})
			if strings.Contains(got, " saw ") {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: %s", what, got)
			}
		}
	}
	answers("at first")
	// The agent is told of each change. Its checks are 10 s apart, so they would take 40 s in all.
	waited := time.Duration(0)
	for _, device := range []string{"eth0", "fairlead.1"} {
		for range 2 {
			if err := n.Sysctl("ipv4/conf/"+device+"/forwarding", "0"); err != nil {
				t.Fatal(err)
			}
			waited += within(t, device+" forwards", func() error { return forwards(n, device) })
			answers("after forwarding of " + device + " was off")
		}
	}
	// The overlay's device comes again, with what others made the default.
	if err := n.Sysctl("ipv4/conf/default/forwarding", "0"); err != nil {
		t.Fatal(err)
	}
	link, err := n.Netlink().LinkByName("fairlead.1")
	if err := errors.Join(err, n.Netlink().LinkDel(link)); err != nil {
		t.Fatal(err)
	}
	waited += within(t, "the new fairlead.1 forwards", func() error { return forwards(n, "fairlead.1") })
	answers("after the device was made anew")
	if waited > 20*time.Second {
		t.Errorf("forwarding came back after %s in all, so the agent waited for its next check", waited)
	}
}

func forwards(n *lab.Node, device string) error {
	return n.NS.Do(func() error {
		text, err := os.ReadFile("/proc/sys/net/ipv4/conf/" + device + "/forwarding")
		if err == nil && strings.TrimSpace(string(text)) != "1" {
			err = fmt.Errorf("forwarding is %q", text)
		}
		return err
	})
}

// within waits until f succeeds, and returns for how long.
func within(t *testing.T, what string, f func() error) time.Duration {
	t.Helper()
	start := time.Now()
	eventually(t, what, f)
	return time.Since(start)
}
