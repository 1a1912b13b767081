// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package source

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"fairlead/internal/jsonerr"
	"fairlead/proxier/convert"
	"fairlead/proxier/objects"
)

// separator separates YAML documents: --- begins one, ... ends one. What follows
// it on its line, a comment as a rule, belongs to the document.
var separator = regexp.MustCompile(`(?m)^(?:---|\.\.\.)(?:[ \t\r]|$)`)

// directives matches the lines that may stand before the --- of a document, such as
// %YAML 1.2. They have no effect on manifests.
var directives = regexp.MustCompile(`^\x{feff}?(?:(?:[%#][^\n]*|[ \t\r]*)(?:\n|$))+$`)

// ParseManifest reads a file of YAML or JSON documents: ordinary manifests,
// lists of one kind, and v1 Lists as kubectl prints them. It leaves out objects of
// kinds that fairlead does not use. A file that is no sequence of Kubernetes objects is
// an error that names the line; an object with a field of the wrong type is an
// item with a problem.
func ParseManifest(data []byte) ([]objects.Object, error) {
	return new(parser).parse(data)
}

// parser reads one file.
type parser struct {
	unknown []Unknown           // objects of kinds that Kubernetes does not have
	typed   func(metav1.Object) // called with each object that fairlead uses; may be nil
}

func (p *parser) parse(data []byte) ([]objects.Object, error) {
	if items, ok, err := p.parseJSON(data); ok {
		return items, err
	}
	var out []objects.Object
	start, skip := 0, 0
	for _, end := range append(separator.FindAllIndex(data, -1), []int{len(data), len(data)}) {
		doc := data[start+skip : end[0]]
		if skip > 0 {
			doc = bytes.TrimLeft(doc, " \t") // before a comment, as a rule
		}
		if end[0] < len(data) && data[end[0]] == '-' && directives.Match(doc) {
			doc = nil
		}
		items, err := p.parseYAML(doc)
		if err != nil {
			line := 1 + bytes.Count(data[:start], []byte("\n"))
			return nil, withLine(line, skip > 0, doc, err)
		}
		out = append(out, items...)
		start, skip = end[0], len("---")
	}
	return out, nil
}

// parseJSON returns false for a document that is not JSON; it may still be YAML.
func (p *parser) parseJSON(data []byte) (items []objects.Object, ok bool, err error) {
	if data = bytes.TrimSpace(data); len(data) == 0 || data[0] != '{' {
		return nil, false, nil
	}
	var objects []json.RawMessage
	for in := json.NewDecoder(bytes.NewReader(data)); ; {
		var raw json.RawMessage
		if err := in.Decode(&raw); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, false, nil
		}
		objects = append(objects, raw)
	}
	for i, raw := range objects {
		list, err := p.parseObject(raw)
		if err != nil {
			return nil, true, fmt.Errorf("object %d: %w", i+1, err)
		}
		items = append(items, list...)
	}
	return items, true, nil
}

func (p *parser) parseYAML(doc []byte) ([]objects.Object, error) {
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
	return p.parseObject(data)
}

// yamlError matches the prefix of the YAML parser's messages, whose lines count from
// the beginning of the document.
var yamlError = regexp.MustCompile(`^(?:error converting YAML to JSON: )?yaml: (?:unmarshal errors:\s*)?(?:line (\d+): )?`)

// withLine names the line of the file: the one the YAML parser complains about,
// or the one where the document begins.
func withLine(line int, afterSeparator bool, doc []byte, err error) error {
	text := err.Error()
	if m := yamlError.FindStringSubmatch(text); m != nil {
		text = strings.TrimPrefix(text, m[0])
		if n, convErr := strconv.Atoi(m[1]); convErr == nil {
			return fmt.Errorf("line %d: %s", line+n-1, text)
		}
	}
	if afterSeparator && bytes.HasPrefix(bytes.TrimLeft(doc, "\r"), []byte("\n")) {
		line++ // the first line of the document, not its separator
	}
	return fmt.Errorf("line %d: %s", line, text)
}

func (p *parser) parseObject(data []byte) ([]objects.Object, error) {
	var head struct {
		Kind       string            `json:"kind"`
		APIVersion string            `json:"apiVersion"`
		Items      []json.RawMessage `json:"items"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, fmt.Errorf("not a Kubernetes object: %w", jsonerr.Plain(data, err))
	}
	meta := metav1.TypeMeta{Kind: head.Kind, APIVersion: head.APIVersion}
	if head.Kind == "" || head.APIVersion == "" {
		return nil, errors.New("not a Kubernetes object: apiVersion or kind is missing")
	}
	if strings.HasSuffix(head.Kind, "List") {
		return p.parseList(head.Items, meta)
	}
	it, err := p.parseOne(meta, data)
	if err != nil || it == nil {
		return nil, err
	}
	return []objects.Object{*it}, nil
}

// parseList reads a v1 List or the list of one kind, whose items may leave out
// apiVersion and kind.
func (p *parser) parseList(items []json.RawMessage, list metav1.TypeMeta) ([]objects.Object, error) {
	var out []objects.Object
	for i, raw := range items {
		var meta metav1.TypeMeta
		if err := json.Unmarshal(raw, &meta); err != nil {
			return nil, fmt.Errorf("items[%d]: %w", i, jsonerr.Plain(raw, err))
		}
		if meta.Kind == "" {
			meta = metav1.TypeMeta{APIVersion: list.APIVersion, Kind: strings.TrimSuffix(list.Kind, "List")}
		}
		it, err := p.parseOne(meta, raw)
		if err != nil {
			return nil, fmt.Errorf("items[%d]: %w", i, err)
		}
		if it != nil {
			out = append(out, *it)
		}
	}
	return out, nil
}

// parseOne returns nil for a kind that fairlead does not use.
func (p *parser) parseOne(meta metav1.TypeMeta, data []byte) (*objects.Object, error) {
	var obj metav1.Object
	switch meta.APIVersion + "/" + meta.Kind {
	case "v1/Service":
		obj = &corev1.Service{}
	case "discovery.k8s.io/v1/EndpointSlice":
		obj = &discoveryv1.EndpointSlice{}
	case "v1/Node":
		obj = &corev1.Node{}
	case "networking.k8s.io/v1/ServiceCIDR":
		obj = &networkingv1.ServiceCIDR{}
	case "v1/Pod":
		obj = &corev1.Pod{}
	default:
		p.skip(meta, data)
		return nil, nil
	}
	strict, err := kjson.UnmarshalStrict(data, obj)
	if err != nil {
		return unread(meta.Kind, data, err)
	}
	if obj.GetNamespace() == "" && objects.IsNamespaced(meta.Kind) {
		obj.SetNamespace(metav1.NamespaceDefault)
	}
	if p.typed != nil {
		p.typed(obj)
	}
	it, err := convert.Convert(obj)
	if err != nil {
		return nil, err
	}
	for _, err := range strict {
		it.Problems = append(it.Problems, strictProblem(it.Key, err))
	}
	return &it, nil
}

// unread returns the item for an object that cannot be decoded. Without a name, its
// problem can be reported for the file only.
func unread(kind string, data []byte, cause error) (*objects.Object, error) {
	var head struct {
		Metadata struct {
			Namespace string `json:"namespace"`
			Name      string `json:"name"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal(data, &head); err != nil || head.Metadata.Name == "" {
		if err != nil {
			cause = err // about the name comes first
		}
		return nil, fmt.Errorf("read %s: %w", kind, jsonerr.Plain(data, cause))
	}
	m := metav1.ObjectMeta{Namespace: head.Metadata.Namespace, Name: head.Metadata.Name}
	key := objects.Key{Kind: kind, Name: m.Name}
	if objects.IsNamespaced(kind) {
		if m.Namespace == "" {
			m.Namespace = metav1.NamespaceDefault
		}
		key.Name = objects.Namespaced(&m)
	}
	r := objects.NewReport(kind, key.Name)
	if field, text, ok := jsonerr.Wrong(cause); ok {
		r.Add(field, "%s", text)
	} else {
		r.Add("", "%v", jsonerr.Plain(data, cause))
	}
	return &objects.Object{Key: key, Problems: r.Problems, Unread: true}, nil
}

// strictProblem reports a field that is misspelt or newer than this version of
// fairlead. The object is used without it.
func strictProblem(key objects.Key, err error) objects.Problem {
	r := objects.NewReport(key.Kind, key.Name)
	if field, ok := strings.CutPrefix(err.Error(), "unknown field "); ok {
		r.Add(strings.Trim(field, `"`), "is not known, and ignored")
	} else {
		r.Add("", "%v", err)
	}
	return r.Problems[0]
}
