// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"math"
	"reflect"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"fairlead/internal/inet"
	"fairlead/nat"
	"fairlead/nat/plan"
	"fairlead/nat/ruleset"
	"fairlead/proxier/objects"
	"fairlead/proxier/resolve"
	"fairlead/proxier/status"
	"fairlead/proxier/store"
)

// desired keeps what is wanted up to date with the store: it takes what became
// dirty, resolves it and passes it to the state. It costs what changed.
type desired struct {
	cfg       *resolve.Config
	store     *store.Store
	book      *status.Book
	state     *plan.State
	claims    resolve.Claims
	notes     *resolve.Notes
	health    *healthPorts
	hostPorts *resolve.Contest[inet.Addr, resolve.PodPort] // of this node's Pods
	facts     resolve.ClusterFacts
	started   bool
	pass      uint64                      // number of updates: the age of claims
	inKernel  func(inet.Addr) string      // who has an address in the kernel
	podsThere func() map[inet.Addr]string // which Pods have host ports there
	table     *resolve.NodeTable
	news      nodeNews
	triggers  []store.Trigger // of changes that the kernel does not have yet
	flows     staleFlows

	waiting turns // Services to resolve
	large   largeServices
	// views are what the next ones to resolve are in the store; see viewOf.
	views map[types.NamespacedName]store.View
	all   bool // see drain
	fed   int  // see mostFed
	// progress follows what waits, and what the state has for the kernel.
	progress progress
	// settled are frontends with flows that the last update did not have to change.
	settled []inet.Addr
	checked map[types.NamespacedName]int // see complete
	work    work
}

// Bounds of what an update gives to the state, in elements: about a batch. Of one frontend
// only so many count, because a larger change waits apart from the small ones.
const (
	mostFed     = 2 * ruleset.DefaultLimit
	mostFedEach = 64
	// costOfClaim is what a change of a frontend costs, whatever its size.
	costOfClaim = 1 << 4
	// mostStale is of how many Services an update says who lost an address.
	mostStale = 1 << 8
)

func newDesired(cfg *resolve.Config, st *store.Store) *desired {
	state := plan.NewState()
	d := &desired{
		cfg: cfg, store: st, book: st.Book(), state: state, inKernel: state.Owner, podsThere: state.HostPortOwners, claims: resolve.NewClaims(), notes: resolve.NewNotes(),
		health: newHealthPorts(), hostPorts: resolve.NewContest[inet.Addr, resolve.PodPort](nil), flows: newStaleFlows(), table: resolve.NewNodeTable(cfg), progress: newProgress(), checked: map[types.NamespacedName]int{}, large: largeServices{kept: map[types.NamespacedName]keptService{}}, views: map[types.NamespacedName]store.View{},
	}
	d.waiting = newTurns(func(key types.NamespacedName) bool {
		v := d.viewOf(key)
		return isSmall(&v, len(d.claims.Of(key)))
	})
	return d
}

// mostViews is how many Services are read from the store at once: about what an update
// resolves.
const mostViews = 1 << 8

// viewOf returns a Service as it is in the store, or was when a Service before it was
// resolved in the same update. With it it reads the next ones that wait.
func (d *desired) viewOf(key types.NamespacedName) store.View {
	if v, ok := d.views[key]; ok {
		return v
	}
	n := mostViews
	if d.takesAll() {
		n = 1 // nobody waits
	}
	keys := d.waiting.peek(key, n)
	clear(d.views)
	for i, v := range d.store.Views(keys) {
		d.views[keys[i]] = v
	}
	return d.views[key]
}

// start reads the settings and nodes, which need not wait for the kernel.
func (d *desired) start() {
	if !d.started {
		d.started, d.news.all = true, true
		for _, n := range d.store.Nodes() {
			d.table.Set(n.Name, n)
		}
		d.updateCluster(true)
	}
}

// holder returns who has an address in the kernel, in the first pass: later the
// contest knows.
func (d *desired) holder() func(inet.Addr) string {
	if d.pass > 1 {
		return nil
	}
	return d.inKernel
}

// update brings the state up to date.
func (d *desired) update() {
	dirty := d.store.TakeDirty()
	clear(d.views)
	d.pass++
	d.triggers = append(d.triggers, dirty.Triggers...)
	d.triggers = d.triggers[:min(len(d.triggers), store.MaxTriggers)]
	keys := dirty.Services
	if d.pass == 1 { // about one for each Service
		d.claims.Expect(len(keys))
		d.state.Expect(len(keys))
	}
	if d.takesAll() { // so that the same objects lead to the same table
		slices.SortFunc(keys, objects.CompareNames)
	}
	var pods []types.NamespacedName
	d.start()
	if len(dirty.Nodes) > 0 || dirty.Cluster {
		for _, name := range dirty.Nodes {
			if d.table.Set(name, d.store.Node(name)) {
				d.news.add(name)
			}
		}
		concerned, self := d.updateCluster(dirty.Cluster)
		keys = append(keys, concerned...)
		slices.SortFunc(keys, objects.CompareNames)
		keys = slices.Compact(keys)
		if self {
			pods = d.hostPorts.Subjects()
		}
	}
	d.waiting.expect(len(keys))
	for _, key := range keys {
		d.waiting.push(key)
		d.progress.services.add(key)
	}
	d.takeTurns()
	d.updateHostPorts(append(dirty.Pods, pods...))
	for _, key := range d.claims.TakeSomeStale(d.staleAtOnce()) {
		if d.waiting.running(key) {
			continue // resolve marks it again
		}
		d.book.Set(status.ByClaims, objects.Key{Kind: objects.KindService, Name: key.String()}, d.claims.Problems(key))
	}
	d.health.settle(d.book)
	for _, key := range d.hostPorts.TakeStale() {
		d.book.Set(status.ByHostPort, objects.Key{Kind: objects.KindPod, Name: key.String()}, resolve.LostHostPorts(key, d.hostPorts, d.claims))
	}
}

// takesAll reports whether this update leaves nothing over. The first one does not, because
// claims that are there at the start are compared with each other.
func (d *desired) takesAll() bool { return d.all || d.pass == 1 }

// staleAtOnce returns of how many Services this update says who lost an address.
func (d *desired) staleAtOnce() int {
	if d.takesAll() {
		return d.claims.Stale()
	}
	return mostStale
}

// takeTurns resolves Services that wait, as far as an update may cost, and until what changed
// fills a batch.
func (d *desired) takeTurns() {
	d.fed = 0
	if d.takesAll() {
		d.waiting.takeAll(d.resolve)
		d.state.Leave(math.MaxInt)
		return
	}
	d.state.Leave(costOfTurn)
	for cost := 0; len(d.waiting.order) > 0 && cost < costOfUpdate && !d.isFed(); {
		cost += d.waiting.take(d.resolve, d.isFed)
	}
}

// isFed reports whether the update has given the state enough to write.
func (d *desired) isFed() bool { return d.fed >= mostFed }

// drain takes everything that waits. It serves after a failed commit: retries are rare.
func (d *desired) drain() {
	d.all = true
	d.update()
	d.all = false
}

// more reports whether an update has something left to do.
func (d *desired) more() bool {
	return d.waiting.len() > 0 || d.claims.Stale() > 0 || d.state.Leaving()
}

// settle tells the state what the owner of an address wants now. It returns what that cost
// after the last pause.
func (d *desired) settle(addr inet.Addr, pause resolve.Pause) int {
	d.flows.add(addr)
	if c := d.claims.Owner(addr); c != nil {
		d.state.Prepare(addr, c.Value.Frontend, pause)
	}
	if c := d.claims.Owner(addr); c != nil {
		d.state.Set(addr, c.Value.Frontend)
	} else {
		d.state.Delete(addr)
	}
	if pod := d.hostPorts.Owner(addr); pod != nil {
		d.hostPorts.MarkStale(pod.Subject.NamespacedName)
	}
	size := d.state.SizeOf(addr)
	if d.state.Waits(addr) {
		d.fed += min(size, mostFedEach)
		d.progress.frontends.add(addr)
	} else {
		d.progress.frontends.done(addr)
		d.settled = append(d.settled, addr)
	}
	return costOfClaim + size
}

// complete reports whether the kernel has all frontends of a Service as they are wanted,
// apart from those that it refused.
func (d *desired) complete(svc types.NamespacedName) bool {
	if d.waiting.has(svc) {
		return false
	}
	claims := d.claims.Of(svc)
	from := d.checked[svc]
	for i := min(from, len(claims)); i < len(claims); i++ {
		if d.state.Waits(claims[i].Key) {
			d.checked[svc] = i // and goes on here
			return false
		}
	}
	delete(d.checked, svc)
	return true
}

// updateCluster follows what does not belong to one Service, after nodes changed in the
// table. Of changed nodes only their own addresses cost anything, so a cluster may grow by
// thousands of nodes. Settings are read again when anything that they depend on changed, or
// if settings is set. It returns the Services that this concerns, and whether what is true
// of this node changed.
func (d *desired) updateCluster(settings bool) (keys []types.NamespacedName, self bool) {
	if settings {
		d.table.SetOwn(d.store.OwnTunnelAddrs())
	}
	change := d.table.Take()
	if settings || change.Self || change.Pods && d.cfg.ClusterOfNodes() {
		d.configure()
	}
	d.state.ChangeNodes(change.Gone, change.Came)
	d.state.ChangeGateways(change.Gateways)
	before := d.facts.Self
	d.facts = d.table.Facts()
	if self = !reflect.DeepEqual(before, d.facts.Self); self {
		d.large.forget()
		keys = d.store.Services()
	} else {
		keys = d.notes.Concerned(&change)
	}
	if self || !change.IsEmpty() {
		for _, j := range d.waiting.jobs { // they began with the facts before
			keys = append(keys, j.key)
		}
	}
	return keys, self
}

// configure passes the settings on, and says what is wrong with them.
func (d *desired) configure() {
	in := resolve.Cluster{Node: d.table.Self(), ServiceCIDRs: d.store.ServiceCIDRs(), Keep: d.store.NonMasquerade(), Own: d.store.OwnTunnelAddrs()}
	if d.cfg.ClusterOfNodes() {
		in.PodCIDRs = d.table.PodCIDRs()
	}
	set, problems := resolve.SettingsOf(d.cfg, &in)
	d.state.Configure(set)
	d.health.on = resolve.HealthAddrs(d.cfg, set.NodePortAddrs)
	d.book.Set(status.BySettings, objects.Key{Kind: objects.KindNode, Name: d.cfg.NodeName}, problems)
}

// resolve makes the claims of a Service those of its object, and tells the state. It may
// pause between any two frontends; a ClusterIP becomes exclusive after the last one.
func (d *desired) resolve(key types.NamespacedName, pause resolve.Pause) {
	if pause == nil {
		pause = func(int) {}
	}
	view, facts, pass := d.viewOf(key), d.facts, d.pass
	delete(d.views, key)
	svc := view.Service
	var r resolved
	who := resolve.Subject{NamespacedName: key}
	if svc != nil {
		r = d.large.resolve(key, &view, &facts, d.waiting.running(key), pause)
		who.UID = svc.UID
		for _, ip := range svc.ClusterIPs {
			d.state.Hold(ip)
			defer d.state.Release(ip)
		}
	} else {
		delete(d.large.kept, key)
	}
	d.book.Set(status.ByNotes, objects.Key{Kind: objects.KindService, Name: key.String()}, append(r.problems, d.notes.Set(key, svc, r.list, r.from, &facts)...))
	d.health.Set(who, resolve.HealthWish(svc, r.from, &facts.Self, pass))
	for _, addr := range d.claims.Set(key, svc, r.list, pass, d.holder(), pause) {
		pause(d.settle(addr, pause))
	}
	d.claims.MarkStale(key) // what it lost was not reported in the pauses
	delete(d.checked, key)
	d.work.resolved(r.from)
	if _, again := d.waiting.waits[key]; !again {
		d.progress.services.done(key)
	}
}

// updateHostPorts brings the state up to date with the node's Pods.
func (d *desired) updateHostPorts(keys []types.NamespacedName) {
	changed := false
	var had map[inet.Addr]string
	if d.pass == 1 && len(keys) > 0 { // later the contest knows
		had = d.podsThere()
	}
	for _, key := range keys {
		who := resolve.Subject{NamespacedName: key}
		var wishes []resolve.Wish[inet.Addr, resolve.PodPort]
		var problems []objects.Problem
		if pod := d.store.Pod(key); pod != nil && pod.Node == d.cfg.NodeName {
			who.UID = pod.UID
			wishes, problems = resolve.HostPortWishes(pod, &d.facts.Self, d.cfg.Loopback, d.pass, had)
		}
		d.book.Set(status.ByPod, objects.Key{Kind: objects.KindPod, Name: key.String()}, problems)
		for _, addr := range d.hostPorts.Set(who, wishes) {
			d.flows.add(addr)
			changed = true
		}
	}
	if !changed {
		return
	}
	ports := make([]nat.HostPort, 0, d.hostPorts.Size())
	for _, addr := range slices.SortedFunc(d.hostPorts.Keys(), inet.Addr.Compare) {
		ports = append(ports, d.hostPorts.Owner(addr).Value.HostPort)
	}
	d.state.SetHostPorts(ports)
}

// resettle notes each settled frontend once, after a failed commit: more updates follow before
// anybody takes the list.
func (d *desired) resettle() {
	d.settled = d.settled[:0]
	for a := range d.flows.of {
		if !d.state.Waits(a) {
			d.settled = append(d.settled, a)
		}
	}
}

// backends returns the backends at a that may answer flows and those that exist,
// false if nothing is served there. A Service precedes a Pod, as in the table.
func (d *desired) backends(a inet.Addr) (serving, existing inet.AddrPorts, ok bool) {
	if c := d.claims.Owner(a); c != nil {
		return c.Value.Serving, c.Value.Existing, true
	}
	if hp := d.hostPorts.Owner(a); hp != nil {
		pod := inet.AddrPortsOf(hp.Value.Pod)
		return pod, pod, true
	}
	return inet.AddrPorts{}, inet.AddrPorts{}, false
}
