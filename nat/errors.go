// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nat

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

var (
	// ErrDrift means that the kernel's table is not what the State believes:
	// somebody else changed it. Load it, Adopt it and go on.
	ErrDrift = errors.New("table was changed by somebody else")
	// ErrPermission means that the process lacks CAP_NET_ADMIN.
	ErrPermission = errors.New("CAP_NET_ADMIN is missing")
)

// classify adds the sentinel to an error of the kernel, where there is one.
func classify(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("%w: %w", ErrPermission, err)
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.EEXIST), errors.Is(err, unix.EBUSY):
		return fmt.Errorf("%w: %w", ErrDrift, err)
	}
	return err
}
