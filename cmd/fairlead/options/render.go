// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package options

import (
	"errors"

	"github.com/spf13/cobra"
	cliflag "k8s.io/component-base/cli/flag"

	"fairlead/proxier/resolve"
)

// Render holds the flags of fairlead render. The zero value is ready for Register.
type Render struct {
	node    nodeFlags
	network networkFlags
}

// Register adds all flags to cmd, in groups.
func (f *Render) Register(cmd *cobra.Command) {
	var groups cliflag.NamedFlagSets
	groups.FlagSet("Source").StringVar(&f.node.manifests, "manifests", "", "file or directory of Kubernetes manifests")
	f.node.register(groups.FlagSet("Node"))
	f.network.registerTable(groups.FlagSet("Pod network"))
	Sections(cmd, &groups)
}

// Config returns what the table depends on, and the path of the manifests.
func (f *Render) Config() (cfg resolve.Config, manifests string, err error) {
	cfg, err = f.node.config()
	err = errors.Join(err, f.network.apply(&cfg))
	if f.node.manifests == "" {
		err = errors.Join(err, errors.New("--manifests: is missing"))
	}
	return cfg, f.node.manifests, err
}
