// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
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

// TestMessage prints errors that have what a terminal acts on.
func TestMessage(t *testing.T) {
	err := errors.Join(errors.New("read file a\x1b[2Jb: no"), errors.New("read device \u202ec\r: no"))
	want := `fairlead: read file a\x1b[2Jb: no` + "\n" + `fairlead: read device \u202ec\r: no`
	if got := message(err); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
