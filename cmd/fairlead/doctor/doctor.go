// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package doctor checks a node for everything that keeps fairlead from working on it:
// features of the kernel, settings, other programs, the way to other nodes, and the
// rights at the API server. It changes nothing; it sends a few small packets to other
// nodes. Each check says what it saw, and what to do about it.
package doctor

import (
	"context"
	"time"

	"k8s.io/client-go/kubernetes"

	"fairlead/cmd/fairlead/doctor/finding"
	"fairlead/cmd/fairlead/node"
	"fairlead/cmd/fairlead/options"
	"fairlead/internal/cni"
	"fairlead/overlay"
	"fairlead/overlay/kernel"
	"fairlead/proxier/store"
)

// Input is what Run checks.
type Input struct {
	Config *options.Config
	// Flags says where the flags come from: the command line or a running agent.
	Flags string
	// Read returns the objects of the API server or of files. The error says what could
	// not be read; the store has the rest, and may be nil.
	Read func(context.Context) (*store.Store, error)
	// Client asks the API server; nil without one, for the reason ClientErr. Clock says
	// what time it has.
	Client    kubernetes.Interface
	ClientErr error
	Clock     func() (server, local time.Time, ok bool)
	// Wait is how long a peer may take to answer one packet.
	Wait time.Duration
}

// doctor is one run.
type doctor struct {
	Input
	report  *finding.Report
	objects *store.Store // nil if they could not be read
	network *node.Network
	links   *kernel.View    // nil if they could not be read
	overlay *overlay.Report // what the overlay should be like; nil without one, or if that is not known
}

// Run makes all checks and returns their findings. It ends early when ctx is done.
func Run(ctx context.Context, in Input) *finding.Report {
	d := &doctor{Input: in, report: &finding.Report{Time: time.Now().UTC(), Version: options.Version(), Node: in.Config.Proxier.NodeName, Kernel: options.KernelRelease()}}
	d.ok("flags", "%s", in.Flags)
	d.describe(store.New())
	for _, check := range []func(context.Context){
		d.checkAPI, d.checkClock, d.checkRights, d.checkObjects,
		d.checkKernel, d.checkTable, d.checkConntrack,
		d.checkOverlay, d.checkRoutes, d.checkSysctls, d.checkOffloads, d.checkPeers,
		d.checkPrograms, d.checkLeftovers, d.checkFirewall, d.checkDiverted, d.checkTraffic, d.checkCNI,
	} {
		if ctx.Err() != nil {
			d.unknown("time", "the checks took too long, and the rest was left out: %v", context.Cause(ctx))
			break
		}
		check(ctx)
	}
	return d.report
}

// describe makes objects those that settings and firewalls are checked against.
func (d *doctor) describe(objects *store.Store) {
	d.network = node.NewNetwork(d.Config.Node, &d.Config.Proxier, objects, nil, nil, nil)
}

func (d *doctor) ok(check, format string, args ...any) {
	d.report.Add(check, finding.OK, nil, format, args...)
}

func (d *doctor) unknown(check, format string, args ...any) {
	d.report.Add(check, finding.Unknown, nil, format, args...)
}

// first returns the first few texts, and how many more there are.
func first[T any](list []T) (some []T, more int) {
	const most = 8
	return list[:min(len(list), most)], max(len(list)-most, 0)
}

// bridge reports whether pods hang on a bridge.
func (d *doctor) bridge() bool { return d.Config.Node.CNI.Plugin == string(cni.Bridge) }
