// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"

	"fairlead/bench/stat"
)

// CSV writes all samples, one a line.
func CSV(w io.Writer, set *stat.Set) error {
	out := csv.NewWriter(w)
	rows := [][]string{{"part", "metric", "unit", "subject", "services", "round", "value", "at_least"}}
	for _, x := range set.Samples {
		rows = append(rows, []string{
			x.Part, x.Metric, x.Unit, x.Subject, strconv.Itoa(x.Services), strconv.Itoa(x.Round),
			strconv.FormatFloat(x.Value, 'g', -1, 64), strconv.FormatBool(x.AtLeast),
		})
	}
	if err := out.WriteAll(rows); err != nil {
		return fmt.Errorf("write CSV: %w", err)
	}
	return nil
}
