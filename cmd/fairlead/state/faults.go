// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package state

import (
	"fmt"
	"slices"
	"time"
)

// Faults returns a sentence for each thing that needs a person, and none for an agent
// that is fine.
func (s *State) Faults() []string {
	var out []string
	if !s.Ready {
		out = append(out, "the node is not ready: "+s.Unready)
	}
	if a := s.APIServer; a != nil && a.Reached == nil {
		out = append(out, "the API server is not reached")
	}
	if o := s.Overlay; o != nil && o.LostCount > 0 {
		out = append(out, fmt.Sprintf("%d of %d peers do not answer", o.LostCount, o.PeerCount))
	}
	if s.ProblemCount > 0 {
		out = append(out, fmt.Sprintf("%d problems", s.ProblemCount))
	}
	return out
}

// Quantile returns the time within which a part q of the changes of endpoints reached the
// kernel, 0 without any.
func (s *State) Quantile(q float64) time.Duration {
	if len(s.Programming) == 0 {
		return 0
	}
	took := make([]float64, len(s.Programming))
	for i, p := range s.Programming {
		took[i] = p.TookSeconds
	}
	slices.Sort(took)
	at := took[min(int(q*float64(len(took))), len(took)-1)]
	return time.Duration(at * float64(time.Second))
}
