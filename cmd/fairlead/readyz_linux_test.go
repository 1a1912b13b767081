// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"fairlead/internal/nstest"
)

// readyNodes is this node and another one.
const readyNodes = `apiVersion: v1
kind: Node
metadata: {name: node-a}
spec: {podCIDR: 10.244.1.0/24, podCIDRs: [10.244.1.0/24]}
status: {addresses: [{type: InternalIP, address: 192.0.2.1}]}
---
apiVersion: v1
kind: Node
metadata: {name: node-b}
spec: {podCIDR: 10.244.2.0/24, podCIDRs: [10.244.2.0/24]}
status: {addresses: [{type: InternalIP, address: 192.0.2.2}]}
`

// TestReadyzFalls breaks the network of the pods, and then the table, in a way that the agent
// cannot repair, or as often as it repairs it. /readyz falls with the reason, and rises when the other program gives way.
// /livez stays: a restart would not help.
func TestReadyzFalls(t *testing.T) {
	nstest.Need(t)
	ip := func(args ...string) error {
		out, err := exec.Command("ip", args...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("ip %v: %w\n%s", args, err, out)
		}
		return nil
	}
	for _, args := range []string{"link add eth-ready type bridge", "link set eth-ready up", "addr add 192.0.2.1/24 dev eth-ready"} {
		if err := ip(strings.Fields(args)...); err != nil {
			t.Fatal(err)
		}
	}
	dir := ownedManifests(t, "web", "10.96.0.1")
	if err := os.WriteFile(dir+"/nodes.yaml", []byte(readyNodes), 0o600); err != nil {
		t.Fatal(err)
	}
	const probes = "127.0.0.1:20356"
	startAgent(t, nil, "--manifests", dir, "--overlay", "vxlan", "--metrics-bind-address", "", "--healthz-bind-address", probes)
	answers := func(path, code, text string) {
		t.Helper()
		eventually(t, path+" answers "+code+" "+text, func() error {
			if got := httpGet(t, "http://"+probes+path); !strings.HasPrefix(got, code) || !strings.Contains(got, text) {
				return fmt.Errorf("%s", got)
			}
			return nil
		})
	}
	answers("/readyz", "200", "true")

	const device = "fairlead.1"
	eventually(t, "another device takes the place of the tunnel", func() error {
		_ = ip("link", "del", device)
		return ip("link", "add", device, "type", "bridge")
	})
	answers("/readyz", "503", "the network of pods has lacked a device for 1")
	answers("/livez", "200", "true")
	if err := ip("link", "del", device); err != nil {
		t.Fatal(err)
	}
	answers("/readyz", "200", "true")

	owner := exec.Command("nft", "-i")
	in, err := owner.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = owner.Process.Kill()
		_ = owner.Wait()
	})
	if _, err := in.Write([]byte("delete table inet fairlead; add table inet fairlead { flags owner; }\n")); err != nil {
		t.Fatal(err)
	}
	answers("/readyz", "503", "changes of the table have failed for 1")
	answers("/livez", "200", "true")
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	answers("/readyz", "200", "true")

	for _, damage := range []string{"nft flush chain inet fairlead services", "nft delete table inet fairlead"} {
		fight := exec.Command("sh", "-c", "while :; do "+damage+"; done 2>/dev/null")
		fight.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
		if err := fight.Start(); err != nil {
			t.Fatal(err)
		}
		end := sync.OnceFunc(func() {
			_ = syscall.Kill(-fight.Process.Pid, syscall.SIGKILL)
			_ = fight.Wait()
		})
		t.Cleanup(end)
		answers("/readyz", "503", "another program keeps changing the table")
		answers("/livez", "200", "true")
		end()
		answers("/readyz", "200", "true")
	}
}
