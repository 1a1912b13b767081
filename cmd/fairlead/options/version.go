// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package options

import (
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"
	"k8s.io/component-base/version"
)

// Version returns the version that the build set, or else that of the Go module.
func Version() string {
	if v := version.Get().GitVersion; !strings.Contains(v, "$Format") {
		return v
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// KernelRelease returns the release of the running kernel, such as 6.1.0-40-amd64.
func KernelRelease() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Release[:])
}
