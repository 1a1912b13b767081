// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package options

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	cliflag "k8s.io/component-base/cli/flag"
)

// HelpWidth is the column at which help wraps lines.
const HelpWidth = 100

// Sections adds the flags of all groups to cmd, whose help prints examples and then
// the flags by group.
func Sections(cmd *cobra.Command, groups *cliflag.NamedFlagSets) {
	for _, name := range groups.Order {
		cmd.Flags().AddFlagSet(groups.FlagSets[name])
	}
	usage := func(out io.Writer, cmd *cobra.Command) {
		_, _ = fmt.Fprintf(out, "Usage:\n  %s\n\nExamples:\n%s\n", cmd.UseLine(), cmd.Example)
		for _, name := range groups.Order {
			_, _ = fmt.Fprintf(out, "\n%s:\n%s\n", name, strings.TrimRight(groups.FlagSets[name].FlagUsagesWrapped(HelpWidth), "\n"))
		}
	}
	cmd.SetUsageFunc(func(cmd *cobra.Command) error {
		usage(cmd.OutOrStderr(), cmd)
		return nil
	})
	cmd.SetHelpFunc(func(cmd *cobra.Command, _ []string) {
		_, _ = fmt.Fprintf(cmd.OutOrStdout(), "%s\n\n", cmd.Long)
		usage(cmd.OutOrStdout(), cmd)
	})
}
