// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package leftovers_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"fairlead/internal/leftovers"
)

// flannelNode is a node as flannel leaves it, with things of others beside that.
func flannelNode(t *testing.T) *node {
	t.Helper()
	n := newNode(t)
	n.script(t, `
ip link add eth0 type bridge
ip address add 192.168.50.1/24 dev eth0
ip link set eth0 up
ip link add flannel.1 type vxlan id 1 local 192.168.50.1 dev eth0 dstport 8472 nolearning
ip link add flannel-v6.1 type vxlan id 2 local fd00::1 dstport 8472 nolearning
ip link add flannel.7 type bridge
ip link add flannel.x type vxlan id 9 dstport 9999
ip link set flannel.1 up
ip address add 10.244.1.0/32 dev flannel.1
ip route add 10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink
ip route add 10.244.3.0/24 via 192.168.50.3
ip route add 10.9.0.0/24 via 192.168.50.3
ip route add blackhole 10.244.1.0/24
ip route add blackhole 10.8.0.0/24
ip link add cni0 type bridge
ip link add veth0 type veth peer name veth1
ip link set veth0 master cni0
`)
	n.run(t, "table ip flannel-ipv4 {\nchain postrtg { type nat hook postrouting priority srcnat; }\n}\n"+
		"table ip6 flannel-ipv6 { }\ntable ip mine { }\ntable inet flannel-ipv4 { }\n", "nft", "-f", "-")
	n.file(t, n.opts.SubnetFile, "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.1.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n")
	n.file(t, filepath.Join(n.opts.CNIDir, "10-flannel.conflist"), "{}")
	n.file(t, filepath.Join(n.opts.CNIDir, "87-mine.conflist"), "{}")
	return n
}

func TestFlannel(t *testing.T) {
	n := flannelNode(t)
	plan := n.plan(t, leftovers.Flannel)
	want := []string{
		"flannel: file " + filepath.Join(n.opts.CNIDir, "10-flannel.conflist"),
		"flannel: table ip flannel-ipv4",
		"flannel: table ip6 flannel-ipv6",
		"flannel: route blackhole 10.244.1.0/24 proto 3",
		"flannel: device flannel.1",
		"flannel: device flannel-v6.1",
		"flannel: file " + n.opts.SubnetFile,
		"flannel: left in place: route 10.244.3.0/24 via 192.168.50.3 proto 3: flannel's in mode host-gw or with DirectRouting, but it could be an administrator's; to remove it: ip route delete 10.244.3.0/24 via 192.168.50.3",
		"flannel: left in place: device cni0: 1 pods hang on it; to remove it: ip link delete cni0, once they are gone",
	}
	if diff := cmp.Diff(want, texts(plan)); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	n.script(t, "ip link delete veth0; ip route delete 10.244.3.0/24")
	n.clean(t, leftovers.Flannel)
	for _, c := range []struct{ cmd, want string }{
		{"ip -o link show | sed -n 's/^[0-9]*: \\([^:@]*\\).*/\\1/p' | sort | xargs", "eth0 flannel.7 flannel.x lo"},
		{"ip route show | xargs", "blackhole 10.8.0.0/24 10.9.0.0/24 via 192.168.50.3 dev eth0 192.168.50.0/24 dev eth0 proto kernel scope link src 192.168.50.1"},
		{"nft list tables | sort | xargs", "table inet flannel-ipv4 table ip mine"},
		{"ls " + n.opts.CNIDir, "87-mine.conflist"},
	} {
		if got := strings.Join(strings.Fields(n.run(t, c.cmd, "sh")), " "); got != c.want {
			t.Errorf("%s: %s, want %s", c.cmd, got, c.want)
		}
	}
}

// TestTakenOver checks that a device of flannel's name that fairlead runs counts as
// fairlead's.
func TestTakenOver(t *testing.T) {
	n := flannelNode(t)
	n.script(t, "ip link set flannel.1 alias fairlead; ip route add 10.244.5.0/24 via 10.244.5.0 dev flannel.1 onlink proto 102")
	for _, text := range texts(n.plan(t, leftovers.Flannel)) {
		if strings.Contains(text, "flannel.1") {
			t.Errorf("plan for flannel has %s", text)
		}
	}
	route := "fairlead: route 10.244.5.0/24 via 10.244.5.0 proto 102"
	want := []string{route, "fairlead: left in place: device flannel.1: flannel may use it again; to remove it: fairlead cleanup --of=fairlead,flannel"}
	if diff := cmp.Diff(want, texts(n.plan(t, leftovers.Fairlead))); diff != "" {
		t.Errorf("plan for fairlead (-want +got):\n%s", diff)
	}
	var both []string
	for _, text := range texts(n.plan(t, leftovers.Fairlead, leftovers.Flannel)) {
		if strings.HasPrefix(text, "fairlead: ") {
			both = append(both, text)
		}
	}
	if diff := cmp.Diff([]string{route, "fairlead: device flannel.1"}, both); diff != "" {
		t.Errorf("plan for both (-want +got):\n%s", diff)
	}
}

func TestFairlead(t *testing.T) {
	n := newNode(t)
	n.script(t, `
ip link add eth0 type bridge
ip address add 192.168.50.1/24 dev eth0
ip address add fd00:50::1/64 dev eth0 nodad
ip link set eth0 up
ip link add fairlead.1 type vxlan id 1 local 192.168.50.1 dstport 8472 nolearning
ip link set fairlead.1 up alias fairlead
ip route add 10.244.2.0/24 via 10.244.2.0 dev fairlead.1 onlink proto 102
ip route add 10.244.3.0/24 via 192.168.50.3 proto 102
ip -6 route add fd00:10:244:3::/64 via fd00:50::3 proto 102
ip route add 10.7.0.0/24 via 192.168.50.3 proto 103
ip route add 192.168.50.2/32 via 10.244.2.0 dev fairlead.1 onlink proto 102 table 8472
ip route add 192.168.50.4/32 via 192.168.50.3 proto 103 table 8472
ip route add 10.7.1.0/24 via 192.168.50.3 proto 102 table 7
ip rule add from 10.244.1.0/24 fwmark 0x2000/0x2000 lookup 8472 priority 8472 protocol 102
ip -6 rule add from fd00:10:244:1::/64 fwmark 0x2000/0x2000 lookup 8472 priority 8472 protocol 102
ip rule add from 10.244.9.0/24 fwmark 0x2000/0x2000 lookup 8472 priority 8472
`)
	n.run(t, "table inet fairlead {\nchain x { }\n}\ntable ip fairlead { }\n", "nft", "-f", "-")
	n.file(t, filepath.Join(n.opts.CNIDir, "10-fairlead.conflist"), "{}")
	want := []string{
		"fairlead: file " + filepath.Join(n.opts.CNIDir, "10-fairlead.conflist"), // first: no pod may start any more
		"fairlead: table inet fairlead",
		"fairlead: routing rule from 10.244.1.0/24 fwmark 0x2000/0x2000 lookup 8472",
		"fairlead: routing rule from fd00:10:244:1::/64 fwmark 0x2000/0x2000 lookup 8472",
		"fairlead: route 10.244.2.0/24 via 10.244.2.0 proto 102",
		"fairlead: route 10.244.3.0/24 via 192.168.50.3 proto 102",
		"fairlead: route 192.168.50.2/32 via 10.244.2.0 table 8472 proto 102",
		"fairlead: route fd00:10:244:3::/64 via fd00:50::3 proto 102 metric 1024",
		"fairlead: device fairlead.1",
	}
	if diff := cmp.Diff(want, texts(n.plan(t, leftovers.Fairlead))); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	n.clean(t, leftovers.Fairlead)
	left := n.run(t, "ip route show proto 103; ip route show table 8472; ip route show table 7; nft list tables; ip rule; ip -6 rule", "sh")
	for text, want := range map[string]bool{
		"10.7.0.0/24 ": true, "192.168.50.4 ": true, "10.7.1.0/24 ": true, "table ip fairlead": true, "from 10.244.9.0/24 ": true,
		"192.168.50.2 ": false, "from 10.244.1.0/24 ": false, "from fd00:10:244:1::/64 ": false,
	} {
		if strings.Contains(left, text) != want {
			t.Errorf("%q is there: %v, want %v:\n%s", text, !want, want, left)
		}
	}
}

// TestIPVS only makes the plan, because kernels of CI lack ip_vs, dummy and ip_set.
func TestIPVS(t *testing.T) {
	s := &leftovers.State{
		Sets:  []string{"KUBE-CLUSTER-IP", "KUBE-6-LOOP-BACK", "KUBE-ROUTER-NODES", "mine"},
		Links: []leftovers.Link{{Index: 1, Name: "kube-ipvs0", Kind: "dummy"}, {Index: 2, Name: "nodelocaldns", Kind: "dummy"}},
	}
	want := []string{"kube-proxy: ipset KUBE-CLUSTER-IP", "kube-proxy: ipset KUBE-6-LOOP-BACK", "kube-proxy: device kube-ipvs0"}
	got := texts(leftovers.NewPlan(leftovers.Options{}, leftovers.Owners(), s))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	s.Virtual = true
	want = append(want, "kube-proxy: left in place: services of IPVS: they are unreachable without kube-ipvs0, and could be others'; to remove it: ipvsadm --clear")
	if diff := cmp.Diff(want, texts(leftovers.NewPlan(leftovers.Options{}, leftovers.Owners(), s))); diff != "" {
		t.Errorf("plan with services (-want +got):\n%s", diff)
	}
	s.Links[0].Kind = "bridge"
	if got := texts(leftovers.NewPlan(leftovers.Options{}, leftovers.Owners(), s)); len(got) != 2 {
		t.Errorf("plan with somebody else's kube-ipvs0: %v", got)
	}
}

// TestBridge checks that a bridge belongs to the owner whose conflist names it, and
// stays while it is needed.
func TestBridge(t *testing.T) {
	n := newNode(t)
	n.script(t, "ip link add cni0 type bridge")
	ours, theirs := filepath.Join(n.opts.CNIDir, "10-fairlead.conflist"), filepath.Join(n.opts.CNIDir, "10-flannel.conflist")
	goes := func(when string, want bool, owners ...leftovers.Owner) {
		t.Helper()
		got := false
		for _, text := range texts(n.plan(t, owners...)) {
			got = got || strings.HasSuffix(text, ": device cni0")
		}
		if got != want {
			t.Errorf("%s: cni0 goes with %v: %v, want %v", when, owners, got, want)
		}
	}
	goes("without conflists", false, leftovers.Fairlead)
	goes("without conflists", true, leftovers.Flannel)
	n.file(t, ours, `{"plugins": [{"type": "bridge", "bridge": "cni0"}]}`)
	goes("with fairlead's conflist", true, leftovers.Fairlead)
	n.opts.KeepBridge = true
	goes("when it is needed", false, leftovers.Flannel)
	n.opts.KeepBridge = false
	n.file(t, theirs, "{}")
	goes("with both conflists", false, leftovers.Fairlead)
	n.file(t, ours, `{"plugins": [{"type": "ptp"}]}`)
	goes("with ptp", false, leftovers.Fairlead)
}

// TestBridgeOfOthers has another program's CNI configuration name the bridge, as CRI-O's and
// containerd's examples do.
func TestBridgeOfOthers(t *testing.T) {
	const ours, theirs, subnets = "10-fairlead.conflist", "10-flannel.conflist", "subnet.env"
	for _, tt := range []struct {
		name  string
		file  string
		text  string
		with  []string // files of fairlead and flannel beside it
		owner leftovers.Owner
		want  string // of cni0
	}{
		{"list", "11-crio.conflist", `{"plugins": [{"type": "loopback"}, {"type": "bridge", "bridge": "cni0"}]}`, nil, leftovers.Flannel, ""},
		{"one plugin", "99-net.conf", `{"type": "bridge", "bridge": "cni0"}`, nil, leftovers.Flannel, ""},
		{"default name", "99-net.json", `{"type": "bridge"}`, nil, leftovers.Flannel, ""},
		{"other bridge", "99-net.conf", `{"type": "bridge", "bridge": "cni1"}`, nil, leftovers.Flannel, "flannel: device cni0"},
		{"no bridge", "99-net.conf", `{"type": "ptp"}`, nil, leftovers.Flannel, "flannel: device cni0"},
		{"ignored by the runtime", "99-net.conf.bak", `{"type": "bridge"}`, nil, leftovers.Flannel, "flannel: device cni0"},
		{"broken", "99-net.conf", `{"type": "bridge", `, nil, leftovers.Flannel, "flannel: device cni0"},
		{"too deep", "99-net.conf", strings.Repeat(`{"plugins":[`, 100_000), nil, leftovers.Flannel, "flannel: device cni0"},
		{"both", "99-net.conf", `{"type": "bridge"}`, []string{theirs}, leftovers.Flannel, "flannel: left in place: device cni0: 99-net.conf names it, too; to remove it: ip link delete cni0, unless that program needs it"},
		{"both, by the subnets", "99-net.conf", `{"type": "bridge"}`, []string{subnets}, leftovers.Flannel, "flannel: left in place: device cni0: 99-net.conf names it, too; to remove it: ip link delete cni0, unless that program needs it"},
		{"fairlead and another one", "99-net.conf", `{"type": "bridge"}`, []string{ours}, leftovers.Fairlead, "fairlead: left in place: device cni0: 99-net.conf names it, too; to remove it: ip link delete cni0, unless that program needs it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := newNode(t)
			n.script(t, "ip link add cni0 type bridge")
			n.file(t, filepath.Join(n.opts.CNIDir, tt.file), tt.text)
			for _, name := range tt.with {
				path := filepath.Join(n.opts.CNIDir, name)
				if name == subnets {
					path = n.opts.SubnetFile
				}
				n.file(t, path, `{"plugins": [{"type": "bridge", "bridge": "cni0"}]}`)
			}
			if err := unix.Mkfifo(filepath.Join(n.opts.CNIDir, "00-pipe.conf"), 0o600); err != nil {
				t.Fatal(err)
			}
			got := ""
			for _, text := range texts(n.plan(t, tt.owner)) {
				if strings.Contains(text, "device cni0") {
					got += text
				}
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestFailures checks that the error names objects that cannot be removed, and that the
// rest goes.
func TestFailures(t *testing.T) {
	n := newNode(t)
	n.run(t, testdata(t, "flannel.iptables"), "iptables-nft-restore")
	n.script(t, "ip link add flannel.1 type vxlan id 1 dstport 8472")
	conflist := filepath.Join(n.opts.CNIDir, "10-flannel.conflist")
	if err := os.MkdirAll(filepath.Join(conflist, "x"), 0o755); err != nil { // a directory with something in it
		t.Fatal(err)
	}
	plan := n.plan(t, leftovers.Flannel)
	// Another program starts to use a chain after the plan was made.
	n.script(t, "iptables-nft -N MINE; iptables-nft -A MINE -j FLANNEL-FWD")
	bad := map[string]bool{}
	err := leftovers.Apply(t.Context(), n.NS, plan, func(r *leftovers.Removal, err error) { bad[r.String()] = err != nil })
	want := map[string]bool{
		"file " + conflist: true,
		"table ip filter: jump from FORWARD to FLANNEL-FWD; chains FLANNEL-FWD":          true,
		"table ip nat: jump from POSTROUTING to FLANNEL-POSTRTG; chains FLANNEL-POSTRTG": false,
		"device flannel.1": false,
	}
	if diff := cmp.Diff(want, bad); diff != "" {
		t.Errorf("failures (-want +got):\n%s", diff)
	}
	for _, text := range []string{"remove file " + conflist + " of flannel: ", "remove chain FLANNEL-FWD: "} {
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("error %v does not say %q", err, text)
		}
	}
	if got := n.run(t, "", "iptables-nft", "-S", "FORWARD"); strings.Contains(got, "FLANNEL") {
		t.Errorf("the jump is still there: %s", got)
	}
}

// TestLegacy checks that rules of the old iptables are reported with a command that
// works.
func TestLegacy(t *testing.T) {
	n := newNode(t)
	if err := n.legacy(t); err != nil {
		t.Skipf("this kernel has no legacy iptables: %v", err)
	}
	n.run(t, testdata(t, "kube-proxy.iptables"), "iptables-legacy-restore")
	n.run(t, testdata(t, "flannel.iptables"), "iptables-legacy-restore", "-n")
	plan := n.plan(t, leftovers.KubeProxy, leftovers.Flannel)
	if len(plan.Removals) != 0 || len(plan.Left) != 5 {
		t.Fatalf("plan:\n%s", strings.Join(texts(plan), "\n"))
	}
	for _, l := range plan.Left {
		n.script(t, l.Command)
	}
	if diff := cmp.Diff([]string(nil), texts(n.plan(t, leftovers.KubeProxy, leftovers.Flannel))); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	want, got := normal(testdata(t, "kube-proxy.left")), normal(n.saved(t, "iptables-legacy-save"))
	if diff := cmp.Diff(want["*mangle"], got["*mangle"]); diff != "" {
		t.Errorf("left of mangle (-want +got):\n%s", diff)
	}
}

func (n *node) legacy(t *testing.T) error {
	t.Helper()
	if _, err := os.Stat("/usr/sbin/iptables-legacy"); err != nil {
		return err
	}
	var err error
	if doErr := n.Do(func() error {
		_, err = os.Stat("/proc/thread-self/net/ip_tables_names")
		return nil
	}); doErr != nil {
		return errors.Join(err, doErr)
	}
	return err
}

func TestParseOwners(t *testing.T) {
	got, err := leftovers.ParseOwners([]string{"fairlead", " Kube-Proxy", "fairlead"})
	if diff := cmp.Diff([]leftovers.Owner{leftovers.KubeProxy, leftovers.Fairlead}, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if _, err := leftovers.ParseOwners([]string{"calico"}); err == nil || !strings.Contains(err.Error(), `"calico"`) {
		t.Errorf("calico: %v", err)
	}
}
