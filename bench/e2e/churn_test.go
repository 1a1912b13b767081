// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"
)

// rollout replaces every pod of steady in the order in which a Deployment does.
func rollout(t *testing.T, r *run) {
	t.Helper()
	for _, old := range slices.Clone(r.pods) {
		fresh := r.addPod(t, old.Node)
		meets(t, r.ways, fresh.Name)
		r.evict(t, old)
		quiet(t, old)
		r.remove(t, old)
		r.pods = slices.DeleteFunc(r.pods, func(p *pod) bool { return p == old })
	}
}

// quiet waits until a pod has had no new connection for a while. Under this load
// a pod in use gets dozens in that time.
func quiet(t *testing.T, p *pod) {
	t.Helper()
	last, changed := p.server.Accepted(), time.Now()
	eventually(t, p.Name+" gets no connections any more", func(context.Context) error {
		if n := p.server.Accepted(); n != last {
			last, changed = n, time.Now()
		}
		if idle := time.Since(changed); idle < time.Second {
			return fmt.Errorf("the last one was %s ago", idle)
		}
		return nil
	})
}
