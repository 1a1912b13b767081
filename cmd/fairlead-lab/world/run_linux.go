// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package world

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"fairlead/internal/lab"
)

// RunIn runs a program inside a host and returns what it printed. Whatever it
// says on stderr is an error.
func RunIn(ctx context.Context, h *lab.Host, name string, args ...string) (string, error) {
	stdout, stderr, err := Output(ctx, h, name, args...)
	if err == nil && stderr != "" {
		err = fmt.Errorf("run %s in %s: %s", name, h.Name, stderr)
	}
	return stdout, err
}

// Output runs a program inside a host and returns what it printed. An error holds what
// it said on stderr.
func Output(ctx context.Context, h *lab.Host, name string, args ...string) (stdout, stderr string, err error) {
	path, err := exec.LookPath(name)
	if err != nil {
		// An ordinary user's PATH lacks the directories of root's programs.
		if path, err = exec.LookPath("/usr/sbin/" + name); err != nil {
			return "", "", fmt.Errorf("find %s: %w", name, exec.ErrNotFound)
		}
	}
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	p, err := h.Start(cmd)
	if err != nil {
		return "", "", err
	}
	if err := p.Err(); err != nil {
		return "", "", fmt.Errorf("run %s in %s: %w: %s", name, h.Name, err, strings.TrimSpace(errs.String()))
	}
	return out.String(), strings.TrimSpace(errs.String()), nil
}

// Poll waits until done, and fails with the given message after patience.
func Poll(ctx context.Context, patience time.Duration, done func() bool, format string, args ...any) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf(format+": %w", append(args, ctx.Err())...)
		}
	}
	return nil
}
