// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package source

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"fairlead/proxier/convert"
	"fairlead/proxier/objects"
	"fairlead/proxier/store"
)

// mirror is the side of a Store that a reflector of one kind writes to, a
// cache.TransformingStore. It only converts objects and wakes the loop. Only the
// reflector's goroutine uses it.
type mirror struct {
	source string
	store  *store.Store
	// answers wakes other kinds after each list; nil for none. listed is the time of the
	// last list.
	answers *answers
	listed  time.Time
}

// Transformer makes reflectors convert the objects of a list one by one.
func (m *mirror) Transformer() cache.TransformFunc {
	plain := &metav1.ObjectMeta{}
	return func(obj any) (any, error) {
		if _, done := obj.(*converted); done {
			return obj, nil
		}
		it, err := convert.Convert(obj)
		if err != nil {
			return nil, err
		}
		return &converted{Object: plain, item: it}, nil
	}
}

// Add puts an object in.
func (m *mirror) Add(obj any) error {
	it, err := read(obj)
	if err != nil {
		return err
	}
	m.store.Update(func(tx *store.Tx) { tx.PutAPI(m.source, it) })
	m.store.Heard(m.source, revision(obj))
	return nil
}

// Update is Add.
func (m *mirror) Update(obj any) error { return m.Add(obj) }

// Delete takes an object out.
func (m *mirror) Delete(obj any) error {
	it, err := read(obj)
	if err != nil {
		return err
	}
	m.store.Update(func(tx *store.Tx) { tx.DropAPI(it.Key) })
	m.store.Heard(m.source, revision(obj))
	return nil
}

// Replace makes a list the complete set of objects, in one update.
func (m *mirror) Replace(list []any, revision string) error {
	items := make([]*objects.Object, 0, len(list))
	for _, obj := range list {
		it, err := read(obj)
		if err != nil {
			return err
		}
		items = append(items, it)
	}
	m.store.Update(func(tx *store.Tx) { tx.ReplaceAPI(m.source, items) })
	m.store.Delivered(m.source)
	m.store.Heard(m.source, revision)
	m.listed = time.Now()
	if m.answers != nil {
		m.answers.note()
	}
	return nil
}

// Bookmark notes that the server is heard, though no object changed. Servers send one
// about once a minute.
func (m *mirror) Bookmark(revision string) error {
	m.store.Heard(m.source, revision)
	return nil
}

// Resync does nothing, because the loop repeats its own work on stored objects.
func (m *mirror) Resync() error { return nil }

// revision returns the resourceVersion of an event, "" if it has none.
func revision(obj any) string {
	if o, ok := obj.(metav1.Object); ok {
		return o.GetResourceVersion()
	}
	return ""
}

// read converts an object, or takes one that the reflector has converted before.
func read(obj any) (*objects.Object, error) {
	if c, done := obj.(*converted); done {
		return &c.item, nil
	}
	it, err := convert.Convert(obj)
	return &it, err
}
