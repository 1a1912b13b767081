// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	cliflag "k8s.io/component-base/cli/flag"

	"fairlead/cmd/fairlead/inspect"
	"fairlead/cmd/fairlead/options"
	"fairlead/nat/listing"
)

// kindsOfGet returns the arguments of fairlead get.
func kindsOfGet() []string { return []string{"services", "endpoints", "hostports", "affinity"} }

func newGetCommand() *cobra.Command {
	var format string
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
			if format != "table" && format != "json" {
				return fmt.Errorf("--output: %q is not table or json", format)
			}
			service := ""
			if len(args) == 2 {
				if service = args[1]; service == "" || checkServiceName(service) != nil {
					return fmt.Errorf("%q is not NAMESPACE/NAME", service)
				}
			}
			rows, list, err := get(cmd, args[0], service)
			if err != nil {
				return err
			}
			if format == "json" {
				enc := json.NewEncoder(cmd.OutOrStdout())
				enc.SetIndent("", "  ")
				return enc.Encode(list)
			}
			return printRows(cmd.OutOrStdout(), rows)
		},
	}
	var groups cliflag.NamedFlagSets
	groups.FlagSet("Output").StringVarP(&format, "output", "o", "table", "table or json")
	options.Sections(cmd, &groups)
	return cmd
}

// get returns the rows of a table, titles first, and the same as values.
func get(cmd *cobra.Command, kind, service string) (rows [][]string, list any, err error) {
	views := map[string]func(*listing.Table, string) ([][]string, any){
		"services": getServices, "endpoints": getEndpoints, "hostports": getHostPorts, "affinity": getAffinity,
	}
	view, ok := views[kind]
	if !ok {
		return nil, nil, fmt.Errorf("%q is not one of %s", kind, strings.Join(kindsOfGet(), ", "))
	}
	if service != "" && kind != "services" && kind != "endpoints" {
		return nil, nil, fmt.Errorf("%s has no names to select by", kind)
	}
	table, err := inspect.LoadTable(cmd.Context())
	if err != nil {
		return nil, nil, err
	}
	if service != "" && !table.HasService(service) {
		return nil, nil, fmt.Errorf("the table has no frontend of Service %s", service)
	}
	rows, list = view(table, service)
	return rows, list, nil
}

func getServices(t *listing.Table, service string) ([][]string, any) {
	rows := [][]string{{"SERVICE", "PROTOCOL", "ADDRESS", "POLICY", "ENDPOINTS", "LOCAL", "STICKY", "SOURCES"}}
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
		rows = append(rows, []string{f.Service, f.Proto, f.Address, f.Policy, fmt.Sprint(len(f.Endpoints)), fmt.Sprint(local), yes(f.Sticky), sources})
	}
	return rows, list
}

func getEndpoints(t *listing.Table, service string) ([][]string, any) {
	rows := [][]string{{"SERVICE", "PROTOCOL", "ADDRESS", "ENDPOINT", "LOCAL", "CONNECTIONS"}}
	list := t.Frontends(service)
	for _, f := range list {
		for _, e := range f.Endpoints {
			count := "-"
			if e.Connections != nil {
				count = fmt.Sprint(*e.Connections)
			}
			rows = append(rows, []string{f.Service, f.Proto, f.Address, e.Address, yes(e.Local), count})
		}
	}
	return rows, list
}

func getHostPorts(t *listing.Table, _ string) ([][]string, any) {
	rows := [][]string{{"POD", "PROTOCOL", "ADDRESS", "ENDPOINT"}}
	list := t.HostPorts()
	for _, p := range list {
		rows = append(rows, []string{p.Pod, p.Proto, p.Address, p.Endpoint})
	}
	return rows, list
}

func getAffinity(t *listing.Table, _ string) ([][]string, any) {
	rows := [][]string{{"ADDRESS", "PROTOCOL", "CLIENT", "ENDPOINT", "EXPIRES"}}
	list := t.Clients()
	for _, c := range list {
		rows = append(rows, []string{c.Address, c.Proto, c.Client, c.Endpoint, c.Expires})
	}
	return rows, list
}

func yes(on bool) string {
	if on {
		return "yes"
	}
	return "no"
}

func printRows(out io.Writer, rows [][]string) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		_, _ = fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	return w.Flush()
}
