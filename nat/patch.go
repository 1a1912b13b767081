// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nat

import "slices"

// PatchBackends returns a sorted list without some of its backends and with others, both sorted. A backend
// that is in both is replaced. The others are copied in blocks. It reports false if a backend to be
// removed is not there, or the address of one to be added is.
func PatchBackends(list, gone, came []Backend) ([]Backend, bool) {
	out := make([]Backend, 0, max(len(list)-len(gone)+len(came), 0))
	for len(gone)+len(came) > 0 {
		add := len(gone) == 0 || len(came) > 0 && came[0].CompareAddr(gone[0]) < 0
		var b Backend
		if add {
			b, came = came[0], came[1:]
		} else {
			b, gone = gone[0], gone[1:]
		}
		at, has := slices.BinarySearchFunc(list, b, Backend.CompareAddr)
		if has == add || has && list[at] != b {
			return nil, false
		}
		out = append(out, list[:at]...)
		if list = list[at:]; add {
			out = append(out, b)
		} else {
			list = list[1:]
		}
	}
	return append(out, list...), true
}
