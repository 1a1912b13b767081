// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nat

import "fmt"

// Writer is a program that changed the table, as the kernel names it in the
// notification of each commit (NFTA_GEN_PROC_NAME, Linux 4.14). The zero value is an
// unknown program.
type Writer struct {
	Name string // of the thread, at most 15 bytes
	PID  uint32 // in the initial PID namespace
	// Changed is what the program changed. 0 is the same as Everything.
	Changed Scope
}

// Scope is a set of parts of the table that may have changed.
type Scope uint8

// The parts of the table that can be read alone, and all of it.
const (
	Rules    Scope = 1 << iota // chains and rules
	Elements                   // elements that a notification or a refusal named
	Everything
)

// String returns, for example, "nft (pid 4711)".
func (w Writer) String() string {
	if w.Name == "" && w.PID == 0 {
		return "an unknown program"
	}
	return fmt.Sprintf("%s (pid %d)", w.Name, w.PID)
}
