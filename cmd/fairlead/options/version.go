// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package options

import (
	"runtime/debug"
	"strings"

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
