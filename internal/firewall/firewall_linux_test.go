// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package firewall_test

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"fairlead/internal/firewall"
	"fairlead/internal/inet"
	"fairlead/internal/lab"
	"fairlead/internal/lab/labtest"
	"fairlead/internal/nstest"
)

func TestMain(m *testing.M) { nstest.Main(m) }

// world is a node that forwards between its pods, and to another node.
type world struct {
	node         *lab.Node
	client       *lab.Pod
	near, remote *lab.Pod
	config       firewall.Config
}

func newWorld(t *testing.T) *world {
	t.Helper()
	c := labtest.New(t, lab.Config{Nodes: 2, IPv6: true})
	n := c.Nodes[0]
	w := &world{
		node:   n,
		client: labtest.Pod(t, n, "client", 80, inet.TCP),
		near:   labtest.Pod(t, n, "near", 80, inet.TCP),
		remote: labtest.Pod(t, c.Nodes[1], "remote", 80, inet.TCP),
	}
	w.config = firewall.Config{
		PodCIDRs:     n.PodCIDRs,
		ClusterCIDRs: []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16"), netip.MustParsePrefix("fd00:10:244::/48")},
		PodDevice:    w.client.Device(), Overlay: "eth0", Uplink: "eth0", Own: "inet fairlead",
	}
	return w
}

// run gives the node a ruleset: nft's language, or a script of iptables.
func (w *world) run(t *testing.T, ruleset string) {
	t.Helper()
	cmd := nstest.Command(t, w.node.NS, "nft", "-f", "-")
	if strings.Contains(ruleset, "tables") {
		nstest.Command(t, w.node.NS, "iptables-nft", "--version")
		cmd = nstest.Command(t, w.node.NS, "sh")
	}
	cmd.Env = append(cmd.Environ(), "XTABLES_LOCKFILE="+filepath.Join(t.TempDir(), "lock"))
	cmd.Stdin = strings.NewReader(strings.ReplaceAll(ruleset, "POD", w.client.Device()))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// meets checks which packets do not pass: "IPv4", "IPv6". A busy machine may be
// late with those that do.
func (w *world) meets(t *testing.T, when string, want []string) {
	t.Helper()
	var diff string
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		if diff = cmp.Diff(want, w.blocked(t), cmpopts.EquateEmpty()); diff == "" {
			return
		}
	}
	t.Errorf("%s, blocked (-want +got):\n%s", when, diff)
}

// blocked returns which packets do not pass.
func (w *world) blocked(t *testing.T) []string {
	t.Helper()
	var passes [2][2]bool
	var all sync.WaitGroup
	for i := range passes {
		for j, to := range []*lab.Pod{w.near, w.remote} {
			all.Go(func() {
				at := inet.Addr{IP: to.Addrs()[i], Port: 80, Proto: inet.TCP}
				passes[i][j] = strings.Contains(w.client.Try(t.Context(), at), " saw ")
			})
		}
	}
	all.Wait()
	var out []string
	for i, family := range []string{"IPv4", "IPv6"} {
		if passes[i][0] != passes[i][1] {
			out = append(out, family+" in part")
		}
		if !passes[i][0] && !passes[i][1] {
			out = append(out, family)
		}
	}
	return out
}

func (w *world) check(t *testing.T) []firewall.Finding {
	t.Helper()
	r, err := firewall.Load(w.node.NS.Fd(), w.config.Own)
	if err != nil {
		t.Fatal(err)
	}
	return r.Check(w.config)
}

func families(fs []firewall.Finding) []string {
	var out []string
	for _, f := range fs {
		out = append(out, f.Families...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// TestForeign checks that reports agree with the fate of packets, that Apply lets the
// packets pass, and that Remove undoes this.
func TestForeign(t *testing.T) {
	tests := []struct {
		name, ruleset string
		want          []string // what is reported, up to the flows, and the first command
	}{
		{"docker", docker, []string{"chain FORWARD in table ip filter of Docker drops pod traffic (IPv4; ",
			"iptables -I DOCKER-USER -s 10.244.0.0/16 -j ACCEPT -m comment --comment \"fairlead: pods\""}},
		{"firewalld", firewalld, []string{"chain filter_FORWARD in table inet firewalld of firewalld drops pod traffic (IPv4, IPv6; ",
			"firewall-cmd --permanent --zone=trusted --add-source=10.244.0.0/16"}},
		{"ufw", ufw, []string{"chain FORWARD in table ip filter of ufw drops pod traffic (IPv4; ", "ufw route allow from 10.244.0.0/16",
			"chain FORWARD in table ip6 filter of ufw drops pod traffic (IPv6; ", "ufw route allow from fd00:10:244::/48"}},
		{"oracle", oracle, []string{"chain FORWARD in table ip filter drops pod traffic (IPv4; ", "iptables -I FORWARD -s 10.244.0.0/16 -j ACCEPT",
			"chain FORWARD in table ip6 filter drops pod traffic (IPv6; ", "at rule 1 of chain FORWARD"}},
		{"plain", plain, []string{"chain forward in table inet my-filter drops pod traffic (IPv4, IPv6; ",
			"nft insert rule inet my-filter forward ip saddr 10.244.0.0/16 accept comment '\"fairlead: pods\"'", "at policy drop"}},
		{"early", early, []string{"chain first in table inet guard drops pod traffic (IPv4, IPv6; ", "nft insert rule inet guard first ip saddr 10.244.0.0/16 accept"}},
		{"late", late, []string{"chain last in table inet guard drops pod traffic (IPv4, IPv6; ", "nft insert rule inet guard last ip saddr 10.244.0.0/16 accept"}},
		{"raw", raw, []string{"chain PREROUTING in table ip raw drops pod traffic (IPv4; ", "nft insert rule ip raw PREROUTING ip saddr 10.244.0.0/16 accept"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if got := w.check(t); len(got) > 0 {
				t.Fatalf("before there is anything: %v", got)
			}
			w.run(t, tt.ruleset)
			found := w.check(t)
			all := fmt.Sprint(found)
			for _, want := range tt.want {
				if !strings.Contains(all, want) {
					t.Errorf("there is no %s in\n%s", want, all)
				}
			}
			w.meets(t, "as reported", families(found))
			before := families(found)
			for range 2 { // the second time changes nothing
				if err := firewall.Apply(w.node.NS.Fd(), w.config, found); err != nil {
					t.Fatal(err)
				}
				w.meets(t, "after Apply", nil)
				if got := w.check(t); len(got) > 0 {
					t.Errorf("after Apply: %v", got)
				}
			}
			if n, err := firewall.Count(w.node.NS.Fd()); err != nil || n != 2*len(before) {
				t.Errorf("Count: %d, %v, want %d", n, err, 2*len(before))
			}
			if n, err := firewall.Remove(w.node.NS.Fd()); err != nil || n != 2*len(before) {
				t.Errorf("removed %d rules, %v, want %d", n, err, 2*len(before))
			}
			if diff := cmp.Diff(before, families(w.check(t))); diff != "" {
				t.Errorf("reported after Remove (-want +got):\n%s", diff)
			}
		})
	}
}

// TestHarmless checks that rulesets that let pods pass are not reported.
func TestHarmless(t *testing.T) {
	for name, ruleset := range map[string]string{"nft": harmless, "legacy": harmlessLegacy} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.run(t, ruleset)
			w.meets(t, "with a ruleset that is harmless", nil)
			if got := w.check(t); len(got) > 0 {
				t.Errorf("reported: %v", got)
			}
		})
	}
}

// TestLegacy checks that legacy iptables is reported and unchanged, and that the
// command in the report helps.
func TestLegacy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(t, legacy)
	found := w.check(t)
	if diff := cmp.Diff([]string{"IPv4", "IPv6"}, families(found)); diff != "" {
		t.Fatalf("reported (-want +got):\n%s%v", diff, found)
	}
	w.meets(t, "as reported", []string{"IPv4", "IPv6"})
	if want := "chain FORWARD in table iptables-legacy filter drops pod traffic (IPv4; "; !strings.HasPrefix(found[0].String(), want) {
		t.Errorf("got %s, want %s", found[0], want)
	}
	if err := firewall.Apply(w.node.NS.Fd(), w.config, found); !errors.Is(err, firewall.ErrLegacy) {
		t.Errorf("Apply: %v", err)
	}
	for _, f := range found {
		w.run(t, strings.Join(f.Remedy, "\n"))
	}
	if got := w.check(t); len(got) > 0 {
		t.Errorf("after the remedy: %v", got)
	}
	w.meets(t, "after the remedy", nil)
}

// TestRemedy runs the reported commands where the program is installed.
func TestRemedy(t *testing.T) {
	for name, ruleset := range map[string]string{"docker": docker, "oracle": oracle, "plain": plain, "early": early, "late": late, "raw": raw} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.run(t, ruleset)
			for _, f := range w.check(t) {
				script := strings.Join(f.Remedy, "\n")
				script = strings.ReplaceAll(script, "tables -I", "tables-nft -I")
				w.run(t, "# not iptables\nset -e\n"+script)
			}
			if got := w.check(t); len(got) > 0 {
				t.Errorf("after the remedy: %v", got)
			}
			w.meets(t, "after the remedy", nil)
		})
	}
}

// TestPossible checks that a rule that Check cannot evaluate makes a finding uncertain.
func TestPossible(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(t, possible)
	found := w.check(t)
	if len(found) != 1 || found[0].Certain || !strings.Contains(found[0].String(), " may drop pod traffic ") {
		t.Errorf("reported: %v", found)
	}
	w.meets(t, "with what may drop", nil)
}

// TestOwn checks that the table of fairlead itself is left out.
func TestOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(t, "table inet fairlead { chain f { type filter hook forward priority 0; policy drop; }; }")
	if found := w.check(t); len(found) > 0 {
		t.Errorf("reported: %v", found)
	}
}

// TestLarge bounds the cost of a ruleset of thousands of chains.
func TestLarge(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var b strings.Builder
	b.WriteString("table inet big {\n")
	const n = 500
	for i := range n {
		fmt.Fprintf(&b, "chain c%d { ip saddr 192.0.2.%d drop; }\n", i, i%250)
	}
	b.WriteString("chain f { type filter hook forward priority 0; policy drop;\n")
	for i := range n {
		fmt.Fprintf(&b, "jump c%d\n", i)
	}
	b.WriteString("}\n}\n")
	w.run(t, b.String())
	begin := time.Now()
	found := w.check(t)
	t.Logf("%d rules took %v", 2*n, time.Since(begin))
	if len(found) != 1 || !found[0].Certain {
		t.Errorf("reported: %v", found)
	}
}
