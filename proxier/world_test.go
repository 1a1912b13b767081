// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	kmetrics "k8s.io/component-base/metrics"
	"k8s.io/klog/v2"

	"fairlead/internal/netns"
	"fairlead/internal/nl"
	"fairlead/internal/nstest"
	"fairlead/nat"
	"fairlead/nat/kernel"
	"fairlead/nat/ruleset"
	"fairlead/proxier/metrics"
	"fairlead/proxier/objects"
	"fairlead/proxier/proxiertest"
	"fairlead/proxier/resolve"
	"fairlead/proxier/source"
	"fairlead/proxier/store"
)

func TestMain(m *testing.M) { nstest.Main(m) }

// recorder is a table in the kernel that writes down the operations it is given
// and fails on demand.
type recorder struct {
	*kernel.Table
	ops    strings.Builder
	quiet  bool // ops stays empty
	loads  atomic.Int64
	rules  atomic.Int64              // loads without elements
	named  atomic.Int64              // readings of named elements
	armed  atomic.Bool               // the watch has poked
	fault  int                       // commits that will fail, before they reach the kernel
	before func()                    // is called before each commit
	poker  func(ruleset.Batch) error // refuses a batch
}

// errInjected concerns no frontend, so that none is blamed.
var errInjected = fmt.Errorf("injected: %w", nat.ErrPermission)

func (r *recorder) Load(ctx context.Context) (*ruleset.Snapshot, error) {
	r.loads.Add(1)
	return r.Table.Load(ctx)
}

// LoadMost is what the first load calls.
func (r *recorder) LoadMost(ctx context.Context) (*ruleset.Snapshot, error) {
	r.loads.Add(1)
	return r.Table.LoadMost(ctx)
}

func (r *recorder) Watch(ctx context.Context, poke func(nat.Writer)) error {
	return r.Table.Watch(ctx, func(w nat.Writer) {
		poke(w)
		r.armed.Store(true)
	})
}

func (r *recorder) LoadRules(ctx context.Context) (*ruleset.Snapshot, error) {
	r.rules.Add(1)
	return r.Table.LoadRules(ctx)
}

func (r *recorder) LoadNamed(ctx context.Context) (*ruleset.Named, error) {
	r.named.Add(1)
	return r.Table.LoadNamed(ctx)
}

func (r *recorder) Commit(ctx context.Context, b ruleset.Batch) error {
	if r.before != nil {
		r.before()
	}
	if r.fault > 0 {
		r.fault--
		return errInjected
	}
	if r.poker != nil {
		if err := r.poker(b); err != nil {
			return err
		}
	}
	if !r.quiet {
		r.ops.WriteString(b.String())
	}
	return r.Table.Commit(ctx, b)
}

// world is a proxier on a namespace of its own.
type world struct {
	ns    *netns.NS
	table *recorder
	store *store.Store
	cfg   resolve.Config
	p     *Proxier
}

func testConfig() resolve.Config {
	return resolve.Config{
		NodeName:          "node-a",
		ClusterCIDRs:      proxiertest.MustPrefixes("10.244.0.0/16", "fd00:10:244::/56"),
		NodePortAddresses: []string{resolve.NodePortPrimary},
		ServiceCIDRs:      proxiertest.MustPrefixes("10.96.0.0/16", "fd00:10:96::/112"),
	}
}

func newWorld() (*world, error) { return newWorldWith(nil) }

// newWorldWith is newWorld with something between the table and the kernel.
func newWorldWith(calls nl.Calls) (*world, error) {
	ns, err := netns.New()
	if err != nil {
		return nil, err
	}
	table, err := kernel.OpenWith(ns, calls)
	if err != nil {
		return nil, errors.Join(err, ns.Close())
	}
	w := &world{ns: ns, table: &recorder{Table: table}, cfg: testConfig()}
	w.store = store.New()
	w.restart()
	return w, nil
}

// newTestWorld is newWorld for the length of a test.
func newTestWorld(t *testing.T) *world {
	t.Helper()
	nstest.Need(t)
	w, err := newWorld()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.close)
	return w
}

// restart is a new agent on the same kernel and the same objects.
func (w *world) restart() {
	w.store = copyOf(w.store)
	w.p = New(w.cfg, w.store, Deps{Table: w.table, Metrics: metrics.NewMetrics(func(...kmetrics.Registerable) {})})
}

// copyOf returns a store with the same objects, of which all are new.
func copyOf(old *store.Store) *store.Store {
	out := store.New()
	var slices []*objects.Slice
	for _, key := range old.Services() {
		slices = append(slices, old.Slices(key)...)
	}
	out.Update(func(tx *store.Tx) {
		for _, key := range old.Services() {
			tx.SetService(old.Service(key))
		}
		for _, s := range slices {
			tx.SetSlice(s)
		}
		for _, n := range old.Nodes() {
			tx.SetNode(n)
		}
		for _, c := range old.ServiceCIDRs() {
			tx.SetServiceCIDR(c)
		}
	})
	return out
}

func (w *world) close() {
	_ = w.table.Close()
	_ = w.ns.Close()
}

// sync makes one pass and returns its operations without the table's name.
func (w *world) sync() (string, error) {
	w.table.ops.Reset()
	quiet := klog.NewContext(context.Background(), klog.Logger{})
	err := w.p.sync(quiet)
	return strings.ReplaceAll(w.table.ops.String(), " inet fairlead", ""), err
}

func (w *world) apply(manifest string) error {
	items, err := source.ParseManifest([]byte(manifest))
	if err != nil {
		return err
	}
	w.store.Update(func(tx *store.Tx) {
		for i := range items {
			tx.Put(&items[i])
		}
	})
	return nil
}

func (w *world) remove(manifest string) error {
	items, err := source.ParseManifest([]byte(manifest))
	if err != nil {
		return err
	}
	w.store.Update(func(tx *store.Tx) {
		for i := range items {
			tx.Drop(items[i].Key)
		}
	})
	return nil
}

// summary is the wanted table without its static parts: elements of Services
// only, one a line.
func (w *world) summary() string {
	var out strings.Builder
	set := ""
	for line := range strings.SplitSeq(w.p.desired.state.Text(), "\n") {
		trimmed := strings.TrimSpace(line)
		if f := strings.Fields(trimmed); len(f) == 3 && (f[0] == "map" || f[0] == "set") {
			set = f[1]
		}
		rest, first := strings.CutPrefix(trimmed, "elements = { ")
		if first {
			trimmed = rest
		}
		if strings.HasPrefix(set, "pods") || strings.HasPrefix(set, "service-cidrs") || strings.HasPrefix(set, "nodeport-addrs") {
			continue
		}
		if first || strings.HasPrefix(line, "\t\t\t     ") {
			fmt.Fprintf(&out, "%s %s\n", set, strings.TrimSuffix(strings.TrimSuffix(trimmed, ","), " }"))
		}
	}
	return out.String()
}

func primaryTestAddrs() []netip.Addr { return []netip.Addr{netip.MustParseAddr("192.0.2.1")} }
