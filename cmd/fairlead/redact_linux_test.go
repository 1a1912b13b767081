// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead/cmd/fairlead-lab/world"
	"fairlead/internal/lab"
	"fairlead/internal/nstest"
)

// private are objects whose names, labels and annotations nobody else may see.
const private = `
apiVersion: v1
kind: Service
metadata: {name: ledger, namespace: bank-prod, labels: {team: treasury}, annotations: {bank.example/db: "password=hunter2", note: "ask 10.244.1.3"}}
spec: {type: LoadBalancer, clusterIP: 10.96.0.77, clusterIPs: [10.96.0.77], externalIPs: [198.51.100.7], loadBalancerSourceRanges: [203.0.113.0/25], selector: {app: ledger}, sessionAffinity: ClientIP, ports: [{name: swift, port: 80, nodePort: 30177, targetPort: 8080}]}
status: {loadBalancer: {ingress: [{ip: 198.51.100.8}, {hostname: lb.bank.example}]}}
---
apiVersion: v1
kind: Service
metadata: {name: twin, namespace: bank-prod}
spec: {clusterIP: 10.96.0.77, clusterIPs: [10.96.0.77], ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: away, namespace: bank-prod}
spec: {type: ExternalName, externalName: db.bank.example}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: ledger-abcde, namespace: bank-prod, labels: {kubernetes.io/service-name: ledger}}
addressType: IPv4
ports: [{name: swift, port: 8080}]
endpoints:
- {addresses: [10.244.1.98], nodeName: node-1, zone: vault-1, conditions: {ready: true}, targetRef: {kind: Pod, namespace: bank-prod, name: ledger-0}}
- {addresses: [10.244.1.99], nodeName: node-1, conditions: {ready: false}, targetRef: {kind: Pod, namespace: bank-prod, name: ledger-1}}
---
apiVersion: v1
kind: Pod
metadata: {name: ledger-0, namespace: bank-prod, labels: {app: ledger}, annotations: {bank.example/token: eyJhbGciOiJIUzI1NiJ9.aHVudGVyMg.c2ln}}
spec:
  nodeName: node-1
  containers: [{name: c, image: registry.bank.example/ledger, args: [hunter2], env: [{name: P, value: hunter2}], volumeMounts: [{name: hunter2, mountPath: /x}], ports: [{containerPort: 8080, hostPort: 8099, hostIP: 192.168.50.1}]}]
  volumes: [{name: hunter2, secret: {secretName: hunter2}}]
status: {podIP: 10.244.1.98, podIPs: [{ip: 10.244.1.98}], hostIP: 192.168.50.1, phase: Running, message: "hunter2", containerStatuses: [{name: c, state: {waiting: {reason: CrashLoopBackOff, message: "hunter2"}}}]}
`

// foreign is what another program puts into the table.
const foreign = `
add element inet fairlead vips4 { 198.51.100.9 . tcp . 9 : accept }
add element inet fairlead affinity4 { 203.0.113.5 . tcp . 80 . 192.0.2.0 timeout 3h : 10.244.1.3 . 8080 }
add rule inet fairlead services ip saddr 203.0.113.66 counter accept
add rule inet fairlead services ip saddr 203.0.113.64/27 counter accept
add rule inet fairlead services ip6 daddr fd00:10:244::77 counter accept
add rule inet fairlead services ip saddr 203.0.113.70-203.0.113.80 counter accept
add rule inet fairlead services ip daddr 198.51.100.10 tcp dport 80 dnat ip to 10.244.1.3:8080
add set inet fairlead mine { type ipv4_addr; }
add chain inet fairlead audit_10-244-1-3
`

// TestRedact writes a bundle of a node, and one with pseudonyms from it. No address, name
// or secret is in the second one in any form, and commands say the same of both.
func TestRedact(t *testing.T) {
	nstest.Need(t)
	dir := t.TempDir()
	kubeconfig := filepath.Join(dir, "kubeconfig")
	if err := os.WriteFile(kubeconfig, []byte("users: [{name: u, user: {token: hunter2}}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("FAIRLEAD_PASSWORD", "hunter2")
	plain, clean, private := privateBundle(t, dir), filepath.Join(dir, "clean.tar.gz"), filepath.Join(dir, "map.json")
	if out, err := execute(t, "bundle", "--bundle", plain, "--redact", "--redact-map", private, "-o", clean); err != nil {
		t.Fatalf("fairlead bundle --redact: %v\n%s", err, out)
	}
	was, is := map[string]string{}, readArchive(t, clean)
	for name := range is {
		text, err := os.ReadFile(filepath.Join(plain, name))
		if err != nil {
			t.Error(err)
		}
		was[name] = string(text)
	}
	for name, text := range was {
		for _, secret := range []string{"hunter2", "aHVudGVyMg", "registry.bank", "bank.example/db"} {
			if strings.Contains(text, secret) {
				t.Errorf("%s has %s without --redact:\n%s", name, secret, text)
			}
		}
	}
	findLeaks(t, was, is)
	compareCommands(t, plain, clean, private)
}

// privateBundle returns a bundle of a node with all of private and foreign. The state and the
// log of the agent are from before foreign, which the agent would repair.
func privateBundle(t *testing.T, dir string) string {
	t.Helper()
	o := worldOf(t, lab.Config{Nodes: 2, IPv6: true, NoPodRoutes: true}, "--backend-counters", "--socket-dir", filepath.Join(dir, "run"))
	w, err := world.New(t.Context(), o, 2)
	testWorld(t, w, err)
	if err := world.WriteManifest(w.Manifests, "private.yaml", private); err != nil {
		t.Fatal(err)
	}
	if err := w.StartAgents(); err != nil {
		t.Fatal(err)
	}
	if err := w.WaitAgents(t.Context(), w.Web); err != nil {
		t.Fatal(err)
	}
	node := w.Cluster.Nodes[0]
	const ghost = "apiVersion: v1\nkind: Service\nmetadata: {name: ghost, namespace: attic}\nspec: {clusterIP: 198.51.100.300, ports: [{port: 80}]}\n"
	if err := world.WriteManifest(w.Manifests, "ghost.yaml", ghost); err != nil {
		t.Fatal(err)
	}
	first := filepath.Join(dir, "first.tar.gz")
	inLog := func(text string) {
		t.Helper()
		eventually(t, text, func() error {
			_ = os.Remove(first)
			if out, err := onNode(t, node, "bundle", "-o", first, "--socket-dir", filepath.Join(dir, "run")); err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
			if files := readArchive(t, first); !strings.Contains(files["logs.json"], text) || !strings.Contains(files["agent.json"], "twin") {
				return fmt.Errorf("it is not in %s", files["logs.json"])
			}
			return nil
		})
	}
	inLog("attic/ghost")
	if err := os.Remove(filepath.Join(w.Manifests, "ghost.yaml")); err != nil {
		t.Fatal(err)
	}
	inLog("Problem is gone")
	if err := w.Agents[node.Name].Close(); err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(strings.TrimSpace(foreign), "\n") {
		if out, err := world.RunIn(t.Context(), node.Host, "nft", line); err != nil {
			t.Fatalf("nft %s: %v: %s", line, err, out)
		}
	}
	conf := filepath.Join(dir, "net.d")
	if err := os.MkdirAll(conf, 0o700); err != nil {
		t.Fatal(err)
	}
	const cni = `{"name": "x", "k8s_auth_token": "hunter2", "plugins": [{"type": "y", "gateway": "10.244.1.1", "password": "hunter2"}]}`
	if err := os.WriteFile(filepath.Join(conf, "99-other.conflist"), []byte(cni), 0o600); err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(dir, "plain.tar.gz")
	args := append([]string{"bundle", "-o", archive}, w.AgentFlags(node)...)
	if out, err := onNode(t, node, args...); err != nil {
		t.Fatalf("fairlead %v: %v\n%s", args, err, out)
	}
	plain := filepath.Join(dir, "plain")
	files := readArchive(t, archive)
	if !strings.Contains(files["logs.json"], `"error": "no agent answers at `) || !strings.Contains(files["node.json"], `"agent.json": "no agent answers at `) {
		t.Errorf("the bundle does not say why it has no log and state of the agent: %s\n%s", files["logs.json"], files["node.json"])
	}
	for _, name := range []string{"agent.json", "logs.json"} {
		files[name] = readArchive(t, first)[name]
	}
	if err := os.Mkdir(plain, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(plain, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return plain
}

// privateNames are the private names, apart from those of the lab.
func privateNames(t *testing.T) []string {
	t.Helper()
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	return []string{host, "node-1", "node-2", "bank", "ledger", "treasury", "team", "twin", "swift", "vault-1", "web", "ghost", "attic"}
}

// addressPattern finds what may be an address, in another way than the command does.
var addressPattern = regexp.MustCompile(`[0-9a-fA-F:.]{3,}`)

// originals are the addresses of a bundle that have no meaning of their own.
func originals(files map[string]string) map[netip.Addr]bool {
	out := map[netip.Addr]bool{}
	for _, text := range files {
		for _, m := range addressPattern.FindAllString(text, -1) {
			for _, s := range []string{m, strings.Trim(m, ":."), m[:max(0, strings.LastIndexByte(m, ':'))]} {
				ip, err := netip.ParseAddr(s)
				if ip = ip.Unmap(); err == nil && (ip.Is4() || strings.Count(s, ":") > 2) && !ip.IsLoopback() && !ip.IsMulticast() && ip != netip.MustParseAddr("255.255.255.255") && ip.AsSlice()[0] != 0 {
					out[ip] = true
				}
			}
		}
	}
	return out
}

// findLeaks searches for each original in each form: text, bytes, hexadecimal, base64, and
// the bytes in the other order.
func findLeaks(t *testing.T, was, is map[string]string) {
	t.Helper()
	addrs := originals(was)
	for _, must := range []string{"10.244.1.3", "10.96.0.77", "198.51.100.9", "192.168.50.1", "203.0.113.5"} {
		if !addrs[netip.MustParseAddr(must)] {
			t.Errorf("%s is no text of the bundle", must)
		}
	}
	for _, rule := range []string{"203.0.113.66", "203.0.113.64", "203.0.113.70", "198.51.100.10", "fd00:10:244::77"} {
		addrs[netip.MustParseAddr(rule)] = true
		if !bytes.Contains(rawBytes(was), netip.MustParseAddr(rule).AsSlice()) {
			t.Errorf("no rule of the bundle has %s", rule)
		}
	}
	t.Logf("%d addresses", len(addrs))
	left := originals(is)
	raw := rawBytes(is)
	for ip := range addrs {
		if left[ip] {
			t.Errorf("the address %s is left", ip)
		}
		b := ip.AsSlice()
		back := slices.Clone(b)
		slices.Reverse(back)
		dashed := strings.ReplaceAll(ip.String(), ".", "-")
		for name, text := range is {
			for _, form := range []string{hex.EncodeToString(b), hex.EncodeToString(back), base64.StdEncoding.EncodeToString(b), fmt.Sprintf("%q", b)} {
				if strings.Contains(text, form) {
					t.Errorf("the address %s is left in %s as %s", ip, name, form)
				}
			}
			if ip.Is4() && (strings.Contains(text, dashed) || strings.Contains(text, netip.AddrFrom4([4]byte(back)).String())) {
				t.Errorf("the address %s is left in %s with dashes or in the other order", ip, name)
			}
		}
		if bytes.Contains(raw, b) || bytes.Contains(raw, back) {
			t.Errorf("the bytes of %s are left", ip)
		}
	}
	for _, name := range privateNames(t) {
		pattern := regexp.MustCompile(`(?i)(?:^|[^a-z0-9])` + regexp.QuoteMeta(name) + `(?:$|[^a-z0-9])`)
		seen := false
		for file, text := range was {
			seen = seen || pattern.MatchString(text)
			if m := pattern.FindStringIndex(is[file]); m != nil {
				t.Errorf("the name %s is left in %s: %s", name, file, is[file][max(0, m[0]-80):min(len(is[file]), m[1]+80)])
			}
		}
		if !seen {
			t.Errorf("%s is no name of the bundle", name)
		}
	}
}

// rawBytes decodes everything in files that may be base64.
func rawBytes(files map[string]string) []byte {
	var out []byte
	for _, text := range files {
		for _, m := range regexp.MustCompile(`[A-Za-z0-9+/]{8,}={0,2}`).FindAllString(text, -1) {
			if b, err := base64.StdEncoding.DecodeString(m); err == nil {
				out = append(append(out, b...), "|||"...)
			}
		}
	}
	return out
}

// compareCommands runs commands with both bundles. With the originals in place of the
// pseudonyms they print the same lines.
func compareCommands(t *testing.T, plain, clean, private string) {
	t.Helper()
	text, err := os.ReadFile(private)
	if err != nil {
		t.Fatal(err)
	}
	var list []struct{ Original, Pseudonym string }
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	back, there := map[string]string{}, map[string]string{}
	for _, p := range list {
		back[p.Pseudonym], there[p.Original] = p.Original, p.Pseudonym
	}
	for _, line := range []string{
		"get services", "get endpoints", "get endpoints bank-prod/ledger", "get nodes", "get hostports", "get affinity", "get egress",
		"explain bank-prod/ledger", "explain bank-prod/ledger --from outside", "explain bank-prod/away", "explain default/web --from node", "explain bank-prod/twin",
		"explain 198.51.100.7:80 --from 203.0.113.5", "explain default/web --from bank-prod/ledger-0",
		"table", "table --full", "table --service bank-prod/ledger", "diff", "status", "status -o wide", "check", "check -o yaml", "trace bank-prod/ledger",
	} {
		args := strings.Fields(line)
		was, wasErr := execute(t, append(args, "--bundle", plain)...)
		for i := range args {
			args[i] = replaceWords(args[i], there)
		}
		is, isErr := execute(t, append(args, "--bundle", clean)...)
		if fmt.Sprint(wasErr) != replaceWords(fmt.Sprint(isErr), back) {
			t.Errorf("fairlead %s: %v, with pseudonyms %v", line, wasErr, isErr)
		}
		wasLines, isLines := sortedLines(was), sortedLines(replaceWords(is, back))
		if !slices.Equal(wasLines, isLines) {
			t.Errorf("fairlead %s differs with pseudonyms (-originals +pseudonyms):\n%s", line, cmp.Diff(wasLines, isLines))
		}
		if strings.Contains(was, "that fairlead does not write") {
			t.Errorf("fairlead %s takes a rule for one of another program:\n%s", line, was)
		}
		if len(wasLines) == 0 && line != "diff" {
			t.Errorf("fairlead %s prints nothing", line)
		}
	}
}

// wordPattern finds what may be a pseudonym.
var wordPattern = regexp.MustCompile(`[0-9a-fA-F]*:[0-9a-fA-F:]*:[0-9a-fA-F]*|\d+(?:\.\d+){3}|[A-Za-z0-9-]+(?:\.[a-z][a-z0-9.]*)?`)

func replaceWords(s string, words map[string]string) string {
	s = regexp.MustCompile(`\d+(?:-\d+){3}`).ReplaceAllStringFunc(s, func(m string) string {
		return strings.ReplaceAll(replaceWords(strings.ReplaceAll(m, "-", "."), words), ".", "-")
	})
	return wordPattern.ReplaceAllStringFunc(s, func(m string) string {
		if p, ok := words[m]; ok {
			return p
		}
		return m
	})
}

// sortedLines are the lines without what depends on their order and the widths of columns.
func sortedLines(s string) []string {
	var out []string
	for line := range strings.SplitSeq(s, "\n") {
		if fields := strings.Fields(line); len(fields) > 0 {
			text := strings.TrimRight(strings.TrimPrefix(strings.Join(fields, " "), "elements = { "), ", }")
			out = append(out, regexp.MustCompile(`/tmp/\S+`).ReplaceAllString(text, "(path)"))
		}
	}
	return slices.Sorted(slices.Values(out))
}
