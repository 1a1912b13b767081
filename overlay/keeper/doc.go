// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package keeper keeps the kernel of one network namespace as overlay plans it.
package keeper
