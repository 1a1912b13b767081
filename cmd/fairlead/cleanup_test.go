// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"
)

func TestCleanupFlags(t *testing.T) {
	for want, args := range map[string][]string{
		"--of: is missing: set kube-proxy, flannel, fairlead, or several of them": {"cleanup"},
		`--of: "calico" is not kube-proxy, flannel or fairlead`:                   {"cleanup", "--of", "flannel,calico", "--dry-run"},
	} {
		if _, err := execute(t, args...); err == nil || err.Error() != want {
			t.Errorf("%v: %v, want %s", args, err, want)
		}
	}
}
