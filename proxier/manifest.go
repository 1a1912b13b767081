// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"
)

// item is an object of a manifest that fairlead has a use for, converted. One
// of the pointers is set, or none where only problems are left.
type item struct {
	key      objectKey
	service  *Service
	slice    *Slice
	node     *Node
	cidr     *ServiceCIDR
	problems []Problem
}

// documentStart separates YAML documents.
var documentStart = regexp.MustCompile(`(?m)^---(?:[ \t].*)?\r?$`)

// parseManifest reads a file of YAML or JSON documents. A file is taken whole
// or not at all; the error names the line.
func parseManifest(data []byte) ([]item, error) {
	var out []item
	start := 0
	for _, end := range append(documentStart.FindAllIndex(data, -1), []int{len(data), len(data)}) {
		items, err := parseDocument(data[start:end[0]])
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", lineOf(data, start, err), err)
		}
		out = append(out, items...)
		start = min(end[1]+1, len(data)) // behind the line's end
	}
	return out, nil
}

// yamlLine finds the line in an error of the YAML parser, which counts from the
// beginning of the document.
var yamlLine = regexp.MustCompile(`line (\d+): `)

func lineOf(data []byte, start int, err error) int {
	line := 1 + bytes.Count(data[:start], []byte("\n"))
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
		var n int
		if _, err := fmt.Sscan(m[1], &n); err == nil {
			line += n - 1
		}
	}
	return line
}

func parseDocument(doc []byte) ([]item, error) {
	if len(bytes.TrimSpace(doc)) == 0 {
		return nil, nil
	}
	data, err := yaml.YAMLToJSONStrict(doc)
	if err != nil {
		return nil, err
	}
	if string(data) == "null" {
		return nil, nil // comments only
	}
	return parseObject(data)
}

func parseObject(data []byte) ([]item, error) {
	var head struct {
		metav1.TypeMeta `json:",inline"`
		Items           []json.RawMessage `json:"items"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, fmt.Errorf("not a Kubernetes object: %w", err)
	}
	if head.Kind == "" || head.APIVersion == "" {
		return nil, fmt.Errorf("not a Kubernetes object: apiVersion or kind is missing")
	}
	if strings.HasSuffix(head.Kind, "List") {
		return parseList(head.Items, head.TypeMeta)
	}
	it, err := parseOne(head.TypeMeta, data)
	if err != nil || it == nil {
		return nil, err
	}
	return []item{*it}, nil
}

// parseList reads a v1 List or the list of one kind, whose items may leave out
// what they are.
func parseList(items []json.RawMessage, list metav1.TypeMeta) ([]item, error) {
	var out []item
	for i, raw := range items {
		var meta metav1.TypeMeta
		if err := json.Unmarshal(raw, &meta); err != nil {
			return nil, fmt.Errorf("items[%d]: %w", i, err)
		}
		if meta.Kind == "" {
			meta = metav1.TypeMeta{APIVersion: list.APIVersion, Kind: strings.TrimSuffix(list.Kind, "List")}
		}
		it, err := parseOne(meta, raw)
		if err != nil {
			return nil, fmt.Errorf("items[%d]: %w", i, err)
		}
		if it != nil {
			out = append(out, *it)
		}
	}
	return out, nil
}

// parseOne returns nil for a kind that does not concern us.
func parseOne(meta metav1.TypeMeta, data []byte) (*item, error) {
	it := &item{}
	var err error
	switch meta.APIVersion + "/" + meta.Kind {
	case "v1/Service":
		var in corev1.Service
		if err = json.Unmarshal(data, &in); err == nil {
			in.Namespace = orDefault(in.Namespace)
			it.service, it.problems = convertService(&in)
			it.key = objectKey{kindService, namespaced(&in.ObjectMeta)}
		}
	case "discovery.k8s.io/v1/EndpointSlice":
		var in discoveryv1.EndpointSlice
		if err = json.Unmarshal(data, &in); err == nil {
			in.Namespace = orDefault(in.Namespace)
			it.slice, it.problems = convertSlice(&in)
			it.key = objectKey{kindSlice, namespaced(&in.ObjectMeta)}
		}
	case "v1/Node":
		var in corev1.Node
		if err = json.Unmarshal(data, &in); err == nil {
			it.node, it.problems = convertNode(&in)
			it.key = objectKey{kindNode, in.Name}
		}
	case "networking.k8s.io/v1/ServiceCIDR":
		var in networkingv1.ServiceCIDR
		if err = json.Unmarshal(data, &in); err == nil {
			it.cidr, it.problems = convertServiceCIDR(&in)
			it.key = objectKey{kindServiceCIDR, in.Name}
		}
	default:
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", meta.Kind, err)
	}
	return it, nil
}

func orDefault(namespace string) string {
	if namespace == "" {
		return metav1.NamespaceDefault
	}
	return namespace
}

func namespaced(m *metav1.ObjectMeta) string {
	return types.NamespacedName{Namespace: m.Namespace, Name: m.Name}.String()
}

// put brings the store to what the item says; an item that says nothing any
// more takes the object out.
func (it *item) put(tx *Tx) {
	tx.SetProblems(it.key.kind, it.key.name, it.problems)
	switch {
	case it.service != nil:
		tx.SetService(it.service)
	case it.slice != nil:
		tx.SetSlice(it.slice)
	case it.node != nil:
		tx.SetNode(it.node)
	case it.cidr != nil:
		tx.SetServiceCIDR(it.cidr)
	default:
		it.key.delete(tx)
	}
}

// split returns an empty namespace for kinds that have none.
func (k objectKey) split() (namespace, name string) {
	if before, after, ok := strings.Cut(k.name, "/"); ok {
		return before, after
	}
	return "", k.name
}

// delete takes the object out of the store.
func (k objectKey) delete(tx *Tx) {
	namespace, name := k.split()
	key := types.NamespacedName{Namespace: namespace, Name: name}
	switch k.kind {
	case kindService:
		tx.DeleteService(key)
	case kindSlice:
		tx.DeleteSlice(key)
	case kindNode:
		tx.DeleteNode(k.name)
	case kindServiceCIDR:
		tx.DeleteServiceCIDR(k.name)
	}
}

func (k objectKey) drop(tx *Tx) {
	tx.SetProblems(k.kind, k.name, nil)
	k.delete(tx)
}
