// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package listing_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables/expr"

	"fairlead/internal/inet"
	"fairlead/internal/netns"
	"fairlead/internal/nstest"
	"fairlead/nat"
	"fairlead/nat/kernel"
	"fairlead/nat/listing"
	"fairlead/nat/nattest"
	"fairlead/nat/plan"
	"fairlead/nat/ruleset"
)

func TestMain(m *testing.M) { nstest.Main(m) }

// world is a table in the kernel.
type world struct {
	t     *testing.T
	ns    *netns.NS
	table *kernel.Table
	state *plan.State
}

func newWorld(t *testing.T, set nat.Settings) *world {
	t.Helper()
	ns := nstest.New(t)
	table, err := kernel.Open(ns)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = table.Close() })
	w := &world{t: t, ns: ns, table: table, state: plan.NewState()}
	w.state.Configure(set)
	return w
}

func (w *world) settle() {
	w.t.Helper()
	for b := w.state.Next(0); b != nil; b = w.state.Next(0) {
		if err := w.table.Commit(w.t.Context(), b.Batch); err != nil {
			w.t.Fatalf("%v\n%s", err, b)
		}
		w.state.Acked(b)
	}
}

// nft runs nft and returns its output.
func (w *world) nft(args ...string) string {
	w.t.Helper()
	out, err := nstest.Command(w.t, w.ns, "nft", args...).CombinedOutput()
	if err != nil {
		w.t.Fatalf("nft %v: %v\n%s", args, err, out)
	}
	return string(out)
}

func (w *world) text(o listing.Options) string {
	w.t.Helper()
	return w.read().Text(o)
}

func (w *world) read() *listing.Table {
	w.t.Helper()
	found, err := w.table.Load(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	table := listing.Table{Found: found, Entries: map[ruleset.Set][]ruleset.Entry{}}
	for _, set := range listing.LiveSets(found) {
		if table.Entries[set], err = w.table.LoadEntries(w.t.Context(), set); err != nil {
			w.t.Fatal(err)
		}
	}
	return &table
}

// settings returns settings with each kind of rule that the table can have.
func settings() map[string]nat.Settings {
	all := nattest.Settings()
	counting := nattest.CountingSettings()
	plain := nattest.Settings()
	plain.Loopback, plain.CheckedInterfaces, plain.Tunnels, plain.Egress, plain.KeepInvalid = false, nil, nat.Tunnels{}, nat.Egress{}, true
	byInterface := nattest.Settings()
	byInterface.Pods = nat.PodMatch{InterfacePrefix: "veth"}
	bridge := nattest.Settings()
	bridge.Pods = nat.PodMatch{Interface: "cni0"}
	masqueradeAll := nattest.Settings()
	masqueradeAll.MasqueradeAll, masqueradeAll.MasqueradeMark, masqueradeAll.Tunnels.Port = true, 0x10000, 1024
	return map[string]nat.Settings{
		"all": all, "counting": counting, "plain": plain, "interface prefix": byInterface, "bridge": bridge, "masquerade all": masqueradeAll,
	}
}

// TestStrayVerdicts: an element of another program has the verdict that nft prints, whatever
// it is, also after a bundle. nftables has two more verdicts, which nft prints none of.
func TestStrayVerdicts(t *testing.T) {
	w := newWorld(t, nattest.Settings())
	nattest.Variety(w.state)
	w.settle()
	w.nft("add chain inet fairlead mine")
	for i, verdict := range []string{"accept", "drop", "continue", "return", "jump mine", "goto mine"} {
		w.nft(fmt.Sprintf("add element inet fairlead vips4 { 10.9.9.%d . tcp . 9 : %s }", i, verdict))
	}
	table := w.read()
	printed := regexp.MustCompile(`\s(10\.9\.9\.\d \. tcp \. 9)( : [a-z ]*[a-z])`)
	elements := func(text string) (out []string) {
		for _, m := range printed.FindAllStringSubmatch(text, -1) {
			out = append(out, m[1]+m[2])
		}
		slices.Sort(out)
		return out
	}
	want := elements(w.nft("list", "map", "inet", "fairlead", "vips4"))
	if got := elements(table.Text(listing.Options{})); len(want) != 6 || !slices.Equal(got, want) {
		t.Errorf("elements %q, nft prints %q of\n%s", got, want, w.nft("list", "map", "inet", "fairlead", "vips4"))
	}
	for i, kind := range []expr.VerdictKind{expr.VerdictQueue, expr.VerdictQueue | 7<<16, expr.VerdictBreak} {
		stray := &table.Found.Strays[i]
		stray.Verdict = &expr.Verdict{Kind: kind}
		if text, want := stray.String(), []string{" : queue to 0", " : queue to 7", " : break"}[i]; !strings.HasSuffix(text, want) {
			t.Errorf("an element with verdict %d is printed as %q, want %q", kind, text, want)
		}
	}
	b, err := json.Marshal(table)
	if err != nil {
		t.Fatal(err)
	}
	var back listing.Table
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(table.Text(listing.Options{Full: true}), back.Text(listing.Options{Full: true})); diff != "" {
		t.Errorf("after a bundle (-was +is):\n%s", diff)
	}
}

// TestSameAsNft: the listing of one frontend of every shape is that of nft.
func TestSameAsNft(t *testing.T) {
	for name, set := range settings() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, set)
			nattest.Variety(w.state)
			w.settle()
			w.nft("add element inet fairlead affinity4 { 203.0.113.5 . tcp . 443 . 192.0.2.1 timeout 3h : 10.244.0.3 . 8443 }")
			got, want := w.text(listing.Options{Full: true}), w.nft("list", "table", "inet", "fairlead")
			if strings.Contains(got, "#") {
				t.Errorf("a rule of ours is not read:\n%s", regexp.MustCompile(`.*#.*`).FindAllString(got, -1))
			}
			expires := regexp.MustCompile(`expires \S+`)
			got, want = expires.ReplaceAllString(got, "expires SOON"), expires.ReplaceAllString(want, "expires SOON")
			if diff := cmp.Diff(nattest.Blocks(want), nattest.Blocks(got)); diff != "" {
				t.Errorf("(-nft +listing):\n%s", diff)
			}
		})
	}
}

// TestForeign: what another program put into the table is printed and named.
func TestForeign(t *testing.T) {
	w := newWorld(t, nattest.Settings())
	nattest.Variety(w.state)
	w.settle()
	for _, command := range []string{
		"insert rule inet fairlead services ip saddr 192.0.2.7 drop",
		"insert rule inet fairlead services limit rate 5/second accept",
		"insert rule inet fairlead output tcp dport { 80, 443 } accept",
		"add chain inet fairlead mine { type filter hook forward priority filter - 5; policy drop; }",
		"add set inet fairlead theirs { type ipv4_addr; }",
		"add element inet fairlead vips4 { 10.96.0.99 . tcp . 80 : accept }",
		"add chain inet fairlead prerouting { policy drop; }",
		"add table inet fairlead { flags dormant; }",
	} {
		w.nft(command)
	}
	got := w.text(listing.Options{})
	for _, want := range []string{
		"\tflags dormant\n",
		"\t\tip saddr 192.0.2.7 drop\n",
		"\t\t# not fairlead's: 2 expressions\n",
		"\t# not fairlead's: chain mine\n\tchain mine {\n\t\ttype filter hook forward priority filter - 5; policy drop;\n",
		"\t# not fairlead's: set theirs\n",
		"\t# not fairlead's: element vips4 { 10.96.0.99 . tcp . 80",
		"\t\ttype nat hook prerouting priority dstnat; policy drop;\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing", want)
		}
	}
	if n := strings.Count(got, "# not fairlead's: chain"); n != 1 {
		t.Errorf("%d chains are named as another program's, want 1", n)
	}
	if t.Failed() {
		t.Logf("the listing:\n%s", got)
	}
}

// TestFolded: by default a listing has no empty set and no repeated rule.
func TestFolded(t *testing.T) {
	w := newWorld(t, nattest.Settings())
	nattest.Variety(w.state)
	w.settle()
	got := w.text(listing.Options{})
	for _, want := range []string{"jump draw4-4 # 16 times\n", " empty sets and maps are left out\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	if strings.Contains(got, "map affinity4 {") {
		t.Error("an empty map is printed")
	}
}

// TestService: the listing of a Service is what its packets meet, and a part of the
// whole listing.
func TestService(t *testing.T) {
	w := newWorld(t, nattest.Settings())
	nattest.Variety(w.state)
	var nodes []netip.Addr
	for ip := netip.MustParseAddr("192.168.1.0"); len(nodes) < 100; ip = ip.Next() {
		nodes = append(nodes, ip)
	}
	w.state.SetNodes(nodes)
	other := nattest.Addr("10.96.0.77:80", inet.TCP)
	w.state.Set(other, nat.Frontend{Policy: nat.Internal, Exclusive: true, Owner: "default/web2", Backends: nattest.Pods(3), Affinity: time.Hour})
	w.settle()
	got := w.text(listing.Options{Service: "default/web"})
	for _, want := range []string{
		`203.0.113.5 . tcp . 443 comment "default/web:https" : goto guarded-sticky-1-local4-4-1`,
		"chain guarded-sticky-1-local4-4-1 {", "chain sticky-1-pick4-4 {", "chain pick-locals4-1 {", "chain services {", "chain postrouting {",
		"chain node-sticky-1-external4-2 {", "chain local-remember4-10800s-1 {", "# set nodes4 has 100 elements",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing", want)
		}
	}
	for _, other := range []string{"kube-dns", "default/web2", "default/empty", "10.96.0.", "hostports4 {", "remember4-3600s"} {
		if strings.Contains(strings.ReplaceAll(got, "10.96.0.0/16", ""), other) {
			t.Errorf("%q is of another Service", other)
		}
	}
	only4 := w.text(listing.Options{Service: "default/web", Families: []inet.Family{inet.IPv4}})
	if strings.Contains(only4, "ip6") || strings.Contains(only4, "vips6") || strings.Contains(only4, "fd00") {
		t.Errorf("the listing of IPv4 has IPv6:\n%s", only4)
	}
	if t.Failed() {
		t.Logf("the listing:\n%s", got)
	}
	whole := w.text(listing.Options{})
	for line := range strings.Lines(got) {
		line = strings.TrimPrefix(strings.Trim(line, "\t\n ,{}"), "elements = { ")
		if !strings.HasPrefix(line, "#") && !strings.Contains(whole, line) {
			t.Errorf("%q is not in the whole listing", line)
		}
	}
}

func TestNoTable(t *testing.T) {
	w := newWorld(t, nattest.Settings())
	if got := w.text(listing.Options{}); got != "" {
		t.Errorf("without a table: %q", got)
	}
}
