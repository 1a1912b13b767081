// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"fairlead/cmd/fairlead-lab/world"
	"fairlead/internal/inet"
	"fairlead/internal/lab"
	"fairlead/internal/nstest"
)

// damagedBed is a node whose agent has ended.
type damagedBed struct {
	*testing.T
	w     *world.World
	flags []string
}

func (b *damagedBed) run(args ...string) string {
	b.Helper()
	out, err := onNode(b.T, b.w.Cluster.Nodes[0], append(args, b.flags...)...)
	if err != nil {
		b.Fatalf("fairlead %v: %v\n%s", args, err, out)
	}
	return out
}

// add gives the agents a Service like web.
func (b *damagedBed) add(name string, n int, change func(*world.Service)) world.Service {
	b.Helper()
	s := b.w.Web
	s.Name, s.ClusterIPs, s.NodePort = name, world.VIPs(b.w.Cluster.Config, 10+n), uint16(30080+n)
	change(&s)
	if err := b.w.Write(s); err != nil {
		b.Fatal(err)
	}
	return s
}

// deleteRule takes the first rule with a text from a chain.
func (b *damagedBed) deleteRule(chain, text string) {
	b.Helper()
	list := nftOn(b.T, b.w, "-a list chain inet fairlead "+chain)
	m := regexp.MustCompile(regexp.QuoteMeta(text) + `.*# handle (\d+)\n`).FindStringSubmatch(list)
	if m == nil {
		b.Fatalf("%q is no rule of\n%s", text, list)
	}
	nftOn(b.T, b.w, "delete rule inet fairlead "+chain+" handle "+m[1])
}

// place is one of the addresses of a Service.
type place struct {
	dial     inet.Addr
	from     *lab.Host
	fromFlag string
	address  string // as get services prints it
	prefix   string // "node-" or ""
	digit    string // "4" or "6"
	key      string // of an element
}

func (b *damagedBed) places(s world.Service) []place {
	var out []place
	for i, digit := range []string{"4", "6"} {
		vip, port := s.At(s.ClusterIPs[i]), inet.Addr{IP: b.w.Cluster.Nodes[0].Addrs()[i], Port: s.NodePort, Proto: inet.TCP}
		outside := b.w.Cluster.Outside.Addr4
		if digit == "6" {
			outside = b.w.Cluster.Outside.Addr6
		}
		out = append(out,
			place{vip, b.w.Client.Host, "pod", fmt.Sprint(vip.AddrPort()), "", digit, fmt.Sprintf("%s . tcp . %d", vip.IP, vip.Port)},
			place{port, b.w.Cluster.Outside, fmt.Sprint(outside), map[string]string{"4": "*:", "6": "[*]:"}[digit] + fmt.Sprint(port.Port), "node-", digit, fmt.Sprintf("tcp . %d", port.Port)})
	}
	return out
}

// damage is what is expected at an address of a Service.
type damage struct {
	result   string // of explain
	says     string // in the output of explain about the Service and the address
	policy   string // in get services
	note     string
	endpoint int // that get endpoints finds missing
	meets    string
}

func (b *damagedBed) check(s world.Service, at place, want damage) {
	b.Helper()
	name := "default/" + s.Name
	for _, subject := range []string{name, at.dial.String()} {
		out := b.run("explain", subject, "--from", at.fromFlag)
		if !strings.Contains(out, want.says) {
			b.Errorf("explain %s does not say %q:\n%s", subject, want.says, out)
		}
		if strings.Contains(out, "No Service has the address") || strings.Contains(out, "[no-service]") || strings.Contains(out, "[other-port]") {
			b.Errorf("explain %s says that the address has no Service:\n%s", subject, out)
		}
		if !strings.Contains(out, "[differs]") {
			b.Errorf("explain %s does not say that the table differs:\n%s", subject, out)
		}
	}
	var r report
	if err := json.Unmarshal([]byte(b.run("explain", at.dial.String(), "--from", at.fromFlag, "-o", "json")), &r); err != nil {
		b.Fatal(err)
	}
	if r.Paths[0].Result != want.result {
		b.Errorf("%s of %s: explain says that packets are %s, want %s", at.dial, s.Name, r.Paths[0].Result, want.result)
	}
	b.checkLists(s, at, want)
	patience := 20 * time.Second
	if strings.Contains(want.meets, "timeout") {
		patience = time.Second
	}
	ctx, cancel := context.WithTimeout(b.Context(), patience)
	defer cancel()
	if got := at.from.Try(ctx, at.dial); !regexp.MustCompile(want.meets).MatchString(got) {
		b.Errorf("%s of %s: a packet meets %q, want %q", at.dial, s.Name, got, want.meets)
	}
}

// checkLists reads get services and get endpoints.
func (b *damagedBed) checkLists(s world.Service, at place, want damage) {
	b.Helper()
	name := "default/" + s.Name
	var rows []struct{ Address, Policy, Note string }
	if err := json.Unmarshal([]byte(b.run("get", "services", name, "-o", "json")), &rows); err != nil {
		b.Fatal(err)
	}
	found := 0
	for _, row := range rows {
		if row.Address != at.address {
			continue
		}
		if found++; row.Policy != want.policy || !strings.HasPrefix(row.Note, want.note) {
			b.Errorf("%s of %s: get services says policy %q and %q, want %q and %q", at.dial, s.Name, row.Policy, row.Note, want.policy, want.note)
		}
	}
	if found != 1 {
		b.Errorf("get services has %s of %s %d times", at.address, s.Name, found)
	}
	var endpoints []struct {
		Frontend string
		Unused   *struct{ Code string }
	}
	if err := json.Unmarshal([]byte(b.run("get", "endpoints", name, "-o", "json")), &endpoints); err != nil {
		b.Fatal(err)
	}
	n := 0
	for _, e := range endpoints {
		if e.Frontend == at.address && e.Unused != nil && e.Unused.Code == "not-in-table" {
			n++
		}
	}
	if n != want.endpoint {
		b.Errorf("%s of %s: get endpoints finds %d missing in the table, want %d", at.dial, s.Name, n, want.endpoint)
	}
}

// TestDamaged: another program deletes elements and rules while no agent runs. The commands say what
// packets meet, and that the table differs from what was asked for.
func TestDamaged(t *testing.T) {
	nstest.Need(t)
	t.Parallel()
	w, err := world.New(t.Context(), worldOf(t, lab.Config{Nodes: 2, IPv6: true, NoPodRoutes: true}), 3)
	testWorld(t, w, err)
	node := w.Cluster.Nodes[0]
	b := &damagedBed{t, w, []string{
		"--manifests", w.Manifests, "--node-name", node.Name, "--cluster-cidr", world.JoinPrefixes(w.Cluster.Config.ClusterCIDRs()), "--overlay", "vxlan", "--ip-masq",
	}}
	single := func(s *world.Service) { s.Endpoints = s.Endpoints[:1] }
	one, lost, gone := b.add("one", 1, single), b.add("lost", 2, single), b.add("gone", 3, single)
	local := b.add("local", 4, func(s *world.Service) { s.Endpoints, s.Local = s.Endpoints[:1], true })
	sticky := b.add("sticky", 5, func(s *world.Service) { s.Endpoints, s.Sticky = s.Endpoints[:1], true })
	all := b.add("all", 6, func(*world.Service) {})
	if err := w.StartAgents(); err != nil {
		t.Fatal(err)
	}
	for _, s := range []world.Service{w.Web, one, lost, local, sticky, all, gone} {
		if err := w.WaitAgents(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	gone.Endpoints = nil
	if err := w.Write(gone); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the Service loses its endpoint", func() error {
		if out, err := onNode(t, node, append([]string{"diff"}, b.flags...)...); err != nil {
			return fmt.Errorf("%w\n%s", err, out)
		}
		return nil
	})
	for _, a := range w.Agents {
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if out := b.run("get", "services", "-o", "json"); strings.Count(out, `"note"`) != 4 || strings.Count(out, "have no endpoint") != 4 {
		t.Errorf("notes about an intact table:\n%s", out)
	}
	b.damageAll(one)
	b.damageVerdicts(one)
	b.damageElements(one, lost, local, sticky, all)
	b.damageRules(gone)
}

// damageAll damages what packets to all Services pass, and takes it back.
func (b *damagedBed) damageAll(one world.Service) {
	b.Helper()
	rules := nftOn(b.T, b.w, "list chain inet fairlead prerouting")
	if strings.Count(rules, "jump services") != 1 {
		b.Fatalf("chain prerouting is not known:\n%s", rules)
	}
	for _, d := range []struct{ damage, mend, note string }{
		{"flush chain inet fairlead prerouting", "add rule inet fairlead prerouting jump services", "chain prerouting differs from the wanted one"},
		{"add table inet fairlead { flags dormant; }", "add table inet fairlead", "the table is dormant"},
	} {
		nftOn(b.T, b.w, d.damage)
		for _, at := range b.places(one) {
			policy, meets := "cluster", "^(unreachable|timeout)$"
			if at.prefix != "" {
				policy, meets = "external", "^refused$" // by this node, where nothing listens
			}
			b.check(one, at, damage{"unchanged", "[not-translated]", policy, d.note, 0, meets})
		}
		nftOn(b.T, b.w, d.mend)
	}
	if out := b.run("get", "services", "default/one", "-o", "json"); strings.Contains(out, `"note"`) {
		b.Errorf("the table is not mended:\n%s", out)
	}
}

// damageVerdicts gives the addresses of a Service another chain, and takes it back.
func (b *damagedBed) damageVerdicts(one world.Service) {
	b.Helper()
	for _, at := range b.places(one) {
		verdicts, chain := "vips", "cluster"
		if at.prefix != "" {
			verdicts, chain = "nodeports", "node-external"
		}
		replace := func(verdict string) {
			nftOn(b.T, b.w, fmt.Sprintf("delete element inet fairlead %s%s { %s }", verdicts, at.digit, at.key))
			nftOn(b.T, b.w, fmt.Sprintf("add element inet fairlead %s%s { %s comment \"default/one:hello\" : goto %s }", verdicts, at.digit, at.key, verdict))
		}
		replace("refuse")
		b.check(one, at, damage{"rejected", ", which has 1 endpoint, but the table in the kernel leads the packet to none.", "reject", "the chain of the address differs", 0, "^refused$"})
		replace(chain + at.digit + "-1")
	}
	if out := b.run("get", "services", "default/one", "-o", "json"); strings.Contains(out, `"note"`) {
		b.Errorf("the table is not mended:\n%s", out)
	}
}

// damageElements deletes elements of Services.
func (b *damagedBed) damageElements(one, lost, local, sticky, all world.Service) {
	b.Helper()
	slot := func(at place, kind string, slots ...int) {
		for _, n := range slots {
			nftOn(b.T, b.w, fmt.Sprintf("delete element inet fairlead %s%s%s { %s . %d }", at.prefix, kind, at.digit, at.key, n))
		}
	}
	policy := func(at place) string {
		return map[string]string{"": "cluster", "node-": "external"}[at.prefix]
	}
	without := func(n int) damage {
		return damage{"rejected", fmt.Sprintf(", which has %s, but the table in the kernel leads the packet to none.", map[int]string{1: "1 endpoint", 3: "3 endpoints"}[n]), "reject", fmt.Sprintf("the table lacks %d of %d endpoint", n, n), n, "^refused$"}
	}
	for _, at := range b.places(one) {
		slot(at, "backends", 0)
		b.check(one, at, without(1))
	}
	for _, at := range b.places(sticky) {
		slot(at, "backends", 0)
		want := without(1)
		want.policy = policy(at) // known clients could still be served
		b.check(sticky, at, want)
	}
	for _, at := range b.places(all) {
		slot(at, "backends", 0, 1, 2)
		b.check(all, at, without(3))
	}
	for _, at := range b.places(b.w.Web) {
		slot(at, "backends", 1)
		b.check(b.w.Web, at, damage{"translated", "", policy(at), "the table lacks 1 of 3 endpoints", 1, "^web-[1-3] saw "})
	}
	for _, at := range b.places(local) {
		if at.prefix == "" {
			slot(at, "backends", 0)
			b.check(local, at, without(1))
			continue
		}
		slot(at, "locals", 0)
		want := without(1)
		want.policy = "local"
		b.check(local, at, want)
	}
	for _, at := range b.places(lost) {
		verdicts, says, result := "vips", "The address belongs to default/lost:hello, and the table in the kernel does not have it among those of Services.", "rejected"
		if at.prefix != "" {
			verdicts, says, result = "nodeports", "[not-translated]", "unchanged" // this node refuses it
		}
		nftOn(b.T, b.w, fmt.Sprintf("delete element inet fairlead %s%s { %s }", verdicts, at.digit, at.key))
		b.check(lost, at, damage{result, says, "", "the table lacks the address", 0, "^refused$"})
	}
}

// damageRules deletes rules that Services share.
func (b *damagedBed) damageRules(gone world.Service) {
	b.Helper()
	for _, at := range b.places(gone) {
		chain := at.prefix + "draw" + at.digit + "-1"
		b.deleteRule(chain, "reject")
		meets := "^(unreachable|timeout)$"
		if at.prefix != "" {
			meets = "^refused$" // by this node, where nothing listens
		}
		b.check(gone, at, damage{"unchanged", "[not-translated]", "unknown", "chain " + chain + " differs", 0, meets})
	}
	for _, at := range b.places(b.w.Web) {
		shape := map[string]string{"": "cluster", "node-": "node-external"}[at.prefix] + at.digit + "-4"
		b.deleteRule(shape, "goto "+at.prefix+"pick")
		meets := "^(unreachable|timeout)$"
		if at.prefix != "" {
			meets = "^refused$"
		}
		b.check(b.w.Web, at, damage{"unchanged", "[not-translated]", strings.TrimPrefix(strings.TrimSuffix(shape, at.digit+"-4"), "node-"), "the table lacks 1 of 3 endpoints", 1, meets})
	}
}
