// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package options

import (
	"errors"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	cliflag "k8s.io/component-base/cli/flag"

	"fairlead/proxier/resolve"
)

// Render holds the flags of fairlead render. The zero value is ready for Register.
type Render struct {
	node    nodeFlags
	network networkFlags
	strict  bool
}

// Register adds all flags to cmd, in groups.
func (f *Render) Register(cmd *cobra.Command) {
	var groups cliflag.NamedFlagSets
	groups.FlagSet("Source").StringVar(&f.node.manifests, "manifests", "", "file or directory of Kubernetes manifests")
	groups.FlagSet("Source").BoolVar(&f.strict, "strict", false, "exit with code 1 if anything is reported: a problem of an object, an unknown kind or field, or a flag without effect")
	f.node.register(groups.FlagSet("Node"))
	f.network.registerTable(groups.FlagSet("Pod network"))
	Sections(cmd, &groups)
}

// RenderConfig says what fairlead render does.
type RenderConfig struct {
	Table     resolve.Config
	Manifests string
	Strict    bool
	Warnings  []Warning // about flags without effect
}

// Config returns the configuration. The flags of fs are those of Register.
func (f *Render) Config(fs *pflag.FlagSet) (*RenderConfig, error) {
	cfg, err := f.node.config()
	err = errors.Join(err, f.network.apply(&cfg))
	if f.node.manifests == "" {
		err = errors.Join(err, errors.New("--manifests: is missing"))
	}
	return &RenderConfig{
		Table: cfg, Manifests: f.node.manifests, Strict: f.strict, Warnings: withoutEffect(fs, &f.network, f.node.localMode),
	}, err
}
