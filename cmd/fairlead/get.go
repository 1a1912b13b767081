// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	cliflag "k8s.io/component-base/cli/flag"

	"fairlead/cmd/fairlead/output"
	"fairlead/cmd/fairlead/view"
	"fairlead/nat/listing"
)

// kindsOfGet returns the arguments of fairlead get.
func kindsOfGet() []string { return []string{"services", "endpoints", "hostports", "affinity"} }

func newGetCommand() *cobra.Command {
	var from readFlags
	var out output.Flags
	cmd := &cobra.Command{
		Use:   "get services|endpoints|hostports|affinity [NAMESPACE/NAME]",
		Short: "List what the kernel serves on this node",
		Long: `List what the table in the kernel serves on this node: addresses of Services,
their endpoints, ports of the node that belong to pods, or clients that session
affinity keeps with an endpoint. A name selects one Service. The command needs
CAP_NET_ADMIN and no running agent.`,
		Example: `  fairlead get services
  fairlead get endpoints kube-system/kube-dns -o json`,
		Args:      cobra.RangeArgs(1, 2),
		ValidArgs: kindsOfGet(),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.Validate(); err != nil {
				return err
			}
			service := ""
			if len(args) == 2 {
				if service = args[1]; service == "" || checkServiceName(service) != nil {
					return fmt.Errorf("%q is not NAMESPACE/NAME", service)
				}
			}
			node, err := from.node(cmd)
			if err != nil {
				return err
			}
			return out.Run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), func(ctx context.Context) (*output.Result, error) {
				return get(ctx, node, args[0], service)
			})
		},
	}
	from.register(cmd, func(groups *cliflag.NamedFlagSets) { out.Register(groups.FlagSet("Output")) })
	return cmd
}

// get returns the rows of a table and the same as values.
func get(ctx context.Context, node view.Node, kind, service string) (*output.Result, error) {
	views := map[string]func(*listing.Table, string) (*output.Table, any){
		"services": getServices, "endpoints": getEndpoints, "hostports": getHostPorts, "affinity": getAffinity,
	}
	show, ok := views[kind]
	if !ok {
		return nil, fmt.Errorf("%q is not one of %s", kind, strings.Join(kindsOfGet(), ", "))
	}
	if service != "" && kind != "services" && kind != "endpoints" {
		return nil, fmt.Errorf("%s has no names to select by", kind)
	}
	table, err := node.Table(ctx)
	if err != nil {
		return nil, err
	}
	if service != "" && !table.HasService(service) {
		return nil, fmt.Errorf("the table has no frontend of Service %s", service)
	}
	rows, list := show(table, service)
	return &output.Result{Text: rows, Value: list}, nil
}

func getServices(t *listing.Table, service string) (*output.Table, any) {
	rows := &output.Table{Titles: []string{"SERVICE", "PROTOCOL", "ADDRESS", "POLICY", "ENDPOINTS", "LOCAL", "STICKY", "SOURCES"}}
	list := t.Frontends(service)
	for _, f := range list {
		local := 0
		for _, e := range f.Endpoints {
			if e.Local {
				local++
			}
		}
		sources := "any"
		if f.Sources != nil {
			sources = strings.Join(f.Sources, ",")
		}
		rows.Add(f.Service, f.Proto, f.Address, f.Policy, fmt.Sprint(len(f.Endpoints)), fmt.Sprint(local), yes(f.Sticky), sources)
	}
	return rows, list
}

func getEndpoints(t *listing.Table, service string) (*output.Table, any) {
	rows := &output.Table{Titles: []string{"SERVICE", "PROTOCOL", "ADDRESS", "ENDPOINT", "LOCAL", "CONNECTIONS"}}
	list := t.Frontends(service)
	for _, f := range list {
		for _, e := range f.Endpoints {
			count := "-"
			if e.Connections != nil {
				count = fmt.Sprint(*e.Connections)
			}
			rows.Add(f.Service, f.Proto, f.Address, e.Address, yes(e.Local), count)
		}
	}
	return rows, list
}

func getHostPorts(t *listing.Table, _ string) (*output.Table, any) {
	rows := &output.Table{Titles: []string{"POD", "PROTOCOL", "ADDRESS", "ENDPOINT"}}
	list := t.HostPorts()
	for _, p := range list {
		rows.Add(p.Pod, p.Proto, p.Address, p.Endpoint)
	}
	return rows, list
}

func getAffinity(t *listing.Table, _ string) (*output.Table, any) {
	rows := &output.Table{Titles: []string{"ADDRESS", "PROTOCOL", "CLIENT", "ENDPOINT", "EXPIRES"}}
	list := t.Clients()
	for _, c := range list {
		rows.Add(c.Address, c.Proto, c.Client, c.Endpoint, c.Expires)
	}
	return rows, list
}

func yes(on bool) string {
	if on {
		return "yes"
	}
	return "no"
}
