// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"fairlead/internal/inet"
	"fairlead/nat"
	"fairlead/nat/plan"
)

// desired keeps what is wanted up to date with the store: it takes what became
// dirty, resolves it and tells the state. It costs what changed.
type desired struct {
	cfg      *Config
	store    *Store
	state    *plan.State
	claims   *claims
	remarks  *remarks
	health   *healthPorts
	self     Self
	zones    map[string]struct{}   // that nodes are in
	others   map[netip.Addr]string // addresses of other nodes
	settings []Problem
	// hostPorts are those of this node's Pods.
	hostPorts   map[inet.Addr]nat.HostPort
	podProblems []Problem
	started     bool
	nodes       bool        // nodes may have changed
	news        bool        // problems may have changed
	triggers    []time.Time // of changes that the kernel does not have yet
	// flows holds frontends whose flows may be stale after the commit.
	flows map[inet.Addr]struct{}
}

func newDesired(cfg *Config, store *Store) *desired {
	return &desired{
		cfg: cfg, store: store, state: plan.NewState(), claims: newClaims(), remarks: newRemarks(),
		health: newHealthPorts(), flows: map[inet.Addr]struct{}{},
		hostPorts: map[inet.Addr]nat.HostPort{},
	}
}

// update brings the state up to date.
func (d *desired) update() {
	dirty := d.store.TakeDirty()
	d.news = d.news || dirty.Problems
	d.triggers = append(d.triggers, dirty.Triggers...)
	d.triggers = d.triggers[:min(len(d.triggers), maxTriggers)]
	keys := dirty.Services
	if !d.started || dirty.Nodes || dirty.ServiceCIDRs {
		d.nodes = d.nodes || !d.started || dirty.Nodes
		in := d.store.around(d.cfg.NodeName)
		set, problems := settingsOf(d.cfg, &in)
		d.state.Configure(set)
		d.state.SetNodes(nodeAddrs(d.cfg, in.nodes, in.own))
		d.health.on = healthAddrs(d.cfg, set.NodePortAddrs)
		d.news = d.news || !slices.Equal(problems, d.settings)
		d.settings = problems
		others := addrsOf(d.store.Nodes(), d.cfg.NodeName)
		d.news = d.news || !maps.Equal(others, d.others)
		d.others = others
		self, zones := selfOf(d.cfg, in.node), zonesOf(d.store.Nodes())
		if !reflect.DeepEqual(self, d.self) || !maps.Equal(zones, d.zones) {
			d.self, d.zones = self, zones
			keys = d.everything(keys)
		}
		d.started = true
	}
	for _, key := range keys {
		d.resolve(key)
	}
	if dirty.Pods {
		d.updateHostPorts()
	}
}

// everything adds all Services to the dirty ones: the node itself has changed,
// or which zones there are.
func (d *desired) everything(keys []types.NamespacedName) []types.NamespacedName {
	keys = append(keys, d.store.Services()...)
	slices.SortFunc(keys, compareNames)
	return slices.Compact(keys)
}

func (d *desired) resolve(key types.NamespacedName) {
	svc := d.store.Service(key)
	var list []claim
	var created time.Time
	var from []*Slice
	if svc != nil {
		created = svc.Created
		from = d.store.Slices(key)
		list = resolve(svc, from, &d.self)
	}
	d.remarks.set(key, list, from, &d.self, d.zones)
	d.health.set(key, svc, from, &d.self)
	for _, addr := range d.claims.set(key, created, list) {
		d.flowsOf(addr)
		if c, ok := d.claims.owner(addr); ok {
			d.state.Set(addr, c.frontend)
		} else {
			d.state.Delete(addr)
		}
	}
}

// problems returns everything that is wrong with objects, sorted.
func (d *desired) problems() []Problem {
	out := append(d.store.Problems(), d.claims.problems()...)
	out = append(out, d.remarks.problems()...)
	out = append(out, d.remarks.onNodes(d.others)...)
	out = append(out, d.health.problems()...)
	out = append(out, d.settings...)
	out = append(out, d.podProblems...)
	out = append(out, d.hiddenHostPorts()...)
	slices.SortFunc(out, compareProblems)
	return slices.Compact(out)
}

// takeNews reports whether problems may have changed since it was last asked.
func (d *desired) takeNews() bool {
	news := d.news || d.claims.news || d.remarks.news || d.health.news
	d.news, d.claims.news, d.remarks.news, d.health.news = false, false, false, false
	return news
}
