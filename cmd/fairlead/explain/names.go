// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"context"
	"strings"

	"fairlead/cmd/fairlead/view"
)

// The functions here return names for shells to complete. What cannot be read has none.

// ServiceNames returns "namespace/name" of all Services of the objects or, without
// objects, of the table.
func ServiceNames(ctx context.Context, n view.Node) []string {
	var out []string
	if o, err := n.Objects(ctx); err == nil {
		for _, s := range o.Services {
			out = append(out, s.Namespace+"/"+s.Name)
		}
		return out
	}
	if t, err := n.Table(ctx); err == nil {
		for _, f := range t.Frontends("") {
			name, _, _ := strings.Cut(f.Service, ":")
			out = append(out, name)
		}
	}
	return out
}

// NodeNames returns the names of all Nodes.
func NodeNames(ctx context.Context, n view.Node) []string {
	var out []string
	if o, err := n.Objects(ctx); err == nil {
		for _, node := range o.Nodes {
			out = append(out, node.Name)
		}
	}
	return out
}

// PodNames returns "namespace/name" of all Pods, and of those that slices name.
func PodNames(ctx context.Context, n view.Node) []string {
	var out []string
	if pods, err := n.Pods(ctx, ""); err == nil {
		for _, p := range pods {
			out = append(out, p.Namespace+"/"+p.Name)
		}
	}
	if o, err := n.Objects(ctx); err == nil {
		for _, s := range o.Slices {
			for i := range s.Endpoints {
				if ref := s.Endpoints[i].TargetRef; ref != nil && ref.Kind == "Pod" {
					out = append(out, s.Namespace+"/"+ref.Name)
				}
			}
		}
	}
	return out
}
