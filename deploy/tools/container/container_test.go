// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package container

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"fairlead/deploy/tools/internal/chart"
	"fairlead/deploy/tools/internal/oci"
)

const manifests = `apiVersion: v1
kind: Node
metadata: {name: a}
spec: {podCIDR: 10.244.1.0/24, podCIDRs: [10.244.1.0/24]}
status: {addresses: [{type: InternalIP, address: 192.168.7.1}]}
---
apiVersion: v1
kind: Node
metadata: {name: b}
spec: {podCIDR: 10.244.2.0/24, podCIDRs: [10.244.2.0/24]}
status: {addresses: [{type: InternalIP, address: 192.168.7.2}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec:
  clusterIP: 10.96.0.10
  clusterIPs: [10.96.0.10]
  ports: [{name: http, port: 80, protocol: TCP}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: default, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
endpoints: [{addresses: [10.244.1.5], nodeName: a, conditions: {ready: true}}]
ports: [{name: http, port: 8080, protocol: TCP}]
`

// script runs in a new network namespace: it waits until the agent is ready, flushes all
// of nftables, waits for the repair and ends the agent. The agent looks at firewalls once
// it knows its Node.
const script = `set -e
ip link set lo up
ip link add eth0 type veth peer name eth1
ip addr add 192.168.7.1/24 dev eth0
ip link set eth0 up; ip link set eth1 up
ip route add default via 192.168.7.254
echo 0 >/proc/sys/net/ipv4/ip_forward
runc --root "$STATE" run --bundle "$BUNDLE" fairlead-test >"$LOG" 2>&1 &
agent=$!
stop() { runc --root "$STATE" kill fairlead-test TERM 2>/dev/null || true; wait $agent || true; }
trap stop EXIT
wait_for() { for i in $(seq 100); do if eval "$1" >/dev/null 2>&1; then return; fi; sleep 0.2; done; echo "not within 20 s: $1"; exit 1; }
wait_for 'ss -ltn | grep -q :10256'
wait_for 'nft list map inet fairlead vips4 | grep -q 10.96.0.10'
wait_for 'ip route get 10.244.2.5 | grep -q fairlead.1'
wait_for 'test "$(cat /proc/sys/net/ipv4/ip_forward)" = 1'
nft flush ruleset
wait_for 'nft list map inet fairlead vips4 | grep -q 10.96.0.10'
sleep 2
`

// TestContainer runs the agent with the narrower profile, which RuntimeDefault contains.
func TestContainer(t *testing.T) {
	log := run(t, 0)
	expect(t, log, []string{"CNI configuration", byNft, "Ending"}, "not permitted", "permission denied", "read-only file system", "not implemented")
}

// TestContainerNarrower runs the agent with a profile that also refuses what its watch of the table
// uses to cost less. It says so, and the watch works nevertheless.
func TestContainerNarrower(t *testing.T) {
	log := run(t, 0, "poll", "ppoll")
	refused := regexp.MustCompile(`(?m)^.*seccomp profile refuses a system call.*poll a netlink socket.*operation not permitted.*\n`)
	if n := len(refused.FindAllString(log, -1)); n != 1 {
		t.Errorf("%d lines name what the profile refuses, want 1:\n%s", n, log)
	}
	expect(t, refused.ReplaceAllString(log, ""), []string{byNft, "Ending"}, "not permitted", "not implemented")
}

// TestContainerUnprivileged runs the agent as a user without rights, whose only capability
// comes from the file of the program. The table, the overlay and kernel settings work
// nevertheless. What belongs to root is named: the directory of the conflist, and the
// names of legacy iptables' tables.
func TestContainerUnprivileged(t *testing.T) {
	log := run(t, 65532)
	log = regexp.MustCompile(`(?m)^.*(install conflist: open /host/etc/cni/net.d/10-fairlead.conflist|open /proc/thread-self/net/ip6?_tables_names): permission denied.*\n`).ReplaceAllString(log, "")
	expect(t, log, []string{byNft, "Ending"}, "not permitted", "permission denied", "read-only file system", "not implemented")
}

// byNft is in the log if the watch of the table works, which names the program that changed it.
const byNft = `by="nft `

// mostLines is how often an agent may log lines that differ in numbers alone. It repeats those about
// something that it tries for ever.
const mostLines = 3

// expect reads the log of an agent.
func expect(t *testing.T, log string, wanted []string, unwanted ...string) {
	t.Helper()
	lines := map[string]int{}
	for _, m := range regexp.MustCompile(`(?m)^[IWE]\d{4} .*?\] (.*)$`).FindAllStringSubmatch(log, -1) {
		line := regexp.MustCompile(`\d+`).ReplaceAllString(m[1], "0")
		if lines[line]++; lines[line] == mostLines+1 {
			t.Errorf("the agent logs %s again and again:\n%s", m[1], log)
		}
	}
	if len(lines) == 0 {
		t.Errorf("the log has no messages:\n%s", log)
	}
	for _, bad := range unwanted {
		if strings.Contains(log, bad) {
			t.Errorf("the agent meets %q:\n%s", bad, log)
		}
	}
	for _, want := range wanted {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %q:\n%s", want, log)
		}
	}
}

// run runs the script with an agent of a user under the profile of the chart, which refuses some more
// system calls, and returns the log of the agent.
func run(t *testing.T, user int, refused ...string) string {
	t.Helper()
	if _, err := exec.LookPath("runc"); err != nil || os.Getuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatalf("runc is needed, in Debian's package of that name, and root: %v", err)
		}
		t.Skip("runc is needed, in Debian's package of that name, and root")
	}
	bundle := t.TempDir()
	c := render(t)
	unpack(t, filepath.Join(bundle, "rootfs"))
	if user != 0 {
		grant(t, filepath.Join(bundle, "rootfs", "fairlead"))
	}
	writeConfig(t, bundle, c, user, refused)
	log := filepath.Join(bundle, "log")
	cmd := exec.CommandContext(t.Context(), "unshare", "--net", "sh", "-c", script)
	cmd.Env = append(os.Environ(), "BUNDLE="+bundle, "STATE="+filepath.Join(bundle, "state"), "LOG="+log)
	out, err := cmd.CombinedOutput()
	text, logErr := os.ReadFile(log)
	if err != nil || logErr != nil {
		t.Fatalf("%v, %v: %s\n%s", err, logErr, out, text)
	}
	return string(text)
}

// grant gives a program the capability NET_ADMIN, as "setcap cap_net_admin+ep" does. The
// format is struct vfs_cap_data of linux/capability.h.
func grant(t *testing.T, program string) {
	t.Helper()
	const revision2Effective, netAdmin = 0x0200_0001, 12
	var data []byte
	for _, v := range []uint32{revision2Effective, 1 << netAdmin, 0, 0, 0} {
		data = binary.LittleEndian.AppendUint32(data, v)
	}
	if err := syscall.Setxattr(program, "security.capability", data, 0); err != nil {
		t.Fatal(err)
	}
}

// render returns the agent's container of the chart, with the network.
func render(t *testing.T) corev1.Container {
	t.Helper()
	c, err := chart.Load("../../chart")
	if err != nil {
		t.Fatal(err)
	}
	text, err := c.Render(chart.Bases()["network"], chart.Release{})
	if err != nil {
		t.Fatal(err)
	}
	for doc := range strings.SplitSeq(string(text), "\n---\n") {
		var ds struct {
			Kind string
			Spec struct{ Template corev1.PodTemplateSpec }
		}
		if err := yaml.Unmarshal([]byte(doc), &ds); err == nil && ds.Kind == "DaemonSet" {
			return ds.Spec.Template.Spec.Containers[0]
		}
	}
	t.Fatal("no DaemonSet")
	return corev1.Container{}
}

// unpack writes the files of the image, and what the pod mounts.
func unpack(t *testing.T, root string) {
	t.Helper()
	files, err := oci.Build(t.Context(), oci.Options{Root: "../../..", Version: "v0.0.0-test"}, "linux/"+runtime.GOARCH, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		content, err := os.ReadFile(f.Source)
		name := filepath.Join(root, f.Name)
		if err := errors.Join(err, os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, content, 0o555)); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{"proc", "dev", "manifests", "host/proc/sys/net", "host/etc/cni/net.d", "host/opt/cni/bin"} {
		err = errors.Join(err, os.MkdirAll(filepath.Join(root, dir), 0o755))
	}
	if err := errors.Join(err, os.WriteFile(filepath.Join(root, "manifests", "all.yaml"), []byte(manifests), 0o444)); err != nil {
		t.Fatal(err)
	}
}

type object = map[string]any

// writeConfig writes the configuration of the runtime, as a kubelet has it made from the
// chart: https://github.com/opencontainers/runtime-spec.
func writeConfig(t *testing.T, bundle string, c corev1.Container, user int, refused []string) {
	t.Helper()
	profile, err := os.ReadFile("../../chart/files/seccomp.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range refused {
		allowed := regexp.MustCompile(`"` + name + `",\s*`)
		if !allowed.Match(profile) {
			t.Fatalf("the profile of the chart refuses %s already", name)
		}
		profile = allowed.ReplaceAll(profile, nil)
	}
	var caps []string
	for _, name := range c.SecurityContext.Capabilities.Add {
		caps = append(caps, "CAP_"+string(name))
	}
	mount := func(at, kind, from string, options ...string) object {
		return object{"destination": at, "type": kind, "source": from, "options": options}
	}
	config := object{
		"ociVersion": "1.0.2",
		"root":       object{"path": "rootfs", "readonly": *c.SecurityContext.ReadOnlyRootFilesystem},
		"process": object{
			"user": object{"uid": user, "gid": user}, "cwd": "/", "env": []string{"PATH=/"},
			"args": []string{"/fairlead", "run", "--manifests=/manifests", "--node-name=a", "--cluster-cidr=10.244.0.0/16", "--overlay=vxlan", "--ip-masq",
				"--sysctl-dir=/host/proc/sys/net", "--cni-conf-dir=/host/etc/cni/net.d", "--cni-bin-dir=/opt/cni/bin"},
			"capabilities":    object{"bounding": caps, "effective": caps, "permitted": caps},
			"noNewPrivileges": !*c.SecurityContext.AllowPrivilegeEscalation,
		},
		"mounts": []object{
			mount("/proc", "proc", "proc"), mount("/dev", "tmpfs", "tmpfs", "nosuid", "mode=755"),
			mount("/host/etc/cni/net.d", "tmpfs", "tmpfs"), mount("/host/proc/sys/net", "bind", "/proc/sys/net", "rbind", "rw"),
		},
		"linux": object{
			"namespaces":    []object{{"type": "pid"}, {"type": "mount"}, {"type": "ipc"}},
			"seccomp":       json.RawMessage(profile),
			"readonlyPaths": []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
			"maskedPaths":   []string{"/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/sched_debug", "/sys/firmware"},
		},
	}
	text, err := json.Marshal(config)
	if err == nil {
		err = os.WriteFile(filepath.Join(bundle, "config.json"), text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
