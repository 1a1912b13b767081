// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"sigs.k8s.io/yaml"
)

// keptChanges is how many changes a watch can ask for again. One that wants older ones
// has to list, as with etcd.
const keptChanges = 1000

// change is one line of a watch.
type change struct {
	version  uint64
	resource string
	verb     string // ADDED, MODIFIED or DELETED
	object   json.RawMessage
}

// objects holds what the server serves. It is safe for concurrent use.
type objects struct {
	mu      sync.Mutex
	version uint64
	by      map[string]map[string]json.RawMessage // resource, then namespace/name
	log     []change
	more    chan struct{} // closed at the next change
}

func newObjects() *objects {
	return &objects{by: map[string]map[string]json.RawMessage{}, more: make(chan struct{})}
}

// resources maps the kinds of manifests to the resources of paths.
func resources() map[string]string {
	return map[string]string{"Service": "services", "EndpointSlice": "endpointslices", "Node": "nodes", "Pod": "pods"}
}

// apply stores the objects of a YAML text with one or more documents.
func (o *objects) apply(text string) error {
	for doc := range strings.SplitSeq(text, "\n---\n") {
		var object map[string]any
		if err := yaml.Unmarshal([]byte(doc), &object); err != nil {
			return fmt.Errorf("read manifest: %w", err)
		}
		items := []any{object}
		if object["kind"] == "List" {
			items, _ = object["items"].([]any)
		}
		for _, item := range items {
			m, _ := item.(map[string]any)
			if err := o.put(m); err != nil {
				return err
			}
		}
	}
	return nil
}

// put stores one object with the metadata that an API server adds.
func (o *objects) put(object map[string]any) error {
	kind, _ := object["kind"].(string)
	resource, ok := resources()[kind]
	meta, _ := object["metadata"].(map[string]any)
	if !ok || meta == nil {
		return fmt.Errorf("store object: kind %q is unknown, or it has no metadata", kind)
	}
	namespace, _ := meta["namespace"].(string)
	name, _ := meta["name"].(string)
	key := namespace + "/" + name

	o.mu.Lock()
	defer o.mu.Unlock()
	verb := "MODIFIED"
	if o.by[resource] == nil {
		o.by[resource] = map[string]json.RawMessage{}
	}
	if o.by[resource][key] == nil {
		verb = "ADDED"
	}
	meta["uid"] = resource + "/" + key
	meta["resourceVersion"] = strconv.FormatUint(o.version+1, 10)
	meta["creationTimestamp"] = "2026-01-02T03:04:05Z"
	raw, err := json.Marshal(object)
	if err != nil {
		return fmt.Errorf("store %s %s: %w", resource, key, err)
	}
	o.by[resource][key] = raw
	o.record(resource, verb, raw)
	return nil
}

// remove deletes an object, if it is there.
func (o *objects) remove(resource, key string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if raw := o.by[resource][key]; raw != nil {
		delete(o.by[resource], key)
		o.record(resource, "DELETED", raw)
	}
}

// record adds a change and wakes the watches. The caller holds the lock.
func (o *objects) record(resource, verb string, raw json.RawMessage) {
	o.version++
	o.log = append(o.log, change{version: o.version, resource: resource, verb: verb, object: raw})
	if len(o.log) > 2*keptChanges {
		o.log = slices.Clone(o.log[keptChanges:])
	}
	close(o.more)
	o.more = make(chan struct{})
}

// list returns the objects of a resource in the order of their names, and the version.
func (o *objects) list(resource string) ([]json.RawMessage, uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	items := []json.RawMessage{}
	for _, key := range slices.Sorted(maps.Keys(o.by[resource])) {
		items = append(items, o.by[resource][key])
	}
	return items, o.version
}

// get returns one object, or nil.
func (o *objects) get(resource, key string) json.RawMessage {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.by[resource][key]
}

// since returns the changes of a resource after a version, the version that they lead to,
// and a channel that is closed when there is more. It reports false if changes are
// missing. A version of the future is silent until the server gets there, as with a real server.
func (o *objects) since(resource string, version uint64) (out []change, now uint64, more <-chan struct{}, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if version > o.version {
		return nil, version, o.more, true
	}
	if len(o.log) > 0 && version+1 < o.log[0].version {
		return nil, 0, nil, false
	}
	for _, c := range o.log {
		if c.version > version && c.resource == resource {
			out = append(out, c)
		}
	}
	return out, o.version, o.more, true
}
