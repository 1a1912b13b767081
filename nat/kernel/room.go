// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel

// maxKey is the length of the longest key or data: two IPv6 addresses and some.
const maxKey = 64

// elementRoom is where the parts of one element are encoded.
type elementRoom struct{ key, end, data [maxKey]byte }
