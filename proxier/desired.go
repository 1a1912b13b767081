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
	"fairlead/proxier/objects"
	"fairlead/proxier/status"
	"fairlead/proxier/store"
)

// desired keeps what is wanted up to date with the store: it takes what became
// dirty, resolves it and passes it to the state. It costs what changed.
type desired struct {
	cfg       *Config
	store     *store.Store
	book      *status.Book
	state     *plan.State
	claims    claims
	notes     *notes
	health    *healthPorts
	hostPorts *contest[inet.Addr, podPort] // of this node's Pods
	facts     clusterFacts
	started   bool
	nodes     bool        // nodes may have changed
	triggers  []time.Time // of changes that the kernel does not have yet
	// flows holds frontends whose flows may be stale after the commit.
	flows map[inet.Addr]struct{}
}

func newDesired(cfg *Config, store *store.Store) *desired {
	return &desired{
		cfg: cfg, store: store, book: store.Book(), state: plan.NewState(), claims: newClaims(), notes: newNotes(),
		health: newHealthPorts(), hostPorts: newContest[inet.Addr, podPort](nil), flows: map[inet.Addr]struct{}{},
	}
}

// update brings the state up to date.
func (d *desired) update() {
	dirty := d.store.TakeDirty()
	d.triggers = append(d.triggers, dirty.Triggers...)
	d.triggers = d.triggers[:min(len(d.triggers), store.MaxTriggers)]
	keys := dirty.Services
	if !d.started || dirty.Nodes || dirty.ServiceCIDRs {
		d.nodes = d.nodes || !d.started || dirty.Nodes
		keys = d.updateCluster(keys)
		d.started = true
	}
	for _, key := range keys {
		d.resolve(key)
	}
	d.updateHostPorts(dirty.Pods)
	for _, key := range d.claims.takeStale() {
		d.book.Set(status.ByClaims, objects.Key{Kind: objects.KindService, Name: key.String()}, d.claims.problems(key))
	}
	d.health.settle(d.book)
	for _, key := range d.hostPorts.takeStale() {
		d.book.Set(status.ByHostPort, objects.Key{Kind: objects.KindPod, Name: key.String()}, lostHostPorts(key, d.hostPorts, d.claims))
	}
}

// updateCluster reads what does not belong to one Service. It adds the Services
// that this concerns to the dirty ones.
func (d *desired) updateCluster(keys []types.NamespacedName) []types.NamespacedName {
	in := readCluster(d.store, d.cfg.NodeName)
	set, problems := settingsOf(d.cfg, &in)
	d.state.Configure(set)
	d.state.SetNodes(nodeAddrs(d.cfg, in.nodes, in.own))
	d.health.on = healthAddrs(d.cfg, set.NodePortAddrs)
	d.book.Set(status.BySettings, objects.Key{Kind: objects.KindNode, Name: d.cfg.NodeName}, problems)
	before := d.facts
	d.facts = clusterFacts{self: selfOf(d.cfg, in.node), zones: zonesOf(in.nodes), others: otherNodeAddrs(in.nodes, d.cfg.NodeName)}
	switch {
	case !reflect.DeepEqual(before.self, d.facts.self) || !maps.Equal(before.zones, d.facts.zones):
		keys = append(keys, d.store.Services()...)
	case !maps.Equal(before.others, d.facts.others):
		keys = append(keys, d.notes.usersOf(before.others, d.facts.others)...)
	default:
		return keys
	}
	slices.SortFunc(keys, objects.CompareNames)
	return slices.Compact(keys)
}

// readCluster takes from the store what does not belong to one Service.
func readCluster(s *store.Store, name string) cluster {
	return cluster{node: s.Node(name), nodes: s.Nodes(), cidrs: s.ServiceCIDRs(), keep: s.NonMasquerade(), own: s.OwnTunnelAddrs()}
}

func (d *desired) resolve(key types.NamespacedName) {
	svc := d.store.Service(key)
	var list []claim
	var from []*objects.Slice
	who := subject{NamespacedName: key}
	if svc != nil {
		from = d.store.Slices(key)
		list = resolve(svc, from, &d.facts.self)
		who.UID = svc.UID
	}
	d.book.Set(status.ByNotes, objects.Key{Kind: objects.KindService, Name: key.String()}, d.notes.set(key, svc, list, from, &d.facts))
	d.health.set(who, healthWish(svc, from, &d.facts.self))
	for _, addr := range d.claims.set(key, svc, list) {
		d.flowsOf(addr)
		if c := d.claims.owner(addr); c != nil {
			d.state.Set(addr, c.value.frontend)
		} else {
			d.state.Delete(addr)
		}
		if pod := d.hostPorts.owner(addr); pod != nil {
			d.hostPorts.markStale(pod.subject.NamespacedName)
		}
	}
}

// updateHostPorts brings the state up to date with the node's Pods.
func (d *desired) updateHostPorts(keys []types.NamespacedName) {
	changed := false
	for _, key := range keys {
		who := subject{NamespacedName: key}
		var wishes []wish[inet.Addr, podPort]
		var problems []objects.Problem
		if pod := d.store.Pod(key); pod != nil && pod.Node == d.cfg.NodeName {
			who.UID = pod.UID
			wishes, problems = hostPortWishes(pod, d.cfg.Loopback)
		}
		d.book.Set(status.ByPod, objects.Key{Kind: objects.KindPod, Name: key.String()}, problems)
		for _, addr := range d.hostPorts.set(who, wishes) {
			d.flowsOf(addr)
			changed = true
		}
	}
	if !changed {
		return
	}
	ports := make([]nat.HostPort, 0, d.hostPorts.size())
	for _, addr := range slices.SortedFunc(d.hostPorts.keys(), inet.Addr.Compare) {
		ports = append(ports, d.hostPorts.owner(addr).value.HostPort)
	}
	d.state.SetHostPorts(ports)
}

// flowsOf notes that flows to an address may be stale after the commit.
func (d *desired) flowsOf(a inet.Addr) { d.flows[a] = struct{}{} }

// backends returns the backends at a that may answer flows and those that exist,
// false if nothing is served there. A Service precedes a Pod, as in the table.
func (d *desired) backends(a inet.Addr) (serving, existing []netip.AddrPort, ok bool) {
	if c := d.claims.owner(a); c != nil {
		return c.value.serving, c.value.existing, true
	}
	if hp := d.hostPorts.owner(a); hp != nil {
		pod := []netip.AddrPort{hp.value.Pod}
		return pod, pod, true
	}
	return nil, nil, false
}

// wanted returns what Services ask for, in numbers.
func (d *desired) wanted() *wanted {
	return &wanted{
		frontends: d.claims.size(), backends: d.claims.total,
		internal: d.notes.internal, external: d.notes.external, fallbacks: d.notes.fallbacks,
	}
}
