// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"fairlead/internal/nstest"
)

// TestMain runs the program itself when a test starts it.
func TestMain(m *testing.M) {
	if os.Getenv("FAIRLEAD_LAB_COMMAND") != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// smallBundle has a pod whose name is hostile to shells and terminals, and no table.
func smallBundle(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"node.json":   `{"version": 1, "about": {"host": "node-1", "kernel": "6.1.0", "version": "v0\u001b[2J", "time": "2026-01-02T03:04:05Z"}, "missing": {"table.json": "there was none"}}`,
		"config.json": `{"table": {"NodeName": "node-1", "ClusterCIDRs": ["10.244.0.0/16"], "InterfaceNamePrefix": "x'; touch /tmp/owned; '"}}`,
		"network.json": `{"links": [{"name": "lo", "kind": "device", "up": true, "mtu": 65536, "addresses": ["127.0.0.1/8"]},
			{"name": "eth0", "kind": "device", "up": true, "mtu": 1500, "mac": "02:00:00:00:00:07", "addresses": ["192.0.2.1/24"]},
			{"name": "veth1", "kind": "veth", "up": true, "mtu": 1450, "addresses": ["10.244.1.1/32"]}],
			"routes": [{"table": 254, "type": "unicast", "dst": "10.244.1.2/32", "link": "veth1"}, {"table": 254, "type": "unicast", "dst": "0.0.0.0/0", "gateway": "192.0.2.9", "link": "eth0"}],
			"rules": [], "neighbours": []}`,
		"sysctls.json": `{"net/ipv4/ip_forward": "1", "kernel/core_pattern": "|/bin/false"}`,
		"cni.json":     `[{"name": "10-a.conflist", "text": "{}"}]`,
		"objects.json": `{"apiVersion": "v1", "kind": "List", "items": [
			{"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "shop", "name": "a/../$(touch /tmp/owned)\u001b[2J"}, "spec": {"nodeName": "node-1"}, "status": {"phase": "Running", "podIPs": [{"ip": "10.244.1.2"}]}},
			{"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"namespace": "shop", "name": "s"}, "addressType": "IPv4", "ports": [{"port": 8080}], "endpoints": [{"addresses": ["10.244.1.2"], "nodeName": "node-1"}]}]}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func labCommand(t *testing.T, tmp string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", append([]string{"--agent", "/bin/echo"}, args...)...)
	cmd.Env = append(os.Environ(), "FAIRLEAD_LAB_COMMAND=1", "TMPDIR="+tmp)
	return cmd
}

// TestBundle rebuilds a node, enters its pod as the output says, and ends it by a signal.
// Nothing stays on disk.
func TestBundle(t *testing.T) {
	if os.Geteuid() != 0 {
		nstest.Skip(t, "entering the namespaces of another process needs root")
	}
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		tmp := t.TempDir()
		cmd := labCommand(t, tmp, "--bundle", smallBundle(t))
		var errs bytes.Buffer
		cmd.Stderr = &errs
		pipe, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		stop := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
		out := readUntil(pipe, "Ctrl-C ends the lab.")
		checkOutput(t, out)
		if !t.Failed() {
			checkScripts(t, out)
		}
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		rest, _ := io.ReadAll(pipe)
		if err := cmd.Wait(); err != nil || !strings.Contains(string(rest), "Taking the node down.") {
			t.Errorf("after %v: %v\n%s%s%s", sig, err, out, rest, errs.String())
		}
		stop.Stop()
		if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
			t.Errorf("after %v these files are left: %v, %v", sig, left, err)
		}
		if _, err := os.Stat("/tmp/owned"); err == nil {
			t.Error("a name in the bundle was run as a command")
		}
	}
}

func readUntil(in io.Reader, last string) string {
	var b strings.Builder
	for lines := bufio.NewScanner(in); lines.Scan(); {
		b.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), last) {
			break
		}
	}
	return b.String()
}

func checkOutput(t *testing.T, out string) {
	t.Helper()
	for _, want := range []string{
		`Rebuilt node-1 as fairlead v0\x1b[2J read it at 2026-01-02T03:04:05Z on kernel 6.1.0.`, "and may behave in another way", "no table of fairlead", "192.0.2.1 on eth0",
		"10.244.1.2 on veth1, answers on 8080/tcp", "192.0.2.9, which stands for all hosts", "there was none",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing", want)
		}
	}
	if strings.Contains(out, "\x1b") || t.Failed() {
		t.Errorf("the output is\n%s", out)
	}
}

// checkScripts runs the commands that the output names.
func checkScripts(t *testing.T, out string) {
	t.Helper()
	m := regexp.MustCompile(`(?m)^  (\S+/enter) (pod1\S*) bash`).FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("the output names no script:\n%s", out)
	}
	run := func(args ...string) string {
		got, err := exec.Command(args[0], args[1:]...).CombinedOutput()
		if err != nil {
			t.Errorf("%q: %v\n%s", args, err, got)
		}
		return string(got)
	}
	if got := run(m[1], "outside", "ip", "route"); !strings.Contains(got, "default via 192.0.2.1") {
		t.Errorf("outside has the routes %s", got)
	}
	if got := run(m[1], "node", "ip", "link", "show", "dev", "eth0"); !strings.Contains(got, "02:00:00:00:00:07") {
		t.Errorf("the node has the device %s", got)
	}
	if got := run(m[1], "node", "bash", "-c", "head -n 1 </dev/tcp/10.244.1.2/8080"); !strings.Contains(got, "shop/a") {
		t.Errorf("the pod answers %q", got)
	}
	if got := run(m[1], m[2], "ip", "route"); !strings.Contains(got, "default via 10.244.1.1") {
		t.Errorf("the pod has the routes %s", got)
	}
	ask := filepath.Join(filepath.Dir(m[1]), "fairlead")
	if got := run(ask, "explain", "shop/a"); !strings.HasPrefix(got, "explain shop/a --manifests ") || !strings.Contains(got, "x'; touch /tmp/owned; '") {
		t.Errorf("fairlead is started with %s", got)
	}
}

// TestBrokenBundle: what is no bundle is one error, and nothing is left.
func TestBrokenBundle(t *testing.T) {
	for name, tt := range map[string]struct{ file, text, want string }{
		"no bundle":        {"node.json", "{}", "node.json: version 0 is not 1"},
		"no network":       {"network.json", "", "read network.json: "},
		"name of a device": {"network.json", `{"links": [{"name": "../x"}]}`, `network.json: device 1: "../x" is not the name of a device`},
		"half a table":     {"table.json", `{"version": 1, "sets": {`, "read table.json: "},
		"set of a table":   {"table.json", `{"version": 1, "sets": {"nosuch": true}}`, `read table: set "nosuch" is not known`},
		"chain of a table": {"table.json", `{"version": 1, "sets": {}, "chains": [{"name": "` + strings.Repeat("x", 300) + `"}]}`, "add chain inet fairlead xxx"},
		"file of CNI":      {"cni.json", `[{"name": "../../etc/passwd", "text": "x"}]`, `cni.json: file 1: "../../etc/passwd" is not the name of a file`},
	} {
		t.Run(name, func(t *testing.T) {
			dir, tmp := smallBundle(t), t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, tt.file), []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := labCommand(t, tmp, "--bundle", dir).CombinedOutput()
			if err == nil || !strings.Contains(string(out), tt.want) || strings.Contains(string(out), "goroutine") {
				t.Errorf("%v, want %q in\n%s", err, tt.want, out)
			}
			if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
				t.Errorf("these files are left: %v, %v", left, err)
			}
		})
	}
}
