// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/validation"

	"fairlead/proxier"
)

// parse returns what flags make of a configuration.
func parse(t *testing.T, args ...string) (proxier.Config, error) {
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
	want := proxier.Config{
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
	want := proxier.Config{
		NodeName: strings.ToLower(host), NodePortAddresses: []string{"primary"}, MasqueradeMark: 0x4000, LocalMode: "ClusterCIDR",
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
	if got, err := parse(t, "--nodeport-addresses="); err != nil || len(got.NodePortAddresses) > 0 {
		t.Errorf("--nodeport-addresses= gives %q, %v, want none", got.NodePortAddresses, err)
	}
}

// TestRunFlagsWrong: everything that is wrong is said at once.
func TestRunFlagsWrong(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	_, err := execute(t, "run", "--node-name=a_b", "--cluster-cidr=10.244.0.0,fd00::/200", "--service-cidr=x",
		"--nodeport-addresses=y", "--masquerade-bit=32", "--detect-local-mode=Magic", "--manifests="+missing,
		"--kubeconfig="+missing, "--metrics-bind-address=10249", "--healthz-bind-address=[::1]:70000", "--logging-format=xml")
	if err == nil {
		t.Fatal("no error")
	}
	want := []string{
		`fairlead: --node-name: "a_b" is not the name of a node`,
		`fairlead: --masquerade-bit: 32 is not from 0 to 31`,
		`fairlead: --cluster-cidr: "10.244.0.0" is not a CIDR`,
		`fairlead: --cluster-cidr: "fd00::/200" is not a CIDR`,
		`fairlead: --service-cidr: "x" is not a CIDR`,
		`fairlead: --nodeport-addresses: "y" is neither a CIDR nor "primary"`,
		`fairlead: --detect-local-mode: "Magic" is not one of [ClusterCIDR NodeCIDR BridgeInterface InterfaceNamePrefix]`,
		`fairlead: --manifests: stat ` + missing + `: no such file or directory`,
		`fairlead: --kubeconfig: stat ` + missing + `: no such file or directory`,
		`fairlead: --metrics-bind-address: "10249" is not an address and port`,
		`fairlead: --healthz-bind-address: "[::1]:70000" is not an address and port`,
		`fairlead: --logging-format: format: Invalid value: "xml": Unsupported log format`,
	}
	if diff := cmp.Diff(want, strings.Split(message(err), "\n")); diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
}

// TestRunNoSource: outside a pod there must be a flag that names a source.
func TestRunNoSource(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	const want = "where do Services come from? give --kubeconfig or --manifests, or run in a pod"
	if _, err := execute(t, "run", "--node-name=a"); err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
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

// execute runs a command in this process and returns what it prints to stdout.
func execute(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	root := newRootCommand()
	root.SilenceErrors = true
	root.SetArgs(args)
	root.SetOut(&out)
	root.SetErr(&out)
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}
