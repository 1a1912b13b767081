// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package firewall_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"fairlead/internal/firewall"
	"fairlead/internal/nstest"
)

// TestDiverted reads rules that other programs have put before the translation, and rules
// that leave the addresses of Services alone.
func TestDiverted(t *testing.T) {
	t.Parallel()
	targets := []firewall.Target{
		{Name: "default/web", Addr: netip.MustParseAddrPort("10.96.0.10:80"), Proto: unix.IPPROTO_TCP},
		{Name: "kube-system/kube-dns", Addr: netip.MustParseAddrPort("10.96.0.53:53"), Proto: unix.IPPROTO_UDP},
		{Name: "default/web", Addr: netip.MustParseAddrPort("[fd00:10:96::a]:80"), Proto: unix.IPPROTO_TCP},
	}
	config := firewall.Config{
		PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.244.1.0/24"), netip.MustParsePrefix("fd00:10:244:1::/64")}, PodDevice: "veth0",
	}
	for _, tt := range []struct {
		name, rules string
		want        []string // Problem without its end
		certain     bool
	}{
		{"notrack", "add table ip t; add chain ip t raw { type filter hook prerouting priority raw; }; add rule ip t raw ip daddr 10.96.0.0/16 notrack", []string{
			"rule 1 of chain raw in table ip t turns connection tracking off for packets of pods to default/web (10.96.0.10:80/tcp) and 1 more"}, true},
		{"notrack of one port, in a chain behind", "add table inet t; add chain inet t raw { type filter hook prerouting priority raw; }; add chain inet t dns; add rule inet t dns counter; add rule inet t dns udp dport 53 notrack; add rule inet t raw jump dns", []string{
			"rule 2 of chain dns in table inet t turns connection tracking off for packets of pods to kube-system/kube-dns (10.96.0.53:53/udp)"}, true},
		{"dnat", "add table inet t; add chain inet t pre { type nat hook prerouting priority dstnat - 5; }; add rule inet t pre tcp dport 80 dnat ip6 to [fd00::1]:8080", []string{
			"rule 1 of chain pre in table inet t translates packets of pods to default/web ([fd00:10:96::a]:80/tcp) before fairlead can"}, true},
		{"redirect at the priority of ours", "add table ip t; add chain ip t pre { type nat hook prerouting priority dstnat; }; add rule ip t pre tcp dport 80 redirect to :3128", []string{
			"rule 1 of chain pre in table ip t translates packets of pods to default/web (10.96.0.10:80/tcp) before fairlead can"}, true},
		{"an earlier rule that may accept", "add table ip t; add chain ip t pre { type nat hook prerouting priority dstnat; }; add rule ip t pre limit rate 1/second accept; add rule ip t pre tcp dport 80 redirect to :3128", []string{
			"rule 2 of chain pre in table ip t may be one that translates packets of pods to default/web (10.96.0.10:80/tcp) before fairlead can"}, false},
		{"behind ours", "add table ip t; add chain ip t pre { type nat hook prerouting priority dstnat + 5; }; add rule ip t pre tcp dport 80 redirect to :3128", nil, false},
		{"accepted before", "add table ip t; add chain ip t raw { type filter hook prerouting priority raw; }; add rule ip t raw ip saddr 10.244.0.0/16 accept; add rule ip t raw notrack", nil, false},
		{"other addresses", "add table ip t; add chain ip t raw { type filter hook prerouting priority raw; }; add rule ip t raw ip daddr 169.254.20.10 udp dport 53 notrack; add chain ip t pre { type nat hook prerouting priority dstnat; }; add rule ip t pre fib daddr type local tcp dport 80 redirect to :3128", nil, false},
		{"notrack behind connection tracking", "add table ip t; add chain ip t mangle { type filter hook prerouting priority mangle; }; add rule ip t mangle tcp dport 80 notrack", nil, false},
		{"our own table", "add table inet fairlead; add chain inet fairlead pre { type nat hook prerouting priority dstnat; }; add rule inet fairlead pre tcp dport 80 redirect to :3128", nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ns := nstest.New(t)
			for command := range strings.SplitSeq(tt.rules, "; add ") {
				if !strings.HasPrefix(command, "add ") {
					command = "add " + command
				}
				if out, err := nstest.Command(t, ns, "nft", command).CombinedOutput(); err != nil {
					t.Fatalf("nft %s: %v\n%s", command, err, out)
				}
			}
			var found []firewall.Diversion
			err := ns.Do(func() (err error) {
				found, err = firewall.Diverted("inet fairlead", config, targets)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for i := range found {
				got = append(got, strings.TrimSuffix(found[i].Problem(), ", so fairlead does not translate them"))
				if found[i].Certain != tt.certain {
					t.Errorf("%s: certain %v", got[i], found[i].Certain)
				}
				remedy := found[i].Remedy()[0]
				if out, err := nstest.Command(t, ns, "sh", "-c", remedy).CombinedOutput(); err != nil {
					t.Errorf("%s: %v\n%s", remedy, err, out)
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("found %q, want %q", got, tt.want)
			}
		})
	}
}

// TestDivertedByIptables reads what iptables-nft writes for the same.
func TestDivertedByIptables(t *testing.T) {
	t.Parallel()
	config := firewall.Config{PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.244.1.0/24")}, PodDevice: "veth0"}
	targets := []firewall.Target{{Name: "default/web", Addr: netip.MustParseAddrPort("10.96.0.10:80"), Proto: unix.IPPROTO_TCP}}
	for _, rule := range []string{
		"-t raw -A PREROUTING -d 10.96.0.0/16 -j CT --notrack", "-t raw -A PREROUTING -d 10.96.0.0/16 -j NOTRACK",
		"-t nat -A PREROUTING -p tcp --dport 80 -j DNAT --to-destination 192.0.2.1", "-t nat -A PREROUTING -p tcp --dport 80 -j REDIRECT --to-ports 3128",
	} {
		t.Run(rule, func(t *testing.T) {
			ns := nstest.New(t)
			if out, err := nstest.Command(t, ns, "iptables-nft", strings.Fields(rule)...).CombinedOutput(); err != nil {
				nstest.Skip(t, "iptables-nft "+rule+": "+string(out))
			}
			var found []firewall.Diversion
			err := ns.Do(func() (err error) {
				found, err = firewall.Diverted("inet fairlead", config, targets)
				return err
			})
			if err != nil || len(found) != 1 || !found[0].Certain || found[0].Untracked != strings.HasPrefix(rule, "-t raw") {
				t.Errorf("found %+v, %v", found, err)
			}
		})
	}
}
