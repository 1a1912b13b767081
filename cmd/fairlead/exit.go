// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

// exitError ends the process with a code of its own and prints nothing.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// failedError makes the process end with exit code 2.
type failedError struct{ error }

func (e failedError) Unwrap() error { return e.error }

// withCodes makes a command whose exit code 1 is an answer end with 2 after wrong flags and
// arguments, too.
func withCodes(cmd *cobra.Command) *cobra.Command {
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return failedError{plainFlag(err)} })
	args := cmd.Args
	cmd.Args = func(cmd *cobra.Command, list []string) error {
		if err := args(cmd, list); err != nil {
			return failedError{err}
		}
		return nil
	}
	return cmd
}
