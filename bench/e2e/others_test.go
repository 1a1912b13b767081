// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"fairlead/internal/lab"
)

// others are kube-proxy and flannel on a node: the real ones, as administrators.
type others struct {
	node       *lab.Node
	dir        string
	kubeconfig string
	cidrs      string
	mode       string // of kube-proxy, and with what flannel masquerades: nftables or iptables

	proxy, flannel *lab.Process
}

func (c *cluster) newOthers(t *testing.T, n *lab.Node, mode string) *others {
	t.Helper()
	o := &others{node: n, dir: filepath.Join(c.dir, n.Name), mode: mode}
	if err := os.Mkdir(o.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	gate, err := c.plane.Gate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = gate.Close() })
	if o.kubeconfig, err = c.plane.Kubeconfig(n.Name+"-others.kubeconfig", gate.URL(), c.plane.AdminAuth()); err != nil {
		t.Fatal(err)
	}
	cidrs := c.Config.ClusterCIDRs()
	o.cidrs = fmt.Sprintf("%s,%s", cidrs[0], cidrs[1])
	conf := fmt.Sprintf(`{"Network": %q, "IPv6Network": %q, "EnableIPv6": true, "EnableNFTables": %v, "Backend": {"Type": "vxlan"}}`,
		cidrs[0], cidrs[1], mode == "nftables")
	if err := os.WriteFile(o.path("net-conf.json"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	return o
}

func (o *others) path(name string) string { return filepath.Join(o.dir, name) }

// start starts both and waits until they have done their work.
func (o *others) start(t *testing.T) {
	t.Helper()
	o.flannel = o.run(t, "flanneld", "flanneld", "--kube-subnet-mgr", "--kubeconfig-file", o.kubeconfig, "--net-config-path", o.path("net-conf.json"),
		"--subnet-file", o.path("subnet.env"), "--iface", "eth0", "--ip-masq", "-v=4")
	o.proxy = o.run(t, "kube-proxy", "controlplane", "kube-proxy", "--kubeconfig", o.kubeconfig, "--proxy-mode", o.mode, "--hostname-override", o.node.Name,
		"--cluster-cidr", o.cidrs, "--iptables-localhost-nodeports=false", "--conntrack-max-per-core=0", "--conntrack-min=0",
		"--conntrack-tcp-timeout-established=0", "--conntrack-tcp-timeout-close-wait=0", "-v=2")
	eventually(t, "flannel and kube-proxy on "+o.node.Name, func(context.Context) error {
		if _, err := os.Stat(o.path("subnet.env")); err != nil {
			return err
		}
		metrics := o.shell(t, "curl -sf 127.0.0.1:10249/metrics | grep '^kubeproxy_sync_proxy_rules_last_timestamp_seconds' | grep -v ' 0$' || true")
		if strings.Count(metrics, "\n") < 2 { // one for each family
			return fmt.Errorf("kube-proxy's metrics: %q", metrics)
		}
		return nil
	})
}

// run starts a program of bin; its log is shown when the test fails.
func (o *others) run(t *testing.T, log, program string, args ...string) *lab.Process {
	t.Helper()
	out, err := os.OpenFile(o.path(log+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = out.Close() }() // the program has a copy
	cmd := exec.Command(binary(t, program), args...)
	cmd.Env = append(os.Environ(), "NODE_NAME="+o.node.Name, "XTABLES_LOCKFILE="+o.path("xtables.lock"))
	cmd.Stdout, cmd.Stderr = out, out
	p, err := o.node.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// stop ends both; what they made stays.
func (o *others) stop(t *testing.T) {
	t.Helper()
	for _, p := range []*lab.Process{o.proxy, o.flannel} {
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(o.path("subnet.env")); err != nil { // so that start can wait for it
		t.Fatal(err)
	}
}

// shell runs commands on the node and returns what they print.
func (o *others) shell(t *testing.T, script string) string {
	t.Helper()
	var out []byte
	err := o.node.NS.Do(func() (err error) {
		cmd := exec.Command("sh", "-c", script)
		cmd.Env = append(os.Environ(), "XTABLES_LOCKFILE="+o.path("xtables.lock"))
		out, err = cmd.CombinedOutput()
		return err
	})
	if err != nil {
		t.Fatalf("%s: %s: %v: %s", o.node.Name, script, err, out)
	}
	return string(out)
}

// leftovers is what there is of both, by name, and the devices of the overlay.
func (o *others) leftovers(t *testing.T) string {
	t.Helper()
	return o.shell(t, `{ nft list tables | grep -E 'kube-proxy|flannel'
for i in iptables-nft-save ip6tables-nft-save; do $i | grep -E '(KUBE-(SERVICES|SVC|SEP|EXT|POSTROUTING|MARK|FORWARD|NODEPORTS|PROXY)|FLANNEL)' | sed "s/^/$i: /"; done
} 2>/dev/null || true`)
}

// index returns the number of a device.
func (o *others) index(t *testing.T, device string) string {
	t.Helper()
	return strings.TrimSpace(o.shell(t, "cat /sys/class/net/"+device+"/ifindex 2>/dev/null || ip -o link show "+device+" | cut -d: -f1"))
}
