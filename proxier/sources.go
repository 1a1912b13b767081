// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

// Objects may come from an API server and from files at once. One that both
// have is taken from the API server, where it is kept up to date: a file is what
// a node begins with. So it does not matter which of the two spoke last, and
// when one takes it away it is the other's again.

// putAPI brings the store to what an API server says of an object.
func (tx *Tx) putAPI(source string, it *item) {
	tx.s.inAPI[it.key] = source
	tx.put(it)
	if tx.s.inFiles[it.key] != nil {
		tx.settleSources(it.key)
	}
}

// replaceAPI makes a list all that a source of an API server has.
func (tx *Tx) replaceAPI(source string, items []item) {
	now := make(map[objectKey]struct{}, len(items))
	for i := range items {
		now[items[i].key] = struct{}{}
	}
	for key, from := range tx.s.inAPI {
		if _, still := now[key]; from == source && !still {
			tx.dropAPI(key)
		}
	}
	for i := range items {
		tx.putAPI(source, &items[i])
	}
}

// dropAPI takes away what an API server said.
func (tx *Tx) dropAPI(key objectKey) {
	delete(tx.s.inAPI, key)
	if it := tx.s.inFiles[key]; it != nil {
		tx.put(it)
		tx.settleSources(key)
	} else {
		tx.drop(key)
	}
}

// putFile brings the store to what files say of an object; the item belongs to
// the store.
func (tx *Tx) putFile(it *item) {
	tx.s.inFiles[it.key] = it
	if _, ok := tx.s.inAPI[it.key]; !ok {
		tx.put(it)
	}
	tx.settleSources(it.key)
}

// dropFile takes away what files said.
func (tx *Tx) dropFile(key objectKey) {
	delete(tx.s.inFiles, key)
	if _, ok := tx.s.inAPI[key]; !ok {
		tx.drop(key)
	}
	tx.settleSources(key)
}

// settleSources reports an object that both have. What is wrong with it in the
// files, where nobody reads it, is not reported.
func (tx *Tx) settleSources(key objectKey) {
	var problems []Problem
	if _, ok := tx.s.inAPI[key]; ok && tx.s.inFiles[key] != nil {
		problems = []Problem{key.problem("is in a manifest, too, which is ignored in favour of the API server")}
	}
	tx.s.book.Set(byPrecedence, key, problems)
}
