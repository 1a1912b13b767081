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
	// Rules says that the program changed chains and rules, and nothing else.
	Rules bool
}

// String returns, for example, "nft (pid 4711)".
func (w Writer) String() string {
	if w == (Writer{}) {
		return "an unknown program"
	}
	return fmt.Sprintf("%s (pid %d)", w.Name, w.PID)
}
