// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fairlead/cmd/fairlead/explain"
	"fairlead/cmd/fairlead/output"
	"fairlead/cmd/fairlead/view"
)

// completer is a function of cobra that completes an argument or the value of a flag.
type completer = func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective)

// completeTime bounds the time for which a shell waits.
const completeTime = 3 * time.Second

// complete returns the names that begin with what is typed. A name with characters that a
// terminal acts on is left out.
func complete(from *readFlags, cmd *cobra.Command, begun string, names func(context.Context, view.Node) []string) ([]string, cobra.ShellCompDirective) {
	node, err := from.node(cmd)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx := cmd.Context()
	if ctx == nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(ctx, completeTime)
	defer cancel()
	var out []string
	for _, n := range names(ctx, node) {
		if strings.HasPrefix(n, begun) && output.Clean(n) == n && !strings.ContainsAny(n, " \t") {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return byNamespace(slices.Compact(out), begun)
}

// byNamespace returns namespaces first, where names of several of them fit.
func byNamespace(names []string, begun string) ([]string, cobra.ShellCompDirective) {
	if strings.Contains(begun, "/") {
		return names, cobra.ShellCompDirectiveNoFileComp
	}
	var out []string
	for _, n := range names {
		if namespace, _, ok := strings.Cut(n, "/"); ok {
			n = namespace + "/"
		}
		out = append(out, n)
	}
	out = slices.Compact(out)
	if len(out) == 1 && strings.HasSuffix(out[0], "/") {
		return names, cobra.ShellCompDirectiveNoFileComp
	}
	if slices.ContainsFunc(out, func(n string) bool { return strings.HasSuffix(n, "/") }) {
		return out, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

func completeGet(from *readFlags) completer {
	return func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		switch {
		case len(args) == 0:
			return explain.Kinds(), cobra.ShellCompDirectiveNoFileComp
		case len(args) == 1 && args[0] == "nodes":
			return complete(from, cmd, begun, explain.NodeNames)
		case len(args) == 1 && args[0] == "hostports":
			return complete(from, cmd, begun, explain.PodNames)
		case len(args) == 1 && explain.HasNames(args[0]):
			return complete(from, cmd, begun, explain.ServiceNames)
		}
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
}

func completeExplain(from *readFlags) completer {
	return func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return complete(from, cmd, begun, explain.ServiceNames)
	}
}

func completeFrom(from *readFlags) completer {
	return func(cmd *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
		return complete(from, cmd, begun, func(ctx context.Context, n view.Node) []string {
			return slices.Concat([]string{"pod", "node", "outside"}, explain.NodeNames(ctx, n), explain.PodNames(ctx, n))
		})
	}
}
