// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package leftovers

import (
	"fmt"
	"slices"
	"strings"
)

// Owner is a program that leaves objects on a node.
type Owner string

// The owners.
const (
	KubeProxy Owner = "kube-proxy"
	Flannel   Owner = "flannel"
	Fairlead  Owner = "fairlead"
)

// Owners returns all of them, in the order in which they are removed.
func Owners() []Owner { return []Owner{KubeProxy, Flannel, Fairlead} }

// ParseOwners reads a list of names.
func ParseOwners(names []string) ([]Owner, error) {
	var out []Owner
	for _, name := range names {
		o := Owner(strings.ToLower(strings.TrimSpace(name)))
		if !slices.Contains(Owners(), o) {
			return nil, fmt.Errorf("%q is not kube-proxy, flannel or fairlead", name)
		}
		if !slices.Contains(out, o) {
			out = append(out, o)
		}
	}
	slices.SortFunc(out, func(a, b Owner) int { return slices.Index(Owners(), a) - slices.Index(Owners(), b) })
	return out, nil
}
