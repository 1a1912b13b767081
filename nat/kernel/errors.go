// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"fairlead/internal/nl"
	"fairlead/nat"
)

// classify adds the sentinel to an error of the kernel, where there is one.
func classify(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, nl.ErrLost):
		return fmt.Errorf("%w: %w", nat.ErrLost, err)
	case errors.Is(err, nl.ErrTooLarge):
		return fmt.Errorf("%w: %w", nat.ErrTooLarge, err)
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("%w: %w", nat.ErrPermission, err)
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.EEXIST), errors.Is(err, unix.EBUSY):
		return fmt.Errorf("%w: %w", nat.ErrDrift, err)
	}
	return err
}
