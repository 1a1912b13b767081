// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

// nodeNews are the nodes that the overlay does not know yet as they are.
type nodeNews struct {
	all   bool
	names map[string]struct{}
}

func (n *nodeNews) add(name string) {
	if n.all {
		return
	}
	if n.names == nil {
		n.names = map[string]struct{}{}
	}
	n.names[name] = struct{}{}
}
