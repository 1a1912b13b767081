// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package flannel

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// unusedFields returns the fields of the text that Parse does not look at and
// that ask for something.
func unusedFields(data []byte) ([]string, error) {
	var tree map[string]any
	if err := json.Unmarshal(data, &tree); err != nil {
		return nil, err
	}
	known := []string{"network", "ipv6network", "enableipv4", "enableipv6", "backend"}
	out := unknown(tree, "", known)
	for name, v := range tree {
		if backend, ok := v.(map[string]any); ok && strings.EqualFold(name, "Backend") {
			out = append(out, unknown(backend, name+".", []string{"type", "vni", "port", "mtu", "directrouting", "iface", "ifaceregex", "ifacecanreach", "publicip", "publicipv6"})...)
		}
	}
	return out, nil
}

func unknown(m map[string]any, prefix string, known []string) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if v := m[name]; v != nil && v != false && v != "" && !slices.Contains(known, strings.ToLower(name)) {
			out = append(out, prefix+name)
		}
	}
	return out
}
