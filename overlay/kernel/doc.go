// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package kernel reads, writes and watches what the overlay holds in the kernel.
package kernel
