// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package view

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead/cmd/fairlead/doctor/finding"
	"fairlead/internal/jsonerr"
	"fairlead/nat/listing"
)

// filesVersion is the version of the files. Readers refuse others.
const filesVersion = 1

// IndexFile is the file that every bundle has.
const IndexFile = "node.json"

// Names of the files of a Node.
const (
	fileIndex     = IndexFile
	fileConfig    = "config.json"
	fileTable     = "table.json"
	fileObjects   = "objects.json"
	fileNetwork   = "network.json"
	fileSysctls   = "sysctls.json"
	fileConntrack = "conntrack.json"
	fileCNI       = "cni.json"
	fileAgent     = "agent.json"
	fileLogs      = "logs.json"
	fileCheck     = "check.json"
)

// index is the file that says what the others are.
type index struct {
	Version int   `json:"version"`
	About   About `json:"about"`
	// Missing says why a part has no file, by the name of the file.
	Missing map[string]string `json:"missing,omitempty"`
}

// Files returns a Node as files, by name. ReadFiles reads them. Parts that cannot be read
// are left out, and the file node.json says why.
func Files(ctx context.Context, n Node) (map[string][]byte, error) {
	about, err := n.About(ctx)
	if err != nil {
		return nil, err
	}
	out := map[string][]byte{}
	dir := index{Version: filesVersion, About: *about, Missing: map[string]string{}}
	parts := map[string]func() (any, error){
		fileConfig:    func() (any, error) { return n.Config(ctx) },
		fileTable:     func() (any, error) { return n.Table(ctx) },
		fileObjects:   func() (any, error) { return allObjects(ctx, n, dir.Missing) },
		fileNetwork:   func() (any, error) { return n.Network(ctx) },
		fileSysctls:   func() (any, error) { return n.Sysctls(ctx) },
		fileConntrack: func() (any, error) { return n.Conntrack(ctx) },
		fileCNI:       func() (any, error) { return n.CNI(ctx) },
		fileAgent:     func() (any, error) { return n.Agent(ctx) },
		fileLogs:      func() (any, error) { return n.Logs(ctx) },
		fileCheck:     func() (any, error) { return n.Check(ctx) },
	}
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		part, err := parts[name]()
		if err == nil {
			out[name], err = json.MarshalIndent(part, "", " ")
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			delete(out, name)
			dir.Missing[name] = err.Error()
		}
	}
	out[fileIndex], err = json.MarshalIndent(dir, "", " ")
	return out, err
}

// allObjects returns the objects with the Pods of all namespaces.
func allObjects(ctx context.Context, n Node, missing map[string]string) (*Objects, error) {
	o, err := n.Objects(ctx)
	if err != nil {
		return nil, err
	}
	all := *o
	maps.Copy(missing, o.Missing)
	if all.Pods, err = n.Pods(ctx, ""); err != nil {
		missing["Pod"] = err.Error()
	}
	return &all, nil
}

// saved is a Node that was written by Files.
type saved struct {
	file  func(name string) ([]byte, error)
	index index
	parse func([]byte) ([]metav1.Object, error)
}

// ReadFiles returns the Node that Files wrote. file reads a file by its name, when a
// method asks for it; its error wraps fs.ErrNotExist if there is none. parse reads a v1
// List.
func ReadFiles(file func(name string) ([]byte, error), parse func([]byte) ([]metav1.Object, error)) (Node, error) {
	s := &saved{file: file, parse: parse}
	if err := s.read(fileIndex, &s.index); err != nil {
		return nil, err
	}
	if s.index.Version != filesVersion {
		return nil, fmt.Errorf("read %s: version %d is not %d; use the fairlead that wrote it (%s)", fileIndex, s.index.Version, filesVersion, s.index.About.Version)
	}
	return s, nil
}

func (s *saved) read(name string, into any) error {
	b, err := s.file(name)
	if errors.Is(err, fs.ErrNotExist) {
		why := "the bundle does not have it"
		if text := s.index.Missing[name]; text != "" {
			why = text
		}
		return fmt.Errorf("read %s: %w: %s", name, ErrAbsent, why)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("read %s: %w", name, jsonerr.Plain(b, err))
	}
	return nil
}

// part reads a file.
func part[T any](s *saved, name string) (*T, error) {
	out := new(T)
	if err := s.read(name, out); err != nil {
		return nil, err
	}
	return out, nil
}

func (s *saved) About(context.Context) (*About, error)   { return &s.index.About, nil }
func (s *saved) Config(context.Context) (*Config, error) { return part[Config](s, fileConfig) }
func (s *saved) Table(context.Context) (*listing.Table, error) {
	return part[listing.Table](s, fileTable)
}
func (s *saved) Network(context.Context) (*Network, error) { return part[Network](s, fileNetwork) }
func (s *saved) Conntrack(context.Context) (*Conntrack, error) {
	return part[Conntrack](s, fileConntrack)
}

func (s *saved) Check(context.Context) (*finding.Report, error) {
	return part[finding.Report](s, fileCheck)
}

func (s *saved) Objects(context.Context) (*Objects, error) {
	raw, err := part[json.RawMessage](s, fileObjects)
	if err != nil {
		return nil, err
	}
	list, err := s.parse(*raw)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", fileObjects, err)
	}
	o := NewObjects(list)
	for _, kind := range []string{"Service", "EndpointSlice", "Node", "ServiceCIDR", "Pod"} {
		if why, ok := s.index.Missing[kind]; ok {
			o.Missing[kind] = why
		}
	}
	return o, nil
}

func (s *saved) Pods(ctx context.Context, namespace string) ([]*corev1.Pod, error) {
	o, err := s.Objects(ctx)
	if err != nil {
		return nil, err
	}
	if why, ok := o.Missing["Pod"]; ok {
		return nil, fmt.Errorf("read Pods: %w: %s", ErrAbsent, why)
	}
	return InNamespace(o.Pods, namespace), nil
}

// InNamespace returns the Pods of a namespace, all of them for "".
func InNamespace(pods []*corev1.Pod, namespace string) []*corev1.Pod {
	if namespace == "" {
		return pods
	}
	var out []*corev1.Pod
	for _, p := range pods {
		if p.Namespace == namespace {
			out = append(out, p)
		}
	}
	return out
}

func (s *saved) Sysctls(context.Context) (map[string]string, error) {
	m, err := part[map[string]string](s, fileSysctls)
	if err != nil {
		return nil, err
	}
	return *m, nil
}

func (s *saved) CNI(context.Context) ([]CNIFile, error) {
	list, err := part[[]CNIFile](s, fileCNI)
	if err != nil {
		return nil, err
	}
	return *list, nil
}

func (s *saved) Logs(context.Context) ([]Log, error) {
	list, err := part[[]Log](s, fileLogs)
	if err != nil {
		return nil, err
	}
	return *list, nil
}

func (s *saved) Agent(context.Context) (json.RawMessage, error) {
	raw, err := part[json.RawMessage](s, fileAgent)
	if err != nil {
		return nil, err
	}
	return *raw, nil
}
