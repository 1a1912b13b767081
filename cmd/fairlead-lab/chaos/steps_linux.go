// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"time"

	"fairlead/internal/chaos"
)

// step carries out one step and keeps the history.
func (r *runner) step(ctx context.Context, s chaos.Step) error {
	at := r.now()
	if s.Begin {
		r.begun(s, at)
	}
	what, err := r.act(ctx, s)
	if err != nil {
		return err
	}
	if !s.Begin {
		r.ended(s)
	}
	if what != "" {
		what = ": " + what
	}
	r.note("%s%s (took %s)", s, what, (r.now() - at).Round(time.Millisecond))
	return nil
}

// act does what a step says, and returns what that was in detail.
func (r *runner) act(ctx context.Context, s chaos.Step) (string, error) {
	switch s.Kind {
	case chaos.Endpoints:
		return r.churn(s)
	case chaos.Service:
		return r.extra(s)
	case chaos.APIServer:
		if s.Begin {
			return "", r.api.Stop()
		}
		return "", r.api.Start()
	case chaos.Kill, chaos.Stop, chaos.Memory, chaos.Descriptor:
		return r.agent(s)
	case chaos.ReadOnly, chaos.DiskFull:
		return r.disk(ctx, s)
	case chaos.Device, chaos.FDB, chaos.Route, chaos.Neighbour, chaos.Sysctl:
		return r.network(s)
	}
	return r.table(ctx, s)
}
