// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package explain says in words what a node does with connections to a Service or an
// address, and why. It joins the table in the kernel, the API objects and the routes of
// a view.Node, and does no I/O itself.
package explain

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"fairlead/cmd/fairlead/view"
	"fairlead/nat/evaluate"
	"fairlead/nat/listing"
	"fairlead/nat/plan"
	"fairlead/proxier"
	"fairlead/proxier/objects"
	"fairlead/proxier/store"
)

// Picture is what was read of a node. Parts that could not be read are nil, and Missing
// says why.
type Picture struct {
	Config  *view.Config
	Table   *listing.Table
	Objects *view.Objects
	Network *view.Network
	Sysctls map[string]string
	Missing []string

	wanted   *proxier.Wanted
	problems []objects.Problem
	rules    *evaluate.Table
	node     view.Node
	pods     []*corev1.Pod // of the namespace that is explained, if hasPods is set
	hasPods  bool
	byName   map[string]ref      // see refs
	byIP     map[string]ref      // see podAt
	damaged  map[string]bool     // see damagedObjects
	leads    map[string][]string // see chainsFrom
}

// Read reads what get and explain need. It fails only if there is neither a table nor an
// object.
func Read(ctx context.Context, node view.Node) (*Picture, error) {
	p := &Picture{node: node}
	var err, tableErr, objectsErr error
	if p.Config, err = node.Config(ctx); err != nil {
		return nil, err
	}
	if p.Table, tableErr = node.Table(ctx); tableErr != nil {
		p.missing("The table in the kernel", tableErr)
	} else {
		p.rules = evaluate.New(p.Table)
	}
	if p.Objects, objectsErr = node.Objects(ctx); objectsErr != nil {
		p.missing("API objects", objectsErr)
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if p.Table == nil && p.Objects == nil {
		return nil, errors.Join(tableErr, objectsErr)
	}
	if p.Network, err = node.Network(ctx); err != nil {
		p.missing("Routes", err)
	}
	if p.Sysctls, err = node.Sysctls(ctx); err != nil {
		p.missing("Settings of the kernel", err)
	}
	return p, p.resolve()
}

func (p *Picture) missing(what string, err error) {
	p.Missing = append(p.Missing, fmt.Sprintf("%s could not be read: %v.", what, err))
}

// resolve runs the resolve over the objects.
func (p *Picture) resolve() error {
	if p.Objects == nil {
		return nil
	}
	for _, kind := range slices.Sorted(maps.Keys(p.Objects.Missing)) {
		p.Missing = append(p.Missing, fmt.Sprintf("Objects of kind %s could not be read: %s.", kind, p.Objects.Missing[kind]))
	}
	s, err := p.Objects.Store()
	if err != nil {
		return err
	}
	p.wanted = p.newWanted(s)
	p.problems = p.wanted.Problems()
	return nil
}

func (p *Picture) newWanted(s *store.Store) *proxier.Wanted {
	if p.Table == nil {
		return proxier.NewWanted(p.Config.Table, s, nil)
	}
	return proxier.NewWanted(p.Config.Table, s, p.Table.Found)
}

// differences returns how the table differs from what the objects ask for.
func (p *Picture) differences() []plan.Mismatch {
	if p.Objects == nil || p.Table == nil {
		return nil
	}
	s, err := p.Objects.Store()
	if err != nil {
		return nil
	}
	return p.newWanted(s).Mismatches(p.Table.Found)
}

// problemsOf returns what is wrong with an object.
func (p *Picture) problemsOf(kind string, name types.NamespacedName) []objects.Problem {
	var out []objects.Problem
	for _, pr := range p.problems {
		if pr.Kind == kind && (pr.Name == name.String() || pr.Name == objects.Printable(name.String())) {
			out = append(out, pr)
		}
	}
	return out
}
