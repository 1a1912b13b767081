// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"
)

// Tx is one atomic update of a Store. An object that is equal to the one that
// is there changes nothing. Objects that were put in belong to the store.
type Tx struct {
	s       *Store
	changed bool
}

// SetService puts a Service in.
func (tx *Tx) SetService(svc *Service) {
	if old := tx.s.services[svc.Key]; !same(old, svc) {
		tx.s.services[svc.Key] = svc
		tx.s.changes.services++
		tx.markService(svc.Key)
	}
}

// DeleteService takes a Service out, if it is there.
func (tx *Tx) DeleteService(key types.NamespacedName) {
	if _, ok := tx.s.services[key]; ok {
		delete(tx.s.services, key)
		tx.s.changes.services++
		tx.markService(key)
	}
}

// SetSlice puts a slice in. One that moves to another Service concerns both.
func (tx *Tx) SetSlice(slice *Slice) {
	old := tx.s.slices[slice.Key]
	if old == slice {
		return
	}
	if old != nil {
		was := *old
		was.Changed = slice.Changed // says when, not what
		if same(&was, slice) {
			return
		}
		tx.deleteSlice(old)
	}
	tx.s.changes.slices++
	tx.trigger(old, slice)
	tx.intern(slice)
	tx.s.slices[slice.Key] = slice
	of := tx.s.byService[slice.Service]
	i, _ := slices.BinarySearchFunc(of, slice.Key, compareSlice)
	tx.s.byService[slice.Service] = slices.Insert(of, i, slice)
	tx.markService(slice.Service)
}

// trigger notes when a slice was changed, if the annotation speaks of this change
// and not of an earlier one.
func (tx *Tx) trigger(old, now *Slice) {
	s := tx.s
	if now.Changed.After(s.since) && (old == nil || now.Changed.After(old.Changed)) && len(s.triggers) < maxTriggers {
		s.triggers = append(s.triggers, now.Changed)
	}
}

// DeleteSlice takes a slice out, if it is there.
func (tx *Tx) DeleteSlice(key types.NamespacedName) {
	if old, ok := tx.s.slices[key]; ok {
		tx.deleteSlice(old)
		tx.s.changes.slices++
	}
}

func (tx *Tx) deleteSlice(old *Slice) {
	delete(tx.s.slices, old.Key)
	of := tx.s.byService[old.Service]
	if i, ok := slices.BinarySearchFunc(of, old.Key, compareSlice); ok {
		of = slices.Delete(of, i, i+1)
	}
	if len(of) > 0 {
		tx.s.byService[old.Service] = of
	} else {
		delete(tx.s.byService, old.Service)
	}
	tx.markService(old.Service)
}

// SetNode puts a Node in.
func (tx *Tx) SetNode(n *Node) {
	if old := tx.s.nodes[n.Name]; !same(old, n) {
		tx.s.nodes[n.Name] = n
		tx.s.dirtyNodes, tx.changed = true, true
	}
}

// DeleteNode takes a Node out, if it is there.
func (tx *Tx) DeleteNode(name string) {
	if _, ok := tx.s.nodes[name]; ok {
		delete(tx.s.nodes, name)
		tx.s.dirtyNodes, tx.changed = true, true
	}
}

// SetServiceCIDR puts a ServiceCIDR in.
func (tx *Tx) SetServiceCIDR(c *ServiceCIDR) {
	if old := tx.s.serviceCIDRs[c.Name]; !same(old, c) {
		tx.s.serviceCIDRs[c.Name] = c
		tx.s.dirtyCIDRs, tx.changed = true, true
	}
}

// DeleteServiceCIDR takes a ServiceCIDR out, if it is there.
func (tx *Tx) DeleteServiceCIDR(name string) {
	if _, ok := tx.s.serviceCIDRs[name]; ok {
		delete(tx.s.serviceCIDRs, name)
		tx.s.dirtyCIDRs, tx.changed = true, true
	}
}

// SetPod puts a Pod in.
func (tx *Tx) SetPod(p *Pod) {
	if old := tx.s.pods[p.Key]; !same(old, p) {
		tx.s.pods[p.Key] = p
		tx.s.dirtyPods[p.Key] = struct{}{}
		tx.changed = true
	}
}

// DeletePod takes a Pod out, if it is there.
func (tx *Tx) DeletePod(key types.NamespacedName) {
	if _, ok := tx.s.pods[key]; ok {
		delete(tx.s.pods, key)
		tx.s.dirtyPods[key] = struct{}{}
		tx.changed = true
	}
}

// SetNonMasquerade says which destinations pods reach with their own address,
// besides the pods of the cluster: the file of ip-masq-agent.
func (tx *Tx) SetNonMasquerade(ps []netip.Prefix) {
	if !slices.Equal(tx.s.keep, ps) {
		tx.s.keep = ps
		tx.s.dirtyNodes, tx.changed = true, true
	}
}

// SetTunnelAddrs says by which addresses of its own the node sends tunnel packets.
// They differ from those of its Node behind a NAT and where an interface was
// selected.
func (tx *Tx) SetTunnelAddrs(addrs []netip.Addr) {
	if !slices.Equal(tx.s.tunnelAddrs, addrs) {
		tx.s.tunnelAddrs = addrs
		tx.s.dirtyNodes, tx.changed = true, true
	}
}

// SetProblems replaces what the source of an object finds wrong with it; none
// clears it.
func (tx *Tx) SetProblems(kind, name string, ps []Problem) {
	tx.s.book.Set(bySource, objectKey{kind, name}, ps)
}

// same compares what is there, or nil, with what would replace it.
func same[T any](old, now *T) bool {
	return old == now || old != nil && reflect.DeepEqual(old, now)
}

// maxNames bounds what the store remembers of names that are gone.
const maxNames = 1 << 16

// intern makes all endpoints of a node share one copy of its name: decoding
// gives each its own, and there are far more endpoints than nodes and zones.
func (tx *Tx) intern(slice *Slice) {
	names := tx.s.names
	if len(names) > maxNames {
		clear(names)
	}
	share := func(s *string) {
		if *s == "" {
			return
		}
		have, ok := names[*s]
		if !ok {
			have = strings.Clone(*s) // not a piece of something larger
			names[have] = have
		}
		*s = have
	}
	for i := range slice.Endpoints {
		ep := &slice.Endpoints[i]
		share(&ep.Node)
		share(&ep.Zone)
		for j := range ep.ForZones {
			share(&ep.ForZones[j])
		}
		for j := range ep.ForNodes {
			share(&ep.ForNodes[j])
		}
	}
}

func (tx *Tx) markService(key types.NamespacedName) {
	tx.s.dirty[key] = struct{}{}
	tx.changed = true
}
