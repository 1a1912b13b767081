// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

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
	const want = "no source of Services: set --kubeconfig or --manifests, or run in a pod"
	if _, err := execute(t, "run", "--node-name=a"); err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
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
