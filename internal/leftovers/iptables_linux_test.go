// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package leftovers_test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead/internal/leftovers"
	"fairlead/internal/netns"
	"fairlead/internal/nstest"
)

func TestMain(m *testing.M) { nstest.Main(m) }

// node is a namespace and the directories of a node.
type node struct {
	*netns.NS
	opts leftovers.Options
}

func newNode(t *testing.T) *node {
	t.Helper()
	dir := t.TempDir()
	n := &node{NS: nstest.New(t), opts: leftovers.Options{
		CNIDir: filepath.Join(dir, "net.d"), SubnetFile: filepath.Join(dir, "flannel", "subnet.env"),
		Table: "inet fairlead", Alias: "fairlead", Protocol: 102, RouteTable: 8472,
	}}
	for _, d := range []string{n.opts.CNIDir, filepath.Dir(n.opts.SubnetFile)} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// run runs a program, which has to be installed, and returns what it prints.
func (n *node) run(t *testing.T, input, name string, args ...string) string {
	t.Helper()
	cmd := nstest.Command(t, n.NS, name, args...)
	cmd.Env = append(cmd.Environ(), "XTABLES_LOCKFILE="+filepath.Join(t.TempDir(), "lock"))
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v: %s", name, args, err, out)
	}
	return string(out)
}

// script runs lines of sh.
func (n *node) script(t *testing.T, lines string) {
	t.Helper()
	n.run(t, "set -e\n"+lines, "sh")
}

func (n *node) file(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (n *node) plan(t *testing.T, owners ...leftovers.Owner) leftovers.Plan {
	t.Helper()
	s, err := leftovers.Look(n.NS, n.opts)
	if err != nil {
		t.Fatal(err)
	}
	return leftovers.NewPlan(n.opts, owners, s)
}

// clean removes the owners' leftovers and checks that nothing remains.
func (n *node) clean(t *testing.T, owners ...leftovers.Owner) {
	t.Helper()
	plan := n.plan(t, owners...)
	for i := range 2 { // the second time everything is gone
		err := leftovers.Apply(t.Context(), n.NS, plan, func(r *leftovers.Removal, err error) {
			if err != nil {
				t.Errorf("run %d: %s: %v", i, r, err)
			}
		})
		if err != nil {
			t.Errorf("run %d: %v", i, err)
		}
	}
	if diff := cmp.Diff([]string(nil), texts(n.plan(t, owners...))); diff != "" {
		t.Errorf("after clean-up there is left (-want +got):\n%s", diff)
	}
}

// texts is the plan in words.
func texts(p leftovers.Plan) []string {
	var out []string
	for _, r := range p.Removals {
		out = append(out, fmt.Sprintf("%s: %s", r.Owner, &r))
	}
	for _, l := range p.Left {
		out = append(out, fmt.Sprintf("%s: %s", l.Owner, &l))
	}
	return out
}

// saved is what iptables-save prints, without dates and counters.
func (n *node) saved(t *testing.T, program string) string {
	t.Helper()
	out := ""
	for line := range strings.Lines(n.run(t, "", program)) {
		if !strings.HasPrefix(line, "#") {
			out += regexp.MustCompile(`\[\d+:\d+\]`).ReplaceAllString(line, "[0:0]")
		}
	}
	return out
}

func testdata(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// normal gives rules of tables an order: iptables-save prints tables as they were
// made.
func normal(rules string) map[string]string {
	out := map[string]string{}
	for _, block := range strings.SplitAfter(rules, "COMMIT\n") {
		if name, rest, ok := strings.Cut(block, "\n"); ok {
			out[name] = rest
		}
	}
	return out
}

// v6 makes rules of IPv4 such of IPv6.
func v6(rules string) string {
	rules = regexp.MustCompile(`--to-destination ([\d.]+):(\d+)`).ReplaceAllString(rules, "--to-destination [$1]:$2")
	rules = strings.NewReplacer("127.0.0.0/8", "::1/128", "224.0.0.0/4", "ff00::/8", "icmp-port", "icmp6-port").Replace(rules)
	return regexp.MustCompile(`\d+\.\d+\.\d+\.\d+(/\d+)?`).ReplaceAllStringFunc(rules, func(s string) string {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return "fd00::" + strings.ReplaceAll(s, ".", ":")
		}
		bits := p.Bits() + 96
		addr := netip.MustParseAddr("fd00::" + strings.ReplaceAll(p.Addr().String(), ".", ":"))
		return netip.PrefixFrom(addr, bits).Masked().String()
	})
}

func TestIPTables(t *testing.T) {
	for owner, file := range map[leftovers.Owner]string{leftovers.KubeProxy: "kube-proxy", leftovers.Flannel: "flannel"} {
		t.Run(file, func(t *testing.T) {
			n := newNode(t)
			before, after := testdata(t, file+".iptables"), testdata(t, file+".left")
			n.run(t, before, "iptables-nft-restore")
			n.run(t, v6(before), "ip6tables-nft-restore")
			n.clean(t, owner)
			if diff := cmp.Diff(normal(after), normal(n.saved(t, "iptables-nft-save"))); diff != "" {
				t.Errorf("left of IPv4 (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(normal(v6(after)), normal(n.saved(t, "ip6tables-nft-save"))); diff != "" {
				t.Errorf("left of IPv6 (-want +got):\n%s", diff)
			}
		})
	}
}

// TestOtherOwner checks that a clean-up for one owner keeps the objects of the other.
func TestOtherOwner(t *testing.T) {
	n := newNode(t)
	rules := testdata(t, "kube-proxy.iptables")
	n.run(t, rules, "iptables-nft-restore")
	before := n.saved(t, "iptables-nft-save")
	n.clean(t, leftovers.Flannel, leftovers.Fairlead)
	if diff := cmp.Diff(before, n.saved(t, "iptables-nft-save")); diff != "" {
		t.Errorf("kube-proxy's rules changed (-want +got):\n%s", diff)
	}
}

// TestUsedByOthers checks that a chain that another program's rule leads to stays,
// together with everything that it needs, and that all other chains go.
func TestUsedByOthers(t *testing.T) {
	n := newNode(t)
	n.run(t, testdata(t, "kube-proxy.iptables"), "iptables-nft-restore")
	n.script(t, `
iptables-nft -t nat -N MINE
iptables-nft -t nat -A MINE -s 192.0.2.9 -j KUBE-EXT-GNZBNJ2PO5MGZ6GT
iptables-nft -t nat -A OUTPUT -p udp -j KUBE-MARK-MASQ
`)
	plan := n.plan(t, leftovers.KubeProxy)
	var left []string
	for _, l := range plan.Left {
		left = append(left, l.String())
	}
	want := []string{
		"left in place: chain KUBE-EXT-GNZBNJ2PO5MGZ6GT of table ip nat: chain MINE, which is not kube-proxy's, leads to it; to remove it: iptables -t nat -S MINE shows the rule; remove it and repeat",
		"left in place: chain KUBE-MARK-MASQ of table ip nat: chain OUTPUT, which is not kube-proxy's, leads to it; to remove it: iptables -t nat -S OUTPUT shows the rule; remove it and repeat",
	}
	sortStrings := cmp.Transformer("sort", func(in []string) map[string]int {
		out := map[string]int{}
		for _, s := range in {
			out[s]++
		}
		return out
	})
	if diff := cmp.Diff(want, left, sortStrings); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	if err := leftovers.Apply(t.Context(), n.NS, plan, func(*leftovers.Removal, error) {}); err != nil {
		t.Error(err)
	}
	got := map[string]bool{}
	for line := range strings.SplitSeq(normal(n.saved(t, "iptables-nft-save"))["*nat"], "\n") {
		if name, ok := strings.CutPrefix(line, ":KUBE-"); ok {
			got[strings.Fields(name)[0]] = true
		}
	}
	chains := map[string]bool{"EXT-GNZBNJ2PO5MGZ6GT": true, "SVC-GNZBNJ2PO5MGZ6GT": true, "MARK-MASQ": true, "MARK-DROP": true, "KUBELET-CANARY": true}
	if diff := cmp.Diff(chains, got); diff != "" {
		t.Errorf("chains of nat (-want +got):\n%s", diff)
	}
}
