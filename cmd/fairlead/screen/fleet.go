// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package screen

import (
	"fmt"
	"io"
	"strings"

	"fairlead/cmd/fairlead/output"
	"fairlead/cmd/fairlead/state"
)

// Fleet prints a line for each agent of a cluster, then what is wrong and what differs.
type Fleet struct{ Answers []state.Answer }

// Print writes the text. With wide it lists the problems that the agents have, too.
func (f Fleet) Print(out io.Writer, wide bool) error {
	t := output.Table{Titles: []string{"NODE", "VERSION", "READY", "TABLE", "SERVICES", "REPAIRS", "PROBLEMS", "DIFFERS", "RUNS"}}
	var notes strings.Builder
	note := func(node, text string) { fmt.Fprintf(&notes, "%s\n", output.Clean(node+": "+text)) }
	good := 0
	for i := range f.Answers {
		a := &f.Answers[i]
		if a.Good() {
			good++
		}
		if a.State == nil {
			t.Add(a.Node, "", "unknown")
			note(a.Node, a.Error)
			continue
		}
		s := a.State
		t.Add(a.Node, s.Version, word(s.Ready, "yes", "no"), word(s.Table.InSync, "in sync", "behind"), fmt.Sprint(s.Counts.Services),
			fmt.Sprint(s.Table.Repairs), fmt.Sprint(s.ProblemCount), word(len(a.Differs) > 0, "yes", "no"), output.Ago(s.Time.Sub(s.Since)))
		for _, text := range a.Faults {
			note(a.Node, text)
		}
		for _, text := range a.Differs {
			note(a.Node, text)
		}
		for i := 0; wide && i < len(s.Problems); i++ {
			note(a.Node, s.Problems[i].String())
		}
	}
	if err := t.Print(out, wide); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	text := fmt.Sprintf("\n%d of %d nodes are fine and alike\n%s", good, len(f.Answers), notes.String())
	_, err := io.WriteString(out, text)
	return err //nolint:wrapcheck // the caller knows the writer
}

func word(ok bool, yes, no string) string {
	if ok {
		return yes
	}
	return no
}
