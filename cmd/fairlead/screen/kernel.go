// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package screen

import (
	"fmt"
	"io"
)

// Kernel is what a node without an agent that answers shows.
type Kernel struct {
	Error     string `json:"error"` // why the agent did not answer
	Owner     int    `json:"owner"` // process that holds the right to write the table; 0 is none or in another PID namespace
	Owned     bool   `json:"owned"`
	Table     bool   `json:"table"` // it exists
	Services  int    `json:"services"`
	Frontends int    `json:"frontends"`
	Saved     bool   `json:"saved,omitempty"` // it is a bundle, which does not say who owned the table
	// KernelError is why the kernel could not be read.
	KernelError string `json:"kernelError,omitempty"`
}

// Print writes the text.
func (k *Kernel) Print(out io.Writer, wide bool) error {
	l := lines{wide: wide}
	l.add("Agent", "%s", k.Error)
	switch {
	case k.Saved:
	case k.Owned && k.Owner > 0:
		l.add("Owner", "process %d runs as the agent of this network namespace: start it with --socket-dir, or give the same one here", k.Owner)
	case k.Owned:
		l.add("Owner", "a process in another PID namespace runs as the agent of this network namespace: run the command in its container, or on the node with the same --socket-dir")
	default:
		l.add("Owner", "no agent runs in this network namespace, so nobody updates or repairs the table")
	}
	switch {
	case k.KernelError != "":
		l.add("Table", "unknown: %s", k.KernelError)
	case !k.Table:
		l.add("Table", "does not exist, so no Service works on this node")
	default:
		l.add("Table", "exists, as the last agent left it: %d frontends of %d Services", k.Frontends, k.Services)
	}
	if _, err := io.WriteString(out, l.text.String()); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}
