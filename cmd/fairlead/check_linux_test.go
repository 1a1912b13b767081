// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"fairlead/cmd/fairlead-lab/world"
	"fairlead/cmd/fairlead/doctor/finding"
	"fairlead/internal/lab"
	"fairlead/internal/nstest"
)

// checkOn runs the command check on a node and returns its report.
func checkOn(t *testing.T, n *lab.Node, args ...string) finding.Report {
	t.Helper()
	out, err := onNode(t, n, append([]string{"check", "-o", "json", "--peer-timeout", "200ms"}, args...)...)
	var r finding.Report
	if jsonErr := json.Unmarshal([]byte(out), &r); jsonErr != nil {
		t.Fatalf("check prints %s: %v, %v", out, jsonErr, err)
	}
	code := 0
	if err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			t.Fatal(err)
		}
		code = exit.ExitCode()
	}
	if code != r.ExitCode() {
		t.Errorf("exit code %d, want %d", code, r.ExitCode())
	}
	return r
}

// has fails unless the report has a finding of a check with this severity and text, and,
// if it is bad, a remedy.
func has(t *testing.T, r finding.Report, check string, s finding.Severity, evidence, remedy string) {
	t.Helper()
	for _, f := range r.Findings {
		if f.Check == check && f.Severity == s && strings.Contains(f.Evidence, evidence) && strings.Contains(strings.Join(f.Remedy, "\n"), remedy) {
			return
		}
	}
	t.Errorf("no finding %s %s %q with remedy %q in\n%s", s, check, evidence, remedy, r.Text())
}

// inNFT runs nft in the namespace of a host.
func inNFT(t *testing.T, h *lab.Host, args ...string) {
	t.Helper()
	if out, err := nstest.Command(t, h.NS, "nft", args...).CombinedOutput(); err != nil {
		t.Fatalf("nft %v: %v\n%s", args, err, out)
	}
}

// TestCheck breaks a node in one way after the other. The check names each fault, and
// nothing else.
func TestCheck(t *testing.T) {
	t.Parallel() // it waits for answers that do not come
	nstest.Need(t)
	w, err := world.New(t.Context(), worldOf(t, lab.Config{Nodes: 2, IPv6: true, NoPodRoutes: true, Subnets: true}), 2)
	testWorld(t, w, err)
	if err := w.StartAgents(); err != nil {
		t.Fatal(err)
	}
	node, other := w.Cluster.Nodes[0], w.Cluster.Nodes[1]
	eventually(t, "a node without findings", func() error {
		r := checkOn(t, node)
		if r.ExitCode() != 0 {
			return fmt.Errorf("the report is\n%s", r.Text())
		}
		has(t, r, "flags", finding.OK, "those of the running agent", "")
		has(t, r, "kernel", finding.OK, "has all", "")
		has(t, r, "agent", finding.OK, "the agent runs", "")
		has(t, r, "peers", finding.OK, "1 of 1 other nodes answer packets of up to 1430 bytes", "")
		return nil
	})
	t.Run("path", func(t *testing.T) { checkPath(t, w, node, other) })
	t.Run("offload", func(t *testing.T) {
		has(t, checkOn(t, node), "offload", finding.OK, "are left to the network card", "")
		stopAgent(t, w, node)
		w.Flags = []string{"--no-checksum-offload", "tunnel"}
		if err := w.StartAgent(node); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the kernel computes checksums", func() error {
			r := checkOn(t, node)
			if !strings.Contains(r.Text(), "the kernel computes the checksums of packets through fairlead.1") || !strings.Contains(r.Text(), "through fairlead-v6.1\n") || r.ExitCode() != 0 {
				return fmt.Errorf("the report is\n%s", r.Text())
			}
			return nil
		})
	})
	t.Run("rules", func(t *testing.T) {
		inNFT(t, node.Host, "add table ip other; add chain ip other f { type filter hook forward priority 0; policy drop; }")
		r := checkOn(t, node)
		has(t, r, "firewall", finding.Error, "chain f in table ip other drops pod traffic", "nft insert rule ip other f ip saddr")
		has(t, r, "firewall", finding.Error, "chain f", "or let the agent do it: --open-firewall")
		inNFT(t, node.Host, "delete table ip other")
	})
	t.Run("leftovers", func(t *testing.T) {
		inNFT(t, node.Host, "add table ip kube-proxy")
		has(t, checkOn(t, node), "leftovers", finding.Warning, "kube-proxy left table ip kube-proxy", "fairlead cleanup --of kube-proxy")
		inNFT(t, node.Host, "delete table ip kube-proxy")
	})
	t.Run("programs", func(t *testing.T) { checkRunning(t, node) })
	t.Run("small path", func(t *testing.T) { // last, because the kernel remembers the path for ten minutes
		l, err := w.Cluster.Router().Netlink().LinkByName(other.Name)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Cluster.Router().Netlink().LinkSetMTU(l, 1400); err != nil {
			t.Fatal(err)
		}
		r := checkOn(t, node)
		has(t, r, "peers", finding.Warning, "lets packets of 1400 bytes pass, and those of pods take 1480", "--overlay-mtu=1350")
		has(t, r, "peers", finding.Warning, "lets packets of 1400 bytes pass, and those of pods take 1500", "--overlay-mtu=1330")
	})
	t.Run("stopped", func(t *testing.T) { checkStopped(t, w, node) })
}

// checkPath breaks the way between two nodes.
func checkPath(t *testing.T, w *world.World, node, other *lab.Node) {
	t.Helper()
	router := w.Cluster.Router()
	for _, tt := range []struct {
		name, rule, evidence, remedy string
		at                           *lab.Host
	}{
		{"port", "udp dport 8472 drop", "something drops UDP port 8472", "let UDP port 8472 pass", router},
		{"port of the other node", "udp dport 8472 drop", "something drops UDP port 8472", "let UDP port 8472 pass", other.Host},
		{"silent node", "drop", "neither the tunnel nor", "check that node node-2 is up", router},
		{"large packets", "udp dport 8472 meta length > 1400 drop", "packets of 1430 bytes, the MTU of pods, do not pass the tunnel, and those of 13", "--overlay-mtu=13", router},
		// The inner packet begins 30 bytes behind the start of the outer UDP header, behind
		// VXLAN and Ethernet. Its receiver would drop it for a wrong checksum, so these rules
		// do: IPv4 UDP with a checksum, and IPv6 UDP that is no fragment.
		{"checksums", "udp dport 8472 @th,312,8 17 @th,448,16 != 0 drop", "spoils checksums", "--no-checksum-offload=tunnel", router},
		{"checksums of IPv6", "udp dport 8472 @th,224,16 0x86dd @th,288,8 17 drop", "spoils checksums", "--no-checksum-offload=tunnel", router},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inNFT(t, tt.at, "add table inet broken; add chain inet broken f { type filter hook prerouting priority -400; }; add rule inet broken f "+tt.rule)
			defer inNFT(t, tt.at, "delete table inet broken")
			has(t, checkOn(t, node), "peers", finding.Error, tt.evidence, tt.remedy)
		})
	}
	t.Run("no tunnel", func(t *testing.T) {
		stopAgent(t, w, other)
		links := other.Netlink()
		for _, name := range []string{"fairlead.1", "fairlead6.1"} {
			if l, err := links.LinkByName(name); err == nil {
				if err := links.LinkDel(l); err != nil {
					t.Fatal(err)
				}
			}
		}
		has(t, checkOn(t, node), "peers", finding.Error, "nothing listens on UDP port 8472", "check that the agent runs on node node-2")
		if err := w.StartAgent(other); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the tunnel is back", func() error {
			if r := checkOn(t, node); r.ExitCode() != 0 {
				return fmt.Errorf("the report is\n%s", r.Text())
			}
			return nil
		})
	})
}

func stopAgent(t *testing.T, w *world.World, n *lab.Node) {
	t.Helper()
	if err := w.Agents[n.Name].Close(); err != nil {
		t.Fatal(err)
	}
}

// checkRunning starts programs under the names of others. They do nothing but wait.
func checkRunning(t *testing.T, node *lab.Node) {
	t.Helper()
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		nstest.Skip(t, "sleep is not installed")
	}
	wants := map[string]struct {
		severity         finding.Severity
		evidence, remedy string
	}{
		"kube-proxy":       {finding.Error, "both translate Services", "delete daemonset kube-proxy"},
		"flanneld":         {finding.Error, "both keep the same routes", "delete daemonset kube-flannel-ds"},
		"kube-router":      {finding.Error, "it routes pods", "--run-service-proxy=false"},
		"NetworkManager":   {finding.Warning, "leave fairlead's devices alone", "unmanaged-devices+=interface-name:fairlead*"},
		"systemd-networkd": {finding.Warning, "ManageForeignRoutes is yes", "ManageForeignRoutes=no"},
	}
	pids := map[string]int{}
	for name := range wants {
		cmd := exec.Command(sleep, "60")
		cmd.Args[0] = "/usr/bin/" + name
		p, err := node.Start(cmd)
		if err != nil {
			t.Fatal(err)
		}
		pids[name] = p.Pid()
		defer func() {
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		}()
	}
	r := checkOn(t, node)
	for name, want := range wants {
		has(t, r, "programs", want.severity, fmt.Sprintf("%s runs (process %d", name, pids[name]), want.remedy)
		has(t, r, "programs", want.severity, want.evidence, "")
	}
}

// checkStopped breaks what a running agent would mend.
func checkStopped(t *testing.T, w *world.World, node *lab.Node) {
	t.Helper()
	flags := []string{"--manifests", w.Manifests, "--node-name", node.Name, "--cluster-cidr", world.JoinPrefixes(w.Cluster.Config.ClusterCIDRs()), "--overlay", "vxlan"}
	stopAgent(t, w, node)
	r := checkOn(t, node, flags...)
	has(t, r, "agent", finding.Error, "no agent runs in this network namespace", "read the log of the agent's pod")
	has(t, r, "flags", finding.OK, "those of the command line", "")
	if err := node.Sysctl("ipv4/ip_forward", "0"); err != nil {
		t.Fatal(err)
	}
	has(t, checkOn(t, node, flags...), "sysctl", finding.Error, "net.ipv4.ip_forward is 0, not 1", "sysctl -w net.ipv4.ip_forward=1")
	l, err := node.Netlink().LinkByName("fairlead.1")
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Netlink().LinkSetDown(l); err != nil {
		t.Fatal(err)
	}
	has(t, checkOn(t, node, flags...), "overlay", finding.Error, "device fairlead.1 of the overlay is down", "ip link set fairlead.1 up")
	if err := node.Netlink().LinkDel(l); err != nil {
		t.Fatal(err)
	}
	has(t, checkOn(t, node, flags...), "overlay", finding.Error, "device fairlead.1 of the overlay is missing", "start the agent")
	r = checkOn(t, node, "--manifests", w.Manifests, "--node-name", "other")
	has(t, r, "objects", finding.Error, "none is called other", "--node-name")
	checkDirs(t, node, flags[:len(flags)-2]) // without the overlay, whose peers are silent now
}

// checkDirs breaks the directories of the container runtime.
func checkDirs(t *testing.T, node *lab.Node, flags []string) {
	t.Helper()
	dir := t.TempDir()
	flags = append(flags, "--cni-conf-dir", dir, "--cni-data-dir", dir, "--cni-bin-dir", dir)
	r := checkOn(t, node, flags...)
	has(t, r, "cni", finding.Warning, "10-fairlead.conflist is missing", "start the agent")
	has(t, r, "cni", finding.Error, "has no CNI plugin", "--cni-plugins-from")
	rival := filepath.Join(dir, "00-other.conflist")
	if err := os.WriteFile(rival, []byte(`{"cniVersion":"1.0.0","name":"other","plugins":[{"type":"x"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	has(t, checkOn(t, node, flags...), "cni", finding.Error, "00-other.conflist", "mv "+rival)
	for options, want := range map[string]string{"size=4k": "has no free space", "nr_inodes=1": "has no free inode", "ro": "read-only file system"} {
		mount := t.TempDir()
		var bits uintptr
		if options == "ro" {
			bits, options = unix.MS_RDONLY, ""
		}
		if err := unix.Mount("tmpfs", mount, "tmpfs", bits, options); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Unmount(mount, unix.MNT_DETACH) })
		_ = os.WriteFile(filepath.Join(mount, "full"), make([]byte, 8<<10), 0o600)
		has(t, checkOn(t, node, append(flags, "--cni-conf-dir", mount)...), "cni", finding.Error, want, mount)
	}
}
