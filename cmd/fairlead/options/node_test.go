// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package options

import (
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/validation"

	"fairlead/proxier/resolve"
)

// parse returns what flags make of a configuration.
func parse(t *testing.T, args ...string) (resolve.Config, error) {
	t.Helper()
	var f nodeFlags
	fs := pflag.NewFlagSet("node", pflag.ContinueOnError)
	f.register(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	return f.config()
}

func TestNodeFlags(t *testing.T) {
	got, err := parse(t,
		"--node-name= Worker-1 ", "--cluster-cidr=10.244.0.0/16,fd00:10:244::1/56", "--service-cidr=10.96.0.0/12",
		"--nodeport-addresses=primary,192.0.2.0/24", "--masquerade-bit=15", "--masquerade-all", "--backend-counters",
		"--detect-local-mode=BridgeInterface", "--pod-bridge-interface=cni0")
	if err != nil {
		t.Fatal(err)
	}
	want := resolve.Config{
		NodeName:          "worker-1",
		ClusterCIDRs:      []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16"), netip.MustParsePrefix("fd00:10:244::/56")},
		ServiceCIDRs:      []netip.Prefix{netip.MustParsePrefix("10.96.0.0/12")},
		NodePortAddresses: []string{"primary", "192.0.2.0/24"},
		MasqueradeMark:    0x8000, MasqueradeAll: true, BackendCounters: true,
		LocalMode: "BridgeInterface", BridgeInterface: "cni0",
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{}, netip.Addr{})); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
}

func TestNodeFlagsDefault(t *testing.T) {
	host, err := os.Hostname()
	if err != nil || len(validation.IsDNS1123Subdomain(strings.ToLower(host))) > 0 {
		t.Skipf("host name %q is no name of a node: %v", host, err)
	}
	got, err := parse(t)
	if err != nil {
		t.Fatal(err)
	}
	want := resolve.Config{
		NodeName: strings.ToLower(host), NodePortAddresses: []string{"primary"}, MasqueradeMark: 0x4000, LocalMode: "ClusterCIDR",
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
	if got, err := parse(t, "--nodeport-addresses="); err != nil || len(got.NodePortAddresses) > 0 {
		t.Errorf("--nodeport-addresses= gives %q, %v, want none", got.NodePortAddresses, err)
	}
}

func TestListenAddress(t *testing.T) {
	for s, good := range map[string]bool{
		"": true, ":10249": true, "127.0.0.1:10249": true, "[::]:0": true, "localhost:1": true,
		"127.0.0.1": false, "::1:80": false, "a b:80": false, "127.0.0.1:http": false, "127.0.0.1:-1": false,
	} {
		if err := listenAddress("--x", s); (err == nil) != good {
			t.Errorf("listenAddress(%q) is %v", s, err)
		}
	}
}
