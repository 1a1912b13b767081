// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package output

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Table is rows below titles. It cleans its cells.
type Table struct {
	Titles []string
	// Wide is how many of the last columns are printed with -o wide only.
	Wide int
	Rows [][]string
	// Empty is the sentence that stands for no rows.
	Empty string
}

// Add appends a row. A cell that is empty is printed as "-".
func (t *Table) Add(cells ...string) { t.Rows = append(t.Rows, cells) }

// Print writes the table.
func (t *Table) Print(out io.Writer, wide bool) error {
	if len(t.Rows) == 0 && t.Empty != "" {
		_, err := fmt.Fprintln(out, t.Empty)
		return err
	}
	n := len(t.Titles)
	if !wide {
		n -= t.Wide
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{t.Titles}, t.Rows...) {
		cells := make([]string, min(n, len(row)))
		for i := range cells {
			if cells[i] = Clean(row[i]); cells[i] == "" {
				cells[i] = "-"
			}
		}
		if _, err := fmt.Fprintln(w, strings.Join(cells, "\t")); err != nil {
			return err
		}
	}
	return w.Flush()
}
