// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nft

import "strings"

// Odd names what an element has that a batch of ours does not write. The bits are stored in
// bundles, so their meaning does not change.
type Odd uint8

// What an element may have.
const (
	OddTimeout    Odd = 1 << iota // it disappears after a time
	OddUserData                   // user data that is no comment
	OddExpression                 // an expression that is no counter, or several
	OddObject                     // a reference to an object
	OddComment                    // a comment where elements have none
	OddCounter                    // a counter where elements have none
	OddFlags                      // flags of the element
)

// String returns, for example, "a timeout, user data that is no comment".
func (o Odd) String() string {
	var words []string
	for i, word := range []string{
		"a timeout", "user data that is no comment", "an expression", "an object", "a comment", "a counter", "flags",
	} {
		if o&(1<<i) != 0 {
			words = append(words, word)
		}
	}
	return strings.Join(words, ", ")
}
