// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package resolve

// Pause is called again and again by work whose length depends on the size of an object,
// with the number of elements that were handled since. It may suspend the work for some
// time, in which other objects are resolved and contest the same keys. nil never does.
type Pause func(elements int)

// after calls a Pause that may be nil.
func (p Pause) after(elements int) {
	if p != nil {
		p(elements)
	}
}
