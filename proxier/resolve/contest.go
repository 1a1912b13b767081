// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"cmp"
	"iter"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"fairlead/proxier/objects"
)

// Contest decides which object gets a key that several objects ask for, for example
// an address and port that two Services claim. An owner keeps its key while it asks
// for it: only a claim of a lower class takes it away. A change costs the claims of
// one object, and the rivals of those keys whose owner changes.
type Contest[K comparable, V any] struct {
	byKey     map[K][]*contender[K, V] // sorted by rank, the owner first
	bySubject map[types.NamespacedName][]*contender[K, V]
	stale     map[types.NamespacedName]struct{} // see takeStale
	weigh     func(V) int                       // nil for a contest without total
	Total     int                               // the weight of all owners
}

// Subject is the object that makes a claim.
type Subject struct {
	types.NamespacedName
	UID types.UID
}

// Incumbent is when the owner that a previous process left behind claimed its keys.
const Incumbent = 0

// rank orders the claims to one key: the lowest class first, then the claim that was
// seen first. Among claims that were seen at once the oldest object comes first, then
// the one whose name sorts first. An object's age counts for nothing else: it says
// nothing about when the object began to claim the key.
type rank struct {
	class   uint8
	kept    bool // of a contender during set: the subject still asks for the key
	seen    uint64
	created int64 // milliseconds, of which Kubernetes writes seconds
}

// Wish is what an object asks for.
type Wish[K comparable, V any] struct {
	rank
	Key   K
	Value V
}

// contender is a wish in a contest.
type contender[K comparable, V any] struct {
	Wish[K, V]
	Subject Subject
}

// NewContest returns an empty contest. weigh may be nil; its sum over all owners is Total.
func NewContest[K comparable, V any](weigh func(V) int) *Contest[K, V] {
	return &Contest[K, V]{
		byKey: map[K][]*contender[K, V]{}, bySubject: map[types.NamespacedName][]*contender[K, V]{},
		stale: map[types.NamespacedName]struct{}{}, weigh: weigh,
	}
}

// Expect makes room for that many objects with a key each, before the first of them is set.
func (c *Contest[K, V]) Expect(objects int) {
	if len(c.byKey)+len(c.bySubject)+len(c.stale) == 0 {
		c.byKey, c.bySubject = make(map[K][]*contender[K, V], objects), make(map[types.NamespacedName][]*contender[K, V], objects)
		c.stale = make(map[types.NamespacedName]struct{}, objects)
	}
}

func (c *contender[K, V]) compare(o *contender[K, V]) int {
	return cmp.Or(cmp.Compare(c.class, o.class), cmp.Compare(c.seen, o.seen), cmp.Compare(c.created, o.created), objects.CompareNames(c.Subject.NamespacedName, o.Subject.NamespacedName))
}

// Set replaces the claims of an object, each key at most once, and returns the keys
// whose owner, or whose owner's value, may have changed. A claim that the object makes
// already keeps its age; an object that was deleted and created again makes new ones.
func (c *Contest[K, V]) Set(who Subject, list []Wish[K, V]) []K { return c.set(who, list, nil) }

// set is Set with pauses. In these the owner of each key is right, but nothing may ask what
// the object itself has lost.
func (c *Contest[K, V]) set(who Subject, list []Wish[K, V], pause Pause) []K {
	old := c.bySubject[who.NamespacedName]
	if len(old)+len(list) == 0 {
		return nil
	}
	find := finder(old)
	var changed []K
	now := make([]*contender[K, V], 0, len(list))
	for i := range list {
		pause.after(costOfClaim)
		w := &list[i]
		have := find(i, w.Key)
		if have != nil {
			have.kept = true
		}
		if have == nil || have.class != w.class || have.created != w.created || have.Subject.UID != who.UID {
			now = append(now, &contender[K, V]{Wish: *w, Subject: who})
			changed = c.replace(changed, w.Key, have, now[len(now)-1])
			continue
		}
		if c.byKey[w.Key][0] == have {
			c.count(have, -1)
			have.Value = w.Value
			c.count(have, +1)
			changed = append(changed, w.Key)
		}
		have.Value, have.Subject.UID = w.Value, who.UID
		now = append(now, have)
	}
	for _, have := range old {
		pause.after(costOfClaim)
		if !have.kept {
			changed = c.replace(changed, have.Key, have, nil)
		}
		have.kept = false
	}
	if len(now) == 0 {
		delete(c.bySubject, who.NamespacedName)
	} else {
		c.bySubject[who.NamespacedName] = now
	}
	c.stale[who.NamespacedName] = struct{}{}
	return changed
}

// finder returns a function that finds a contender by its key. Most objects ask
// for the same keys in the same order as before.
func finder[K comparable, V any](list []*contender[K, V]) func(i int, key K) *contender[K, V] {
	var index map[K]*contender[K, V]
	return func(i int, key K) *contender[K, V] {
		if i < len(list) && list[i].Key == key {
			return list[i]
		}
		if index == nil {
			index = make(map[K]*contender[K, V], len(list))
			for _, c := range list {
				index[c.Key] = c
			}
		}
		return index[key]
	}
}

// replace takes one contender for a key out and puts another in; nil is none. It
// appends the key to changed if that concerns the owner.
func (c *Contest[K, V]) replace(changed []K, key K, out, in *contender[K, V]) []K {
	all := c.byKey[key]
	var before, after *contender[K, V]
	if len(all) > 0 {
		before = all[0]
	}
	if out != nil {
		i, _ := slices.BinarySearchFunc(all, out, (*contender[K, V]).compare)
		all = slices.Delete(all, i, i+1)
	}
	if in != nil {
		i, _ := slices.BinarySearchFunc(all, in, (*contender[K, V]).compare)
		all = slices.Insert(all, i, in)
	}
	if len(all) > 0 {
		after = all[0]
		c.byKey[key] = all
	} else {
		delete(c.byKey, key)
	}
	if before == after {
		return changed
	}
	c.count(before, -1)
	c.count(after, +1)
	for _, rival := range all {
		c.stale[rival.Subject.NamespacedName] = struct{}{}
	}
	return append(changed, key)
}

func (c *Contest[K, V]) count(owner *contender[K, V], n int) {
	if owner != nil && c.weigh != nil {
		c.Total += n * c.weigh(owner.Value)
	}
}

// Owner returns who has a key, or nil.
func (c *Contest[K, V]) Owner(key K) *contender[K, V] {
	if all := c.byKey[key]; len(all) > 0 {
		return all[0]
	}
	return nil
}

// Of returns what an object asks for.
func (c *Contest[K, V]) Of(name types.NamespacedName) []*contender[K, V] { return c.bySubject[name] }

// Subjects returns the objects that ask for a key, in any order.
func (c *Contest[K, V]) Subjects() []types.NamespacedName {
	return slices.Collect(maps.Keys(c.bySubject))
}

// Keys returns all keys that are claimed, in any order.
func (c *Contest[K, V]) Keys() iter.Seq[K] { return maps.Keys(c.byKey) }

// Size returns the number of keys that are claimed.
func (c *Contest[K, V]) Size() int { return len(c.byKey) }

// MarkStale makes takeStale return an object.
func (c *Contest[K, V]) MarkStale(name types.NamespacedName) { c.stale[name] = struct{}{} }

// lost calls f for each key that an object asks for and does not get.
func (c *Contest[K, V]) lost(name types.NamespacedName, f func(mine, owner *contender[K, V])) {
	for _, mine := range c.bySubject[name] {
		if owner := c.byKey[mine.Key][0]; owner != mine {
			f(mine, owner)
		}
	}
}

// TakeStale returns the objects that may have won or lost a key since it was
// last called, sorted.
func (c *Contest[K, V]) TakeStale() []types.NamespacedName {
	return c.TakeSomeStale(len(c.stale))
}

// mostIdle is how many entries a map may have held and be kept when it is empty, because
// maps never shrink.
const mostIdle = 1 << 10

// TakeSomeStale is TakeStale for at most n objects, any of them.
func (c *Contest[K, V]) TakeSomeStale(n int) []types.NamespacedName {
	if len(c.stale) == 0 {
		return nil
	}
	if n >= len(c.stale) && n > mostIdle {
		all := slices.SortedFunc(maps.Keys(c.stale), objects.CompareNames)
		c.stale = map[types.NamespacedName]struct{}{}
		return all
	}
	out := make([]types.NamespacedName, 0, min(n, len(c.stale)))
	for name := range c.stale {
		if len(out) == n {
			break
		}
		out = append(out, name)
		delete(c.stale, name)
	}
	slices.SortFunc(out, objects.CompareNames)
	return out
}

// Stale returns how many objects TakeStale would return.
func (c *Contest[K, V]) Stale() int { return len(c.stale) }

// why says by which rule an owner of the same class comes before a rival.
func why(owner, rival rank) string {
	switch {
	case owner.seen < rival.seen:
		return "which claimed it first"
	case owner.created < rival.created:
		return "which is older"
	}
	return "which is as old and comes first by name"
}
