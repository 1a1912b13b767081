// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nat

import "errors"

var (
	// ErrDrift means that the kernel's table is not what the State believes:
	// another program changed it. Load it, Adopt it and go on.
	ErrDrift = errors.New("another program changed the table")
	// ErrLost means that the kernel's answer to a commit is missing, so that its outcome
	// is not known. Load the table.
	ErrLost = errors.New("the outcome of a commit is not known")
	// ErrTooLarge means that a batch does not fit into one write, so nothing was sent.
	ErrTooLarge = errors.New("the batch is too large for one transaction")
	// ErrPermission means that the process lacks CAP_NET_ADMIN.
	ErrPermission = errors.New("CAP_NET_ADMIN is missing")
)
