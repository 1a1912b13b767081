// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fairlead/cmd/fairlead/inspect"
	"fairlead/internal/nstest"
	"fairlead/nat/kernel"
	"fairlead/nat/nattest"
	"fairlead/nat/plan"
)

// savedFiles are a bundle of a node with a table that has everything.
func savedFiles(tb testing.TB) map[string]string {
	tb.Helper()
	k, err := kernel.Open(nil)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() {
		_ = k.Close()
		_ = exec.Command("nft", "delete", "table", "inet", "fairlead").Run() // other tests begin without
	}()
	state := plan.NewState()
	state.Configure(nattest.CountingSettings())
	nattest.Variety(state)
	for step := state.Next(0); step != nil; step = state.Next(0) {
		if err := k.Commit(tb.Context(), step.Batch); err != nil {
			tb.Fatal(err)
		}
		state.Acked(step)
	}
	loaded, err := inspect.LoadTable(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	table, err := json.Marshal(loaded)
	if err != nil {
		tb.Fatal(err)
	}
	return map[string]string{
		"node.json":      `{"version": 1, "about": {"time": "2026-01-02T03:04:05Z", "host": "node-1", "kernel": "6.12.1", "version": "v1"}, "missing": {"cni.json": "x"}}`,
		"config.json":    `{"table": {"NodeName": "node-1", "ClusterCIDRs": ["10.244.0.0/16"], "NodePortAddresses": ["primary"], "Overlay": {"Mode": 1}}, "cniConfDir": "/etc/cni/net.d"}`,
		"table.json":     string(table),
		"objects.json":   completions,
		"network.json":   `{"links": [{"index": 2, "name": "eth0", "kind": "veth", "up": true, "mtu": 1500, "mac": "52:54:00:12:34:56", "addresses": ["192.168.0.1/24"]}, {"index": 3, "name": "fairlead.1", "vxlan": {"vni": 1, "port": 8472, "local": "192.168.0.1"}}], "routes": [{"table": 254, "type": "unicast", "dst": "0.0.0.0/0", "gateway": "192.168.0.254", "link": "eth0", "hops": [{"gateway": "192.168.0.253"}]}], "rules": [{"priority": 32766, "table": 254}], "neighbours": [{"link": "eth0", "ip": "192.168.0.254", "mac": "52:54:00:00:00:01", "state": "reachable"}]}`,
		"sysctls.json":   `{"net/ipv4/ip_forward": "1"}`,
		"conntrack.json": `{"entries": 1, "limit": 2}`,
		"cni.json":       `[{"name": "10-a.conflist", "text": "{\"name\": \"a\"}"}]`,
		"agent.json":     `{"protocol": "fairlead/v1", "time": "2026-01-02T03:04:05Z", "since": "2026-01-02T03:04:05Z", "node": "node-1", "apiServer": {"url": "https://10.0.0.1:6443"}, "overlay": {"peers": [{"node": "node-2"}], "peerCount": 1}, "problems": [{"kind": "Service", "name": "default/web", "text": "x"}], "problemCount": 1, "repairs": [{"by": "nft", "found": "x"}], "flags": {"v": 2}}`,
		"check.json":     `{"time": "2026-01-02T03:04:05Z", "node": "node-1", "findings": [{"check": "kernel", "severity": "ok", "evidence": "x"}, {"check": "cni", "severity": "error", "evidence": "y", "remedy": ["mv a b"]}]}`,
		"logs.json":      `[{"from": "agent", "lines": ["I0102 \"Starting\" node=\"node-1\""]}]`,
	}
}

// bundleCommands are those that read a bundle.
func bundleCommands() []string {
	return []string{
		"get services", "get endpoints", "get nodes", "get hostports", "get affinity", "get egress", "get services -o json",
		"explain default/web", "explain 10.96.0.10:80 --from 10.244.1.2", "explain default/web --from default/web-0 -o json",
		"table", "table --full", "table --service default/web", "diff", "status", "check", "check -o json", "trace default/web", "bundle --redact -o -",
	}
}

// checkError finds in an error what a terminal acts on, and words of Go.
func checkError(t *testing.T, line, text string) {
	t.Helper()
	if strings.ContainsAny(text, "\x1b\u009b\x00") {
		t.Errorf("the error of fairlead %s acts on a terminal: %q", line, text)
	}
	for _, word := range []string{"Go struct", "Go value", "netip.", " json: ", "strconv", "reflect", "*v1.", "runtime error"} {
		if strings.Contains(text, word) {
			t.Errorf("the error of fairlead %s has a word of Go: %q", line, text)
		}
	}
}

// FuzzBundle changes one file of a bundle, and runs all commands that read it: they end,
// without a panic, and print nothing that a terminal acts on.
func FuzzBundle(f *testing.F) {
	nstest.Need(f)
	base := savedFiles(f)
	for name, text := range base {
		f.Add(name, text)
	}
	for _, name := range []string{"table.json", "objects.json", "agent.json"} {
		f.Add(name, base[name][:len(base[name])/2])
		f.Add(name, "null")
		f.Add(name, strings.Repeat("[", 11_000))
	}
	f.Add("table.json", `{"version":1,"sets":{"vips4":true},"chains":[{"name":"services","rules":["AAAA"]}],"live":["vips4"],"straySets":["x\u001b[2J"],"objects":[{"Name":"y","Type":7}],"strays":[{"set":"vips4","key":"AAAA","flags":3}]}`)
	f.Add("table.json", `{"version":1,"sets":{"vips4":true},"straySets":["x\u001b[2J"],"strays":[{"set":"vips4","key":"AAAA","verdict":-3,"chain":"x\u001b[2J","element":{"set":"vips4","key":"10.0.0.1:80","proto":6,"verdict":"x\u001b[2J"}}]}`)
	f.Add("network.json", `{"routes": [{"table": 254, "type": "unicast", "link": "eth0"}], "rules": [{"table": 254, "src": "", "invert": true}]}`)
	f.Fuzz(func(t *testing.T, name, text string) {
		if _, ok := base[name]; !ok || len(text) > 1<<20 {
			t.Skip()
		}
		dir := t.TempDir()
		for file, is := range base {
			if file == name {
				is = text
			}
			if err := os.WriteFile(filepath.Join(dir, file), []byte(is), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for _, line := range bundleCommands() {
			start := time.Now()
			out, err := execute(t, append(strings.Fields(line), "--bundle", dir)...)
			if took := time.Since(start); took > 20*time.Second {
				t.Errorf("fairlead %s takes %s", line, took)
			}
			if strings.ContainsAny(out, "\x1b\u009b") && !strings.HasPrefix(line, "bundle") {
				t.Errorf("fairlead %s prints what a terminal acts on: %q", line, out)
			}
			if err != nil {
				checkError(t, line, message(err))
			}
		}
	})
}
