// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package ruleset

import (
	"net/netip"
)

// Snapshot is what the kernel holds of the table.
type Snapshot struct {
	Exists bool // the table and all sets of the layout are there
	// Alien says what in the table no fairlead of this layout has made, and
	// cannot be changed in place; then the table is made anew.
	Alien    string
	Chains   map[string]string // name -> fingerprint of hook and rules
	Elements []Element
	Ranges   map[Set][]netip.Prefix
}
