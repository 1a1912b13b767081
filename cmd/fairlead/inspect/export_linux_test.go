// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package inspect

// Unpack is unpack for tests.
var Unpack = unpack
