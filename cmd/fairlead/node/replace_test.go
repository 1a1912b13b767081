// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"testing"

	"fairlead/internal/leftovers"
)

// TestReplacerLog: a replaced program that is started again and again takes bounded memory.
func TestReplacerLog(t *testing.T) {
	r := &Replacer{logged: map[string]bool{}}
	for pid := range 10 * mostLogged {
		r.log(t.Context(), nil, "Waiting", "program", leftovers.KubeProxy, "pids", []int{pid})
		if len(r.logged) > mostLogged {
			t.Fatalf("%d messages are remembered, at most %d are allowed", len(r.logged), mostLogged)
		}
	}
}
