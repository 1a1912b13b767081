// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"fairlead/internal/nstest"
)

const ownedService = `apiVersion: v1
kind: Service
metadata: {name: %[1]s, namespace: default}
spec: {clusterIP: %[2]s, ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: %[1]s, namespace: default, labels: {kubernetes.io/service-name: %[1]s}}
addressType: IPv4
ports: [{port: 8080}]
endpoints: [{addresses: [10.244.0.7]}]
`

// ownedManifests returns a directory with one Service.
func ownedManifests(t *testing.T, name, ip string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/service.yaml", fmt.Appendf(nil, ownedService, name, ip), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestSecondAgent starts an agent beside a running one, in the same network namespace.
// It names the first, is not ready and leaves the table alone; it takes over
// when the first is killed, serves the ports of the first, and hands over to a
// third one when it ends by itself.
func TestSecondAgent(t *testing.T) {
	nstest.Need(t)
	const probes, others = "127.0.0.1:20356", "127.0.0.1:20357"
	first := startAgent(t, nil, "--manifests", ownedManifests(t, "first", "10.96.0.1"), "--metrics-bind-address", "", "--healthz-bind-address", probes, "-v", "2")
	first.logs(t, `"Programmed the table"`)
	second := startAgent(t, nil, "--manifests", ownedManifests(t, "second", "10.96.0.2"), "--metrics-bind-address", "", "--healthz-bind-address", others, "-v", "2")
	third := startAgent(t, nil, "--manifests", ownedManifests(t, "third", "10.96.0.3"), "--metrics-bind-address", "", "--healthz-bind-address", probes, "--bind-address-hard-fail", "-v", "2")
	line := fmt.Sprintf(`"Another fairlead runs on this node, waiting until it ends" pid=%d`, first.Process.Pid)
	second.logs(t, line)
	third.logs(t, line)
	eventually(t, "an agent that waits is not ready", func() error {
		if answer := httpGet(t, "http://"+others+"/readyz"); !strings.Contains(answer, "503") {
			return fmt.Errorf("/readyz answers %s", answer)
		}
		return nil
	})
	if text := ownedTable(t); !strings.Contains(text, "10.96.0.1 ") || strings.Contains(text, "10.96.0.2 ") || strings.Contains(text, "10.96.0.3 ") {
		t.Errorf("an agent that waits changed the table:\n%s", text)
	}

	waiting := map[*process]string{second: "10.96.0.2 ", third: "10.96.0.3 "}
	end := first
	for len(waiting) > 0 {
		signal := syscall.SIGTERM
		if end == first {
			signal = syscall.SIGKILL
		}
		if err := end.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		_ = end.Wait()
		var next *process
		eventually(t, "an agent takes over", func() error {
			for p := range waiting {
				if strings.Contains(p.text(), `"The other agent has ended, taking over"`) {
					next = p
					return nil
				}
			}
			return errors.New("none does")
		})
		next.logs(t, `"Programmed the table"`)
		if text := ownedTable(t); !strings.Contains(text, waiting[next]) {
			t.Errorf("the table lacks %s:\n%s", waiting[next], text)
		}
		delete(waiting, next)
		end = next
	}
	serving := probes
	if end == second {
		serving = others
	}
	eventually(t, "the last agent is ready", func() error {
		if answer := httpGet(t, "http://"+serving+"/readyz"); !strings.Contains(answer, "200") {
			return fmt.Errorf("/readyz answers %s", answer)
		}
		return nil
	})
}

func ownedTable(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("nft", "list", "map", "inet", "fairlead", "vips4").CombinedOutput()
	if err != nil {
		t.Fatalf("nft list: %v\n%s", err, out)
	}
	return string(out)
}
