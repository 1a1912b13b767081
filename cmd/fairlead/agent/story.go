// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"runtime"
	"time"

	"k8s.io/klog/v2"

	"fairlead/cmd/fairlead/options"
	"fairlead/internal/worker"
)

// startFacts are the keys of the first line: the versions that matter, and what the
// agent does on which node.
func startFacts(cfg *options.Config) []any {
	facts := []any{"version", options.Version(), "go", runtime.Version(), "kernel", options.KernelRelease(), "node", cfg.Proxier.NodeName}
	if cfg.Manifests != "" {
		facts = append(facts, "manifests", cfg.Manifests)
	}
	if o := cfg.Proxier.Overlay; o != nil {
		facts = append(facts, "overlay", o.Mode.String())
	}
	if cfg.Node.CNI.ConfDir != "" {
		facts = append(facts, "cniConfDir", cfg.Node.CNI.ConfDir)
	}
	return facts
}

// readyCheck is the time between two checks whether the first sync is over.
const readyCheck = 50 * time.Millisecond

// logProgrammed logs what the first sync programmed, and how long it took from start.
func (a *agent) logProgrammed(ctx context.Context, start time.Time) error {
	if !worker.Await(ctx, readyCheck, a.proxier.Ready) {
		return nil
	}
	took := time.Since(start)
	services, endpoints := a.store.Services(), 0
	for _, name := range services {
		endpoints += a.store.CountEndpoints(name)
	}
	klog.FromContext(ctx).Info("Programmed the table", "services", len(services), "endpoints", endpoints, "took", took.Round(time.Millisecond))
	return nil
}
