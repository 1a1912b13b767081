// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"fairlead/internal/worker"
	"fairlead/proxier/objects"
	"fairlead/proxier/status"
)

// Store connects the sources of objects to the loop. Sources put slim objects in, and
// the loop takes the keys that became dirty. It is safe for concurrent use and never
// holds its lock over I/O.
type Store struct {
	poked worker.Wake
	book  *status.Book

	turn         sync.Mutex // see lock
	mu           sync.Mutex
	services     map[types.NamespacedName]*objects.Service
	slices       map[types.NamespacedName]*packed
	byService    map[types.NamespacedName][]*packed // sorted
	nodes        map[string]*objects.Node
	serviceCIDRs map[string]*objects.ServiceCIDR
	pods         map[types.NamespacedName]*objects.Pod
	keep         []netip.Prefix      // see Tx.SetNonMasquerade
	tunnelAddrs  []netip.Addr        // see Tx.SetTunnelAddrs
	expected     map[string]struct{} // sources that have not delivered yet
	dirty        dirtyNames
	dirtyNodes   map[string]struct{}
	dirtyCluster bool // see Dirty.Cluster
	dirtyPods    dirtyNames
	triggers     []Trigger // see Dirty.Triggers
	since        time.Time
	changes      Changes          // all
	taken, done  Changes          // those that the loop has taken, and that the kernel has
	heard        map[string]Heard // by source
	inAPI        apiKeys
	inFiles      map[objects.Key]*objects.Object
}

// Dirty lists the objects that changed since the last TakeDirty.
type Dirty struct {
	Services []types.NamespacedName // changed themselves or by a slice, the first change first
	Nodes    []string               // sorted
	// Cluster is set when a ServiceCIDR, or what Tx.SetNonMasquerade or Tx.SetTunnelAddrs
	// says, changed.
	Cluster bool
	Pods    []types.NamespacedName // the first change first
	// Triggers are when slices were changed in the API, for each change that the
	// store has seen since it was made.
	Triggers []Trigger
}

// Trigger is when the endpoints of a Service were changed in the API.
type Trigger struct {
	Service types.NamespacedName
	At      time.Time
}

// MaxTriggers bounds the triggers that wait for the loop.
const MaxTriggers = 1 << 12

// New returns an empty store that expects no source.
func New() *Store {
	return &Store{
		poked:        worker.NewWake(),
		book:         status.NewBook(),
		services:     map[types.NamespacedName]*objects.Service{},
		slices:       map[types.NamespacedName]*packed{},
		byService:    map[types.NamespacedName][]*packed{},
		nodes:        map[string]*objects.Node{},
		serviceCIDRs: map[string]*objects.ServiceCIDR{},
		pods:         map[types.NamespacedName]*objects.Pod{},
		expected:     map[string]struct{}{},
		dirtyNodes:   map[string]struct{}{},
		since:        time.Now(),
		heard:        map[string]Heard{},
		inAPI:        newAPIKeys(),
		inFiles:      map[objects.Key]*objects.Object{},
	}
}

// Poked is ready when something may have become dirty. Any number of changes
// before it is read count as one.
func (s *Store) Poked() <-chan struct{} { return s.poked }

// Expect makes the store wait for the first list of a source. Until all
// expected sources have delivered, the store hands out no changes, because a missing
// object may only be late.
func (s *Store) Expect(source string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expected[source] = struct{}{}
}

// Delivered notes that the first list of a source is complete.
func (s *Store) Delivered(source string) {
	s.mu.Lock()
	delete(s.expected, source)
	s.mu.Unlock()
	s.poked.Set()
}

// Synced reports whether all expected sources have delivered.
func (s *Store) Synced() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.expected) == 0
}

// Update makes several changes at once: the loop sees all of them or none. f
// must not call methods of the store.
func (s *Store) Update(f func(*Tx)) {
	tx := Tx{s: s}
	s.lock()
	f(&tx)
	synced := len(s.expected) == 0
	if tx.changed {
		s.changes.Last = time.Now()
	}
	s.mu.Unlock()
	if tx.changed && synced {
		s.poked.Set()
	}
}

// lock takes mu after all who asked before. A source that makes changes without a pause would
// otherwise take it again and again before others wake up, for up to a millisecond each time
// (sync.Mutex).
func (s *Store) lock() {
	s.turn.Lock()
	s.mu.Lock()
	s.turn.Unlock()
}

// TakeDirty returns the changes since the last call and clears them.
func (s *Store) TakeDirty() Dirty {
	s.lock()
	defer s.mu.Unlock()
	if len(s.expected) > 0 {
		return Dirty{}
	}
	d := Dirty{Cluster: s.dirtyCluster, Triggers: s.triggers, Services: s.dirty.take(), Pods: s.dirtyPods.take()}
	s.triggers = nil
	s.taken = s.changes
	if len(s.dirtyNodes) > 0 {
		d.Nodes = slices.Sorted(maps.Keys(s.dirtyNodes))
	}
	s.dirtyNodes = Emptied(s.dirtyNodes)
	s.dirtyCluster = false
	return d
}

// IsDirty reports whether TakeDirty would return something.
func (s *Store) IsDirty() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.expected) == 0 && s.changes != s.taken
}

// Service returns a Service or nil.
func (s *Store) Service(key types.NamespacedName) *objects.Service {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.services[key]
}

// Services returns the keys of all Services, sorted.
func (s *Store) Services() []types.NamespacedName {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(maps.Keys(s.services), objects.CompareNames)
}

// View is a Service, nil for none, with its slices, as they were at one time.
type View struct {
	Service *objects.Service
	slices  []*packed // whose items never change
}

// Views returns several Services with their slices. It takes the lock once, because a reader
// may have to wait for it while sources make changes without a pause.
func (s *Store) Views(keys []types.NamespacedName) []View {
	out := make([]View, len(keys))
	s.lock()
	defer s.mu.Unlock()
	for i, key := range keys {
		out[i] = View{s.services[key], slices.Clone(s.byService[key])}
	}
	return out
}

// Slices returns the slices, sorted by name. They are copies that cost what the Service has
// endpoints; CountEndpoints costs less. It calls pause after each slice with the number of its
// endpoints.
func (v *View) Slices(pause func(endpoints int)) []*objects.Slice {
	return new(Unpacked).Slices(v, pause)
}

// CountEndpoints returns how many endpoints the slices have.
func (v *View) CountEndpoints() (n int) {
	for _, p := range v.slices {
		n += len(p.places)
	}
	return n
}

// Slices returns the slices of a Service, sorted by name; see View.Slices.
func (s *Store) Slices(service types.NamespacedName) []*objects.Slice {
	s.mu.Lock()
	v := View{slices: slices.Clone(s.byService[service])}
	s.mu.Unlock()
	return v.Slices(func(int) {})
}

// CountEndpoints returns how many endpoints the slices of a Service have.
func (s *Store) CountEndpoints(service types.NamespacedName) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return (&View{slices: s.byService[service]}).CountEndpoints()
}

// Node returns a Node or nil.
func (s *Store) Node(name string) *objects.Node {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.nodes[name]
}

// Nodes returns all Nodes, sorted by name.
func (s *Store) Nodes() []*objects.Node {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(maps.Values(s.nodes), func(a, b *objects.Node) int { return strings.Compare(a.Name, b.Name) })
}

// ServiceCIDRs returns all ServiceCIDRs, sorted by name.
func (s *Store) ServiceCIDRs() []*objects.ServiceCIDR {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(maps.Values(s.serviceCIDRs), func(a, b *objects.ServiceCIDR) int { return strings.Compare(a.Name, b.Name) })
}

// Pod returns a Pod that has ports of its node, or nil.
func (s *Store) Pod(key types.NamespacedName) *objects.Pod {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pods[key]
}

// Counts are numbers of objects.
type Counts struct {
	Services, Nodes int
	Endpoints       int // of all slices
}

// Counts returns the present numbers.
func (s *Store) Counts() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := Counts{Services: len(s.services), Nodes: len(s.nodes)}
	for _, slice := range s.slices {
		c.Endpoints += len(slice.places)
	}
	return c
}

// Book is where the problems of objects are kept.
func (s *Store) Book() *status.Book { return s.book }

// NonMasquerade returns the destinations of Tx.SetNonMasquerade.
func (s *Store) NonMasquerade() []netip.Prefix {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keep
}

// OwnTunnelAddrs returns the addresses of Tx.SetTunnelAddrs.
func (s *Store) OwnTunnelAddrs() []netip.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tunnelAddrs
}

func compareSlice(p *packed, key types.NamespacedName) int {
	return objects.CompareNames(p.head.Key, key)
}
