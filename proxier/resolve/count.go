// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package resolve

// countIn adds n to a counter. It returns whether it was, and is, more than 0.
func countIn[K comparable](m map[K]int, key K, n int) (was, is bool) {
	before := m[key]
	if before+n > 0 {
		m[key] = before + n
	} else {
		delete(m, key)
	}
	return before > 0, before+n > 0
}
