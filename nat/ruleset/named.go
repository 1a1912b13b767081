// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package ruleset

// Named is what the kernel has of some elements.
type Named struct {
	// Asked lists the elements that were asked for, each once, sorted by set. Element is
	// what the key says, or the zero value if it cannot be read.
	Asked []Stray
	// Found has those that exist in Elements and Strays, and the content of whole sets in
	// Ranges. Entries of affinity maps are among the Strays. Its other fields are empty.
	Found Snapshot
}
