// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"fairlead/internal/nstest"
)

func TestMain(m *testing.M) { nstest.Main(m) }

// converge is how long a change may take to reach every agent. client-go waits
// up to 30 s between attempts when the API server was away.
const converge = 3 * time.Minute

// binary returns the path of a program that "make e2e" built.
func binary(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "..", "bin", name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v; run \"make e2e\"", err)
	}
	return path
}

// eventually polls until f returns nil.
func eventually(t *testing.T, what string, f func(context.Context) error) {
	t.Helper()
	if err := poll(t.Context(), converge, f); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func poll(ctx context.Context, patience time.Duration, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := f(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%w after %s", err, patience)
		}
	}
}
