// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nstest

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
)

// Older reports whether the running kernel is older than a release, such as 6.12. It is for
// what a kernel may do in another way; what it lacks is found by trying.
func Older(t testing.TB, major, minor int) bool {
	t.Helper()
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatalf("ask for the kernel's release: %v", err)
	}
	release := unix.ByteSliceToString(u.Release[:])
	var a, b int
	if _, err := fmt.Sscanf(release, "%d.%d", &a, &b); err != nil {
		t.Fatalf("read the kernel's release %q: %v", release, err)
	}
	return a < major || a == major && b < minor
}
