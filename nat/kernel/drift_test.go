// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead/internal/inet"
	"fairlead/internal/netns"
	"fairlead/internal/nstest"
	"fairlead/nat"
	"fairlead/nat/nattest"
	"fairlead/nat/plan"
	"fairlead/nat/ruleset"
)

// nftCommand runs a command of nft's, which stands for somebody else.
func nftCommand(t testing.TB, ns *netns.NS, command string) {
	t.Helper()
	if out, err := nstest.Command(t, ns, "nft", command).CombinedOutput(); err != nil {
		t.Fatalf("nft %s: %v\n%s", command, err, out)
	}
}

// damage is what another program does to the table of nattest.Variety.
type damage struct {
	name   string
	damage []string
	ops    int    // of the repair, at most; 0 for any number
	drift  string // what is reported
}

func damages() []damage {
	return []damage{
		{"flush ruleset", []string{"flush ruleset"}, 0, "1 table (missing)"},
		{"element of a data map", []string{"delete element inet fairlead backends4 { 203.0.113.5 . tcp . 443 . 1 }"}, 1, "1 element (default/web:https 203.0.113.5:443/tcp)"},
		{"verdict", []string{"delete element inet fairlead vips4 { 10.96.0.10 . udp . 53 }"}, 1, "1 element (kube-system/kube-dns:dns 10.96.0.10:53/udp)"},
		{"other backend", []string{
			"delete element inet fairlead node-backends4 { tcp . 30080 . 0 }",
			"add element inet fairlead node-backends4 { tcp . 30080 . 0 : 192.0.2.1 . 1 }"}, 2, "1 element (default/web:http 0.0.0.0:30080/tcp)"},
		{"backend of nobody", []string{"add element inet fairlead backends4 { 192.0.2.7 . tcp . 1 . 0 : 192.0.2.1 . 1 }"}, 1, "1 element (192.0.2.7:1/tcp)"},
		{"slot far away", []string{"add element inet fairlead backends4 { 192.0.2.7 . tcp . 1 . 4000000000 : 192.0.2.1 . 1 }"}, 1, "1 element (192.0.2.7:1/tcp)"},
		{"frontend of nobody", []string{"add element inet fairlead vips4 { 192.0.2.7 . tcp . 1 : goto refuse }"}, 1, "1 element (192.0.2.7:1/tcp)"},
		{"hairpin", []string{"delete element inet fairlead hairpin4 { 10.244.0.3 . 10.244.0.3 }"}, 1, "1 element (hairpin4 10.244.0.3 . 10.244.0.3)"},
		{"node", []string{"delete element inet fairlead nodes4 { 192.168.0.2 }"}, 1, "1 element (nodes4 192.168.0.2)"},
		{"node of nobody", []string{"add element inet fairlead nodes4 { 192.0.2.66 }"}, 1, "1 element (nodes4 192.0.2.66)"},
		{"host port", []string{
			"delete element inet fairlead hostports4 { tcp . 8080 }",
			"add element inet fairlead hostports4 { tcp . 8080 : 192.0.2.1 . 1 }"}, 2, "2 elements (hostports4 tcp . 8080 : 192.0.2.1 . 1)"},
		{"host port of nobody", []string{"add element inet fairlead hostip-ports4 { 192.0.2.7 . tcp . 1 : 192.0.2.1 . 1 }"}, 1, "1 element (hostip-ports4 192.0.2.7 . tcp . 1 : 192.0.2.1 . 1)"},
		{"guard of the tunnels", []string{"flush chain inet fairlead tunnels"}, 1, "1 chain (tunnels)"},
		{"hairpin of two", []string{"add element inet fairlead hairpin4 { 10.244.0.3 . 10.244.0.4 }"}, 0, "1 element (hairpin4 0x0af400030af40004)"},
		{"pod CIDR", []string{"flush set inet fairlead pods4"}, 2, "1 element (ranges of pods4)"},
		{"source range", []string{"flush set inet fairlead sources6-64"}, 1, "1 element (default/web:https [2001:db8::5]:443/tcp)"},
		{"rules of a chain", []string{"flush chain inet fairlead postrouting"}, 1, "1 chain (postrouting)"},
		{"rule in front", []string{"insert rule inet fairlead services accept"}, 1, "1 chain (services)"},
		{"rule of a pick chain", []string{"insert rule inet fairlead pick4-2 drop"}, 1, "1 chain (pick4-2)"},
		{"chain of nobody", []string{"add chain inet fairlead mine"}, 1, "1 chain (mine)"},
		{"set of nobody", []string{"add set inet fairlead mine { type ipv4_addr; }"}, 0, "1 set (mine)"},
		{"counter of nobody", []string{"add counter inet fairlead mine", "insert rule inet fairlead services counter name mine"}, 0, "1 object (object mine), 1 chain (services)"},
		{"objects of nobody", []string{
			"add counter inet fairlead mine", "add quota inet fairlead mine { over 1 mbytes; }",
			"add map inet fairlead theirs { type ipv4_addr : counter; }", `add element inet fairlead theirs { 192.0.2.1 : "mine" }`}, 0,
			"1 set (theirs), 2 objects (object mine)"},
		{"limit of nobody", []string{"add limit inet fairlead mine { rate 1/second; }"}, 0, "1 object (object mine)"},
		{"helper of nobody", []string{`add ct helper inet fairlead mine { type "ftp" protocol tcp; }`}, 0, "1 object (object mine)"},
		{"map of nobody", []string{"add map inet fairlead mine { type ipv4_addr : verdict; }"}, 0, "1 set (mine)"},
		{"base chain of nobody", []string{"add chain inet fairlead mine { type filter hook input priority 0; policy drop; }"}, 0, "1 chain (mine)"},
		{"size of a set", []string{
			"flush chain inet fairlead invalid-source", "delete set inet fairlead outside-backends4",
			"add set inet fairlead outside-backends4 { type ipv4_addr; size 7; }"}, 0,
			"1 set (outside-backends4), 1 chain (invalid-source), 1 element (outside-backends4 198.51.100.9)"},
		{"dormant table", []string{"add table inet fairlead { flags dormant; }"}, 1, "1 table (flags 0x1)"},
		{"policy", []string{"add chain inet fairlead postrouting { policy drop; }"}, 1, "1 chain (postrouting)"},
		{"priority", []string{
			"delete chain inet fairlead prerouting",
			"add chain inet fairlead prerouting { type nat hook prerouting priority -90; }",
			"add rule inet fairlead prerouting jump services"}, 2, "1 chain (prerouting)"},
		{"type of a chain", []string{
			"delete chain inet fairlead prerouting",
			"add chain inet fairlead prerouting { type filter hook prerouting priority dstnat; }"}, 2, "1 chain (prerouting)"},
		{"order of rules", []string{
			"flush chain inet fairlead allowed4",
			"add rule inet fairlead allowed4 drop",
			"add rule inet fairlead allowed4 meta nfproto ipv4 ip daddr . meta l4proto . th dport . ip saddr @sources4-32 return"}, 1, "1 chain (allowed4)"},
		{"flags of a set", []string{
			"flush chain inet fairlead postrouting", "delete set inet fairlead hairpin4",
			"add set inet fairlead hairpin4 { type ipv4_addr . ipv4_addr; flags dynamic; size 65535; }"}, 0,
			"1 set (hairpin4), 1 chain (postrouting), 2 elements (hairpin4 10.244.0.3 . 10.244.0.3)"},
		{"type of a set", []string{
			"flush chain inet fairlead invalid-source", "delete set inet fairlead outside-backends4",
			"add set inet fairlead outside-backends4 { type inet_service; }"}, 0,
			"1 set (outside-backends4), 1 chain (invalid-source), 1 element (outside-backends4 198.51.100.9)"},
		{"timeout of a set", []string{
			"flush chain inet fairlead invalid-source", "delete set inet fairlead outside-backends4",
			"add set inet fairlead outside-backends4 { type ipv4_addr; flags timeout; timeout 1h; }"}, 0,
			"1 set (outside-backends4), 1 chain (invalid-source), 1 element (outside-backends4 198.51.100.9)"},
		{"comment of an element", []string{
			"delete element inet fairlead vips4 { 10.96.0.10 . udp . 53 }",
			`add element inet fairlead vips4 { 10.96.0.10 . udp . 53 comment "mine" : goto cluster4-2 }`}, 0,
			"1 element (kube-system/kube-dns:dns 10.96.0.10:53/udp)"},
		{"base chain elsewhere", []string{
			"delete chain inet fairlead output",
			"add chain inet fairlead output { type nat hook output priority 0; }"}, 0, "1 chain (output)"},
	}
}

// TestRepair lets somebody damage the table in every way and expects the
// difference, and no more, to be written.
func TestRepair(t *testing.T) {
	for _, tt := range damages() {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ns := nstest.New(t)
			table := open(t, ns)
			s := plan.NewState()
			s.Configure(nattest.Settings())
			nattest.Variety(s)
			settle(t, s, table)
			before := nattest.Blocks(list(t, ns))

			for _, command := range tt.damage {
				nftCommand(t, ns, command)
			}
			found, err := table.Load(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if drift := s.Adopt(found).String(); drift != tt.drift {
				t.Errorf("found %q, want %q", drift, tt.drift)
			}
			b := s.Next(0)
			if b == nil || tt.ops > 0 && len(b.Batch) > tt.ops {
				t.Errorf("the repair takes more than %d operations:\n%v", tt.ops, b)
			}
			settle(t, s, table)
			if diff := cmp.Diff(before, nattest.Blocks(list(t, ns))); diff != "" {
				t.Errorf("after the repair (-before +after):\n%s", diff)
			}
		})
	}
}

// TestRepairFlowtable removes a flowtable of another program.
func TestRepairFlowtable(t *testing.T) {
	ns := nstest.New(t)
	table := open(t, ns)
	s := fillState(3, 2)
	settle(t, s, table)
	const command = "add flowtable inet fairlead mine { hook ingress priority 0; devices = { lo }; }"
	if out, err := nstest.Command(t, ns, "nft", command).CombinedOutput(); err != nil {
		t.Skipf("the kernel has no flowtables (module nf_flow_table): %v\n%s", err, out)
	}
	found, err := table.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if drift := s.Adopt(found).String(); drift != "1 object (flowtable mine)" {
		t.Errorf("found %q", drift)
	}
	settle(t, s, table)
	restartWithNothing(t, table, s)
}

// TestRepairOrder flushes the table of 500 Services and expects the first batch of
// frontends to serve the one that the others depend on, whatever its address.
func TestRepairOrder(t *testing.T) {
	ns := nstest.New(t)
	table := open(t, ns)
	s := fillState(500, 10)
	key := nattest.Addr("10.96.255.254:53", inet.UDP)
	s.Set(key, nat.Frontend{Policy: nat.Internal, Exclusive: true, First: true, Owner: "kube-system/kube-dns:dns", Backends: nattest.Pods(2)})
	settle(t, s, table)
	nftCommand(t, ns, "flush ruleset")
	found, err := table.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.Adopt(found)
	for b := s.Next(0); b != nil; b = s.Next(0) {
		if err := table.Commit(t.Context(), b.Batch); err != nil {
			t.Fatal(err)
		}
		s.Acked(b)
		if keys := b.Keys(); slices.Contains(keys, key) {
			break
		} else if len(keys) > 0 {
			t.Fatalf("%d other frontends were repaired first", len(keys))
		}
	}
	if text := list(t, ns); !strings.Contains(text, "10.96.255.254 . udp . 53 ") {
		t.Error("the first frontend is missing in the kernel")
	}
}

// TestCommitDrift meets a damage that nobody told us about.
func TestCommitDrift(t *testing.T) {
	ns := nstest.New(t)
	table := open(t, ns)
	s := plan.NewState()
	s.Configure(nattest.Settings())
	key := nattest.Addr("10.96.0.1:80", inet.TCP)
	s.Set(key, nat.Frontend{Policy: nat.Internal, Owner: "d/web", Backends: nattest.Pods(2)})
	settle(t, s, table)
	nftCommand(t, ns, "flush ruleset")

	s.Set(key, nat.Frontend{Policy: nat.Internal, Owner: "d/web", Backends: nattest.Pods(1)})
	b := s.Next(0)
	err := table.Commit(t.Context(), b.Batch)
	if err == nil || !strings.Contains(err.Error(), nat.ErrDrift.Error()) {
		t.Fatalf("Commit on a flushed table: %v, want ErrDrift", err)
	}
	if again := s.Next(0); again.String() != b.String() {
		t.Errorf("a failed commit changed what is pending:\n%s", cmp.Diff(b.String(), again.String()))
	}
	found, err := table.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.Adopt(found)
	settle(t, s, table)
	if diff := cmp.Diff(nattest.Blocks(s.Text()), nattest.Blocks(list(t, ns))); diff != "" {
		t.Errorf("after the repair (-text +nft):\n%s", diff)
	}
}

// TestReadable feeds the listing back to nft, which must accept all of it but
// the chains that remember clients: nft cannot parse what it prints for "ct
// original proto-dst" in a concatenation.
func TestReadable(t *testing.T) {
	ns := nstest.New(t)
	table := open(t, ns)
	s := plan.NewState()
	s.Configure(nattest.Settings())
	nattest.Variety(s)
	s.Set(nattest.Addr("10.96.0.99:80", inet.TCP), nat.Frontend{Policy: nat.Internal, Owner: strings.Repeat("n", 63) + "/" + strings.Repeat("s", 63) + ":" + strings.Repeat("p", 63), Backends: nattest.Pods(3)})
	settle(t, s, table)

	texts := map[string]string{"listing": readable(list(t, ns))}
	s.Configure(nattest.CountingSettings())
	settle(t, s, table)
	counters := regexp.MustCompile(` counter packets [0-9]* bytes [0-9]* comment`) // as docs/dataplane.md says
	texts["listing without counters"] = counters.ReplaceAllString(readable(list(t, ns)), " comment")
	if diff := cmp.Diff(nattest.Blocks(texts["listing"]), nattest.Blocks(texts["listing without counters"])); diff != "" {
		t.Errorf("they differ in more than counters (-off +on):\n%s", diff)
	}
	for name, text := range texts {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := nstest.Command(t, nstest.New(t), "nft", "-c", "-f", file).CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("nft -c -f on the %s: %v\n%s", name, err, out)
		}
	}
}

// readable leaves out what nft cannot parse.
func readable(listing string) string {
	var kept []string
	remembering := false
	for line := range strings.SplitSeq(listing, "\n") {
		if strings.HasPrefix(line, "\tchain ") {
			remembering = strings.Contains(line, "remember")
		}
		if remembering && (strings.Contains(line, "update @") || strings.Contains(line, "ct original")) {
			continue
		}
		kept = append(kept, line)
	}
	return strings.Join(kept, "\n")
}

// TestDeclarations lets nft declare our sets from our text and compares what
// the kernel then holds with our own declarations: with nft 1.0 byte by byte, and with
// later ones, which write other user data, as far as the kernel cares.
func TestDeclarations(t *testing.T) {
	var text strings.Builder
	text.WriteString("table inet " + ruleset.TableName + " {\n")
	ruleset.AllSets(func(s ruleset.Set) { ruleset.WriteSet(&text, s, nil) })
	text.WriteString("}\n")
	file := filepath.Join(t.TempDir(), "sets.nft")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	ns := nstest.New(t)
	if out, err := nstest.Command(t, ns, "nft", "-f", file).CombinedOutput(); err != nil {
		t.Fatalf("nft: %v\n%s", err, out)
	}
	table := open(t, ns)
	r, err := table.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	version, err := nstest.Command(t, ns, "nft", "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	exact := strings.Contains(string(version), "v1.0.")
	declared := table.Declarations(t)
	ruleset.AllSets(func(s ruleset.Set) {
		if same, ok := r.Sets[s]; !ok || !same || exact && declared[s.String()] != s.Declaration() {
			t.Errorf("what nft declared as %s is not ours", s)
		}
	})
	if len(r.StraySets) > 0 {
		t.Errorf("unknown sets: %v", r.StraySets)
	}
}
