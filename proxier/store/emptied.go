// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package store

// MostIdle is how many entries a map may have held and be kept when it is empty: maps never
// shrink, and those of a first sync have as many entries as the cluster has Services.
const MostIdle = 1 << 10

// Emptied returns the map without its entries, or a new one where there were many.
func Emptied[M ~map[K]V, K comparable, V any](m M) M {
	if len(m) > MostIdle {
		return M{}
	}
	clear(m)
	return m
}
