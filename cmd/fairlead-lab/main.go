// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Command fairlead-lab runs a small cluster in network namespaces of one machine,
// with the program fairlead as the agent of each node.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"fairlead/cmd/fairlead-lab/chaos"
	"fairlead/cmd/fairlead-lab/demo"
	"fairlead/cmd/fairlead-lab/oom"
)

func main() {
	oom.Eat() // returns, unless this process is there to take memory
	err := newCommand().ExecuteContext(context.Background())
	var code exitStatusError
	switch {
	case err == nil:
		return
	case errors.As(err, &code):
		os.Exit(int(code)) // the lab inside the namespaces has printed why
	case !errors.Is(err, demo.ErrChecks) && !errors.Is(err, chaos.ErrFailed): // the last line of output says so
		fmt.Fprintln(os.Stderr, "fairlead-lab:", err)
	}
	os.Exit(1)
}

// exitStatusError is the exit status of the lab that runs inside the namespaces.
type exitStatusError int

func (s exitStatusError) Error() string { return fmt.Sprintf("exit status %d", int(s)) }
