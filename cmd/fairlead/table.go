// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	cliflag "k8s.io/component-base/cli/flag"

	"fairlead/cmd/fairlead/inspect"
	"fairlead/cmd/fairlead/options"
	"fairlead/cmd/fairlead/output"
	"fairlead/internal/inet"
	"fairlead/nat/listing"
)

func newTableCommand() *cobra.Command {
	var opts listing.Options
	var family, bundle string
	cmd := &cobra.Command{
		Use:   "table",
		Short: "Print the table in the kernel as nft would list it",
		Long: `Print the table "inet fairlead" in the current network namespace as nft would list
it. The command needs CAP_NET_ADMIN, and neither nft nor a running agent. Chains come
in the order in which packets meet them. Lines that begin with "#" name objects of
other programs, and objects that are left out without --full. With --bundle it prints the
table of another node, and needs no privileges.`,
		Example: `  fairlead table
  fairlead table --service kube-system/kube-dns --family 4
  fairlead table --bundle node.tar.gz`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if opts.Families, err = parseFamily(family); err != nil {
				return err
			}
			if err := checkServiceName(opts.Service); err != nil {
				return err
			}
			table, err := loadTable(cmd.Context(), bundle)
			if err != nil {
				return err
			}
			if opts.Service != "" && !table.HasService(opts.Service) {
				return fmt.Errorf("--service: the table has no frontend of Service %s", opts.Service)
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), cleanTable(table.Text(opts)))
			return err
		},
	}
	var groups cliflag.NamedFlagSets
	fs := groups.FlagSet("Output")
	fs.StringVar(&family, "family", "", "IP version to print, 4 or 6; default is both")
	fs.StringVar(&opts.Service, "service", "", "print only the chains and elements that packets to this Service meet, given as NAMESPACE/NAME")
	fs.BoolVar(&opts.Full, "full", false, "print empty sets and each repetition of a rule, as nft does")
	groups.FlagSet("Node to read").StringVar(&bundle, "bundle", "", bundleUsage)
	options.Sections(cmd, &groups)
	return cmd
}

// loadTable reads the table of this node, or of a bundle.
func loadTable(ctx context.Context, bundle string) (*listing.Table, error) {
	if bundle == "" {
		return inspect.LoadTable(ctx)
	}
	node, err := inspect.OpenBundle(bundle)
	if err != nil {
		return nil, err
	}
	return node.Table(ctx)
}

// cleanTable cleans the text of a table, which has names that other programs chose. Tabs
// and line ends stay.
func cleanTable(s string) string {
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		text := strings.TrimLeft(line, "\t")
		lines[i] = line[:len(line)-len(text)] + output.Clean(text)
	}
	return strings.Join(lines, "\n")
}

// parseFamily reads --family.
func parseFamily(s string) ([]inet.Family, error) {
	switch s {
	case "":
		return nil, nil
	case "4":
		return []inet.Family{inet.IPv4}, nil
	case "6":
		return []inet.Family{inet.IPv6}, nil
	}
	return nil, fmt.Errorf("--family: %q is not 4 or 6", s)
}

// checkServiceName checks that a name has a namespace. The empty name is valid.
func checkServiceName(s string) error {
	namespace, name, ok := strings.Cut(s, "/")
	if s != "" && (!ok || namespace == "" || name == "" || strings.Contains(name, "/")) {
		return fmt.Errorf("--service: %q is not NAMESPACE/NAME", s)
	}
	return nil
}
