// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"cmp"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"fairlead/cmd/fairlead/node"
	"fairlead/cmd/fairlead/options"
	"fairlead/cmd/fairlead/state"
	"fairlead/conntrack"
	"fairlead/internal/cni"
	"fairlead/overlay"
	"fairlead/proxier"
	"fairlead/proxier/objects"
	"fairlead/proxier/status"
	"fairlead/proxier/store"
)

// Bounds of the lists of a state.
const (
	maxProblems = 500
	maxPeers    = 500
)

// stateAge is the time for which a state is answered again. So many clients cost the
// loop, whose locks a state needs, as much as one.
const stateAge = 500 * time.Millisecond

// reporter describes the agent. Its methods are safe for concurrent use.
type reporter struct {
	cfg     *options.Config
	since   time.Time
	api     *apiServer // nil without an API server
	store   *store.Store
	history *status.History
	proxier *proxier.Proxier
	network *node.Network
	health  *health
	fill    *atomic.Pointer[conntrack.Fill]
	forged  *atomic.Pointer[state.SourceCheck]

	mu   sync.Mutex
	last *state.State
	made time.Time // of last, by the monotonic clock
}

// State returns the present state; callers share it and must not change it.
func (r *reporter) State() *state.State {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last == nil || time.Since(r.made) > stateAge {
		r.last, r.made = r.read(), time.Now()
	}
	return r.last
}

func (r *reporter) read() *state.State {
	unready := r.health.unready()
	past := r.history.Past()
	counts := r.store.Counts()
	s := &state.State{
		Protocol: state.Protocol, Time: time.Now().UTC(),
		Version: options.Version(), Kernel: options.KernelRelease(), Node: r.cfg.Proxier.NodeName, PID: os.Getpid(), Since: wall(r.since),
		Ready: unready == "", Unready: unready,
		APIServer: r.apiServer(), Manifests: r.cfg.Manifests, Table: r.table(&past),
		Counts: state.Counts{
			Services: counts.Services, Endpoints: counts.Endpoints, Nodes: counts.Nodes,
			Frontends: past.Frontends, Backends: past.Backends,
		},
		Overlay: r.overlay(), CNI: r.cni(),
		Repairs: []state.Repair{}, Syncs: []state.Sync{}, Programming: []state.Programming{},
		Flags: flagsOf(r.cfg), SourceCheck: r.sourceCheck(),
	}
	s.Problems, s.ProblemCount = problemsOf(r.store.Book())
	if f := r.fill.Load(); f != nil {
		s.Conntrack = &state.Conntrack{Entries: f.Entries, Limit: f.Limit}
	}
	for _, p := range past.Repairs {
		s.Repairs = append(s.Repairs, repairOf(p))
	}
	for _, p := range past.Syncs {
		s.Syncs = append(s.Syncs, state.Sync{Time: wall(p.At), TookSeconds: p.Took.Seconds(), Error: p.Err})
	}
	for _, p := range past.Programming {
		s.Programming = append(s.Programming, state.Programming{Time: wall(p.At), TookSeconds: p.Took.Seconds()})
	}
	if n := len(s.Syncs); n > 0 {
		s.LastSync = &s.Syncs[n-1]
	}
	return s
}

// apiServer returns nil without an API server.
func (r *reporter) apiServer() *state.APIServer {
	s := r.api.state()
	if s == nil {
		return nil
	}
	heard := r.store.LastHeard()
	for _, source := range slices.Sorted(maps.Keys(heard)) {
		last := heard[source]
		s.Watches = append(s.Watches, state.Watch{
			Kind: strings.TrimPrefix(source, "api/"), LastHeard: wall(last.At), SilentSeconds: time.Since(last.At).Seconds(), Revision: last.Revision,
		})
	}
	return s
}

func (r *reporter) table(past *status.Past) state.Table {
	behind := r.proxier.Behind()
	t := state.Table{
		InSync: r.proxier.Ready() && behind == 0, BehindSeconds: behind.Seconds(),
		LastInSync: timeOf(r.proxier.LastSync()), Repairs: past.AllRepairs,
	}
	if n := len(past.Repairs); n > 0 {
		last := repairOf(past.Repairs[n-1])
		t.LastRepair = &last
	}
	return t
}

func repairOf(r status.Repair) state.Repair {
	return state.Repair{Time: wall(r.At), By: r.By, Found: r.Found}
}

// timeOf returns nil for the zero time.
func timeOf(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = wall(t)
	return &t
}

// wall returns a time in UTC by the present setting of the machine's clock. The age of the
// time counts by the monotonic clock, so that it stays right if somebody sets the other one.
// The zero time stays.
func wall(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	now := time.Now()
	return now.Add(-now.Sub(t)).UTC()
}

// problemsOf returns the first problems and the number of all.
func problemsOf(book *status.Book) ([]state.Problem, int) {
	all := book.Problems()
	out := make([]state.Problem, 0, min(len(all), maxProblems))
	for _, p := range all[:min(len(all), maxProblems)] {
		out = append(out, state.Problem{Kind: p.Kind, Name: p.Name, Field: p.Field, Text: p.Text})
	}
	return out, len(all)
}

// sourceCheck returns nil while nothing is checked.
func (r *reporter) sourceCheck() *state.SourceCheck {
	check := r.forged.Load()
	if check == nil || check.Last == nil {
		return check
	}
	out := *check
	out.Last = timeOf(*check.Last)
	return &out
}

func flagsOf(cfg *options.Config) map[string]any {
	flags, _ := cfg.Effective["flags"].(map[string]any)
	return flags
}

func (r *reporter) cni() *state.CNI {
	if r.cfg.Node.CNI.ConfDir == "" {
		return nil
	}
	return &state.CNI{File: filepath.Join(r.cfg.Node.CNI.ConfDir, cni.DefaultFile), Written: r.network.CNIWritten()}
}

// overlay returns nil if another program provides the network of pods.
func (r *reporter) overlay() *state.Overlay {
	cfg := r.cfg.Proxier.Overlay
	if cfg == nil {
		return nil
	}
	lost, probed := r.network.Missed()
	o := &state.Overlay{Mode: cfg.Mode.String(), Probed: probed, Peers: []state.Peer{}}
	if report := r.network.Report(); report != nil {
		o.Ready, o.MTU, o.Devices = report.Ready, report.MTU, report.Devices
	}
	if cfg.Mode == overlay.None {
		return o
	}
	for _, n := range r.store.Nodes() {
		if n.Name == r.cfg.Proxier.NodeName {
			continue
		}
		missed := lost[n.Name]
		o.PeerCount++
		if missed > 0 {
			o.LostCount++
		}
		o.Peers = append(o.Peers, peerOf(n, missed))
	}
	slices.SortStableFunc(o.Peers, func(a, b state.Peer) int { return cmp.Compare(b.Missed, a.Missed) })
	o.Peers = slices.Clip(o.Peers[:min(len(o.Peers), maxPeers)])
	return o
}

func peerOf(n *objects.Node, missed int) state.Peer {
	p := state.Peer{Node: n.Name, Missed: missed, Lost: missed > 0}
	for _, a := range n.Underlay {
		p.Addrs = append(p.Addrs, a.String())
	}
	for _, c := range n.PodCIDRs {
		p.PodCIDRs = append(p.PodCIDRs, c.String())
	}
	return p
}
