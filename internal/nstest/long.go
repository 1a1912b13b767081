// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nstest

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// skippedFile names the file to which Long appends a line for each test that it skips.
const skippedFile = "FAIRLEAD_SKIPPED"

// Long skips the test if -short is set, as it is in the short form of the race step. It is for
// tests that take more than about ten seconds under the race detector. reason says which other
// test runs the same goroutines.
func Long(t testing.TB, reason string) {
	t.Helper()
	if !testing.Short() {
		return
	}
	if name := os.Getenv(skippedFile); name != "" {
		dir, err := os.Getwd() // that of the package
		if err == nil {
			err = appendLine(name, fmt.Sprintf("%s %s: %s", filepath.Base(dir), t.Name(), reason))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Skip(reason)
}

// Size returns n, or short if -short is set. It is for tests that fill large tables.
func Size(n, short int) int {
	if testing.Short() {
		return short
	}
	return n
}

func appendLine(name, line string) error {
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, line)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}
