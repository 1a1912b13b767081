// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package leftovers

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestProcesses finds programs that may change the network of this namespace, and no process that
// another user has named like one: it would keep leftovers in place for as long as it runs.
func TestProcesses(t *testing.T) {
	const (
		root, other, half = "Uid:\t0\t0\t0\t0\n", "Uid:\t70000\t70000\t70000\t70000\n", "Uid:\t70000\t0\t0\t0\n"
		all, netAdmin     = "CapEff:\t000001ffffffffff\n", "CapEff:\t0000000000001000\n"
		none, sysAdmin    = "CapEff:\t0000000000000000\n", "CapEff:\t0000000000200000\n"
		cmdline           = "/usr/local/bin/kube-proxy\x00--v=2\x00"
	)
	own := fmt.Sprintf("Uid:\t%[1]d\t%[1]d\t%[1]d\t%[1]d\n", os.Geteuid())
	proc := t.TempDir()
	process := func(pid, status, net, user, cmdline string) {
		t.Helper()
		dir := filepath.Join(proc, pid)
		if err := os.MkdirAll(filepath.Join(dir, "ns"), 0o700); err != nil {
			t.Fatal(err)
		}
		for name, to := range map[string]string{"net": net, "user": user} {
			if err := os.Symlink(to, filepath.Join(dir, "ns", name)); err != nil {
				t.Fatal(err)
			}
		}
		for name, text := range map[string]string{"status": "Name:\tkube-proxy\n" + status, "cmdline": cmdline} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	process("thread-self", root+all, "net:[1]", "user:[1]", "test\x00")
	var want []int
	for i, tc := range []struct {
		name, status, net, user, cmdline string
		is                               bool
	}{
		{"root", root + all, "net:[1]", "user:[1]", cmdline, true},
		{"the user of this process", own + none, "net:[1]", "user:[1]", cmdline, true},
		{"another user with CAP_NET_ADMIN", other + netAdmin, "net:[1]", "user:[1]", cmdline, true},
		{"another user", other + none, "net:[1]", "user:[1]", cmdline, false},
		{"another user with another capability", other + sysAdmin, "net:[1]", "user:[1]", cmdline, false},
		{"another user in a user namespace", other + all, "net:[1]", "user:[2]", cmdline, false},
		{"begun by another user", half + none, "net:[1]", "user:[1]", cmdline, false},
		{"no user", "", "net:[1]", "user:[1]", cmdline, false},
		{"another network namespace", root + all, "net:[2]", "user:[1]", cmdline, false},
		{"another program", root + all, "net:[1]", "user:[1]", "/usr/bin/sh\x00kube-proxy.sh\x00", false},
	} {
		process(fmt.Sprint(100+i), tc.status, tc.net, tc.user, tc.cmdline)
		if tc.is {
			want = append(want, 100+i)
		} else {
			t.Logf("process %d is %s", 100+i, tc.name)
		}
	}
	got, err := processes(proc, func(argv []string) bool { return isProgram(argv, "kube-proxy") })
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("found %v, %v, want %v", got, err, want)
	}
}
