// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fairlead/proxier/objects"

	"fairlead/proxier/status"
)

// Objects may come from an API server and from files at once. The version of the API
// server takes precedence, because the server keeps it up to date and a file only
// gets a node started. The order of arrival does not matter. When one source removes
// an object, the version of the other takes effect.

// PutAPI stores the version of an object from an API server.
func (tx *Tx) PutAPI(source string, it *objects.Object) {
	tx.s.inAPI.set(it.Key, source)
	tx.Put(it)
	if tx.s.inFiles[it.Key] != nil {
		tx.settleSources(it.Key)
	}
}

// ReplaceAPI makes a list the complete set of objects from a source of an API server.
func (tx *Tx) ReplaceAPI(source string, items []*objects.Object) {
	gone := map[objects.Key]struct{}{}
	for key := range tx.s.inAPI.of(source) {
		gone[key] = struct{}{}
	}
	for _, it := range items {
		delete(gone, it.Key)
	}
	for key := range gone {
		tx.DropAPI(key)
	}
	if len(items) > 0 && (items[0].Key.Kind == objects.KindService || items[0].Key.Kind == objects.KindSlice) {
		tx.s.dirty.expect(len(items))
	}
	for _, it := range items {
		tx.PutAPI(source, it)
	}
}

// DropAPI removes the version of an API server.
func (tx *Tx) DropAPI(key objects.Key) {
	tx.s.inAPI.remove(key)
	if it := tx.s.inFiles[key]; it != nil {
		tx.Put(it)
		tx.settleSources(key)
	} else {
		tx.Drop(key)
	}
}

// PutFile stores the version of an object from files. The item then belongs to the
// store.
func (tx *Tx) PutFile(it *objects.Object) {
	tx.s.inFiles[it.Key] = it
	if !tx.s.inAPI.has(it.Key) {
		tx.Put(it)
	}
	tx.settleSources(it.Key)
}

// DropFile removes the version of files.
func (tx *Tx) DropFile(key objects.Key) {
	delete(tx.s.inFiles, key)
	if !tx.s.inAPI.has(key) {
		tx.Drop(key)
	}
	tx.settleSources(key)
}

// settleSources reports an object that both have. Problems of the version
// in the files, which has no effect, are not reported.
func (tx *Tx) settleSources(key objects.Key) {
	var problems []objects.Problem
	if tx.s.inAPI.has(key) && tx.s.inFiles[key] != nil {
		problems = []objects.Problem{key.Problem("is in a manifest, too, which is ignored in favour of the API server")}
	}
	tx.s.book.Set(status.ByPrecedence, key, problems)
}
