// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package sysctl

import (
	"fmt"
	"net"
	"strings"
)

// Devices returns the names of the devices in the network namespace of the calling
// thread that match one of the patterns: a name, or its beginning and a *.
func Devices(patterns []string) ([]string, error) {
	links, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list devices: %w", err)
	}
	var out []string
	for _, l := range links {
		for _, p := range patterns {
			prefix, open := strings.CutSuffix(p, "*")
			if l.Name == p || open && strings.HasPrefix(l.Name, prefix) {
				out = append(out, l.Name)
				break
			}
		}
	}
	return out, nil
}
