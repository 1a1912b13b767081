// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"net/netip"
	"reflect"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"fairlead/proxier/objects"
	"fairlead/proxier/status"
)

// Tx is one atomic update of a Store. Putting an object that equals the stored one
// changes nothing. Objects that were put in belong to the store.
type Tx struct {
	s       *Store
	changed bool
}

// Put stores the object and the problems of the item. An item without object takes
// the object out.
func (tx *Tx) Put(it *objects.Object) {
	tx.SetProblems(it.Key.Kind, it.Key.Name, it.Problems)
	switch {
	case it.Service != nil:
		tx.SetService(it.Service)
	case it.Slice != nil:
		tx.SetSlice(it.Slice)
	case it.Node != nil:
		tx.SetNode(it.Node)
	case it.CIDR != nil:
		tx.SetServiceCIDR(it.CIDR)
	case it.Pod != nil:
		tx.SetPod(it.Pod)
	default:
		tx.delete(it.Key)
	}
}

// delete takes the object out of the store.
func (tx *Tx) delete(k objects.Key) {
	namespace, name := k.Split()
	key := types.NamespacedName{Namespace: namespace, Name: name}
	switch k.Kind {
	case objects.KindService:
		tx.DeleteService(key)
	case objects.KindSlice:
		tx.DeleteSlice(key)
	case objects.KindNode:
		tx.DeleteNode(k.Name)
	case objects.KindServiceCIDR:
		tx.DeleteServiceCIDR(k.Name)
	case objects.KindPod:
		tx.DeletePod(key)
	}
}

// Drop takes the object and its problems out of the store.
func (tx *Tx) Drop(k objects.Key) {
	tx.SetProblems(k.Kind, k.Name, nil)
	tx.delete(k)
}

// SetService puts a Service in.
func (tx *Tx) SetService(svc *objects.Service) {
	if old := tx.s.services[svc.Key]; !same(old, svc) {
		tx.s.services[svc.Key] = svc
		tx.s.changes.Services++
		tx.markService(svc.Key)
	}
}

// DeleteService takes a Service out, if it is there.
func (tx *Tx) DeleteService(key types.NamespacedName) {
	if _, ok := tx.s.services[key]; ok {
		delete(tx.s.services, key)
		tx.s.changes.Services++
		tx.markService(key)
	}
}

// SetSlice puts a slice in. One that moves to another Service concerns both.
func (tx *Tx) SetSlice(slice *objects.Slice) {
	old := tx.s.slices[slice.Key]
	now := pack(slice, old)
	if old != nil {
		if old.same(now) {
			return
		}
		tx.deleteSlice(old)
	}
	tx.s.changes.Slices++
	tx.trigger(old, slice)
	tx.s.slices[slice.Key] = now
	of := tx.s.byService[slice.Service]
	i, _ := slices.BinarySearchFunc(of, slice.Key, compareSlice)
	tx.s.byService[slice.Service] = slices.Insert(of, i, now)
	tx.markService(slice.Service)
}

// trigger notes when a slice was changed, if the annotation speaks of this change
// and not of an earlier one.
func (tx *Tx) trigger(old *packed, now *objects.Slice) {
	s := tx.s
	if now.Changed.After(s.since) && (old == nil || now.Changed.After(old.head.Changed)) && len(s.triggers) < MaxTriggers {
		s.triggers = append(s.triggers, Trigger{now.Service, now.Changed})
	}
}

// DeleteSlice takes a slice out, if it is there.
func (tx *Tx) DeleteSlice(key types.NamespacedName) {
	if old, ok := tx.s.slices[key]; ok {
		tx.deleteSlice(old)
		tx.s.changes.Slices++
	}
}

func (tx *Tx) deleteSlice(old *packed) {
	delete(tx.s.slices, old.head.Key)
	service := old.head.Service
	of := tx.s.byService[service]
	if i, ok := slices.BinarySearchFunc(of, old.head.Key, compareSlice); ok {
		of = slices.Delete(of, i, i+1)
	}
	if len(of) > 0 {
		tx.s.byService[service] = of
	} else {
		delete(tx.s.byService, service)
	}
	tx.markService(service)
}

// SetNode puts a Node in.
func (tx *Tx) SetNode(n *objects.Node) {
	if old := tx.s.nodes[n.Name]; !same(old, n) {
		tx.s.nodes[n.Name] = n
		tx.s.dirtyNodes[n.Name] = struct{}{}
		tx.other()
	}
}

// DeleteNode takes a Node out, if it is there.
func (tx *Tx) DeleteNode(name string) {
	if _, ok := tx.s.nodes[name]; ok {
		delete(tx.s.nodes, name)
		tx.s.dirtyNodes[name] = struct{}{}
		tx.other()
	}
}

// SetServiceCIDR puts a ServiceCIDR in.
func (tx *Tx) SetServiceCIDR(c *objects.ServiceCIDR) {
	if old := tx.s.serviceCIDRs[c.Name]; !same(old, c) {
		tx.s.serviceCIDRs[c.Name] = c
		tx.s.dirtyCluster = true
		tx.other()
	}
}

// DeleteServiceCIDR takes a ServiceCIDR out, if it is there.
func (tx *Tx) DeleteServiceCIDR(name string) {
	if _, ok := tx.s.serviceCIDRs[name]; ok {
		delete(tx.s.serviceCIDRs, name)
		tx.s.dirtyCluster = true
		tx.other()
	}
}

// SetPod puts a Pod in.
func (tx *Tx) SetPod(p *objects.Pod) {
	if old := tx.s.pods[p.Key]; !same(old, p) {
		tx.s.pods[p.Key] = p
		tx.s.dirtyPods.add(p.Key)
		tx.other()
	}
}

// DeletePod takes a Pod out, if it is there.
func (tx *Tx) DeletePod(key types.NamespacedName) {
	if _, ok := tx.s.pods[key]; ok {
		delete(tx.s.pods, key)
		tx.s.dirtyPods.add(key)
		tx.other()
	}
}

// SetNonMasquerade says which destinations pods reach with their own address,
// besides the pods of the cluster: the file of ip-masq-agent.
func (tx *Tx) SetNonMasquerade(ps []netip.Prefix) {
	if !slices.Equal(tx.s.keep, ps) {
		tx.s.keep = ps
		tx.s.dirtyCluster = true
		tx.other()
	}
}

// SetTunnelAddrs says by which addresses of its own the node sends tunnel packets.
// They differ from those of its Node behind a NAT and where an interface was
// selected.
func (tx *Tx) SetTunnelAddrs(addrs []netip.Addr) {
	if !slices.Equal(tx.s.tunnelAddrs, addrs) {
		tx.s.tunnelAddrs = addrs
		tx.s.dirtyCluster = true
		tx.other()
	}
}

// SetProblems replaces the problems that the source of an object found. An empty list
// clears them.
func (tx *Tx) SetProblems(kind, name string, ps []objects.Problem) {
	tx.s.book.Set(status.BySource, objects.Key{Kind: kind, Name: name}, ps)
}

// same compares the stored object, or nil, with its replacement.
func same[T any](old, now *T) bool {
	return old == now || old != nil && reflect.DeepEqual(old, now)
}

func (tx *Tx) markService(key types.NamespacedName) {
	tx.s.dirty.add(key)
	tx.changed = true
}

// other counts a change of an object that is neither a Service nor a slice.
func (tx *Tx) other() {
	tx.s.changes.others++
	tx.changed = true
}
