// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fairlead/internal/cni"
	"fairlead/internal/leftovers"
	"fairlead/nat/ruleset"
	"fairlead/overlay"
)

// LeftoverOptions returns the names by which leftovers tells fairlead's objects
// from those of others, and the default paths of files.
func LeftoverOptions() leftovers.Options {
	return leftovers.Options{
		CNIDir: cni.DefaultDir, SubnetFile: leftovers.DefaultSubnetFile,
		Table: "inet " + ruleset.TableName, Alias: overlay.Alias, Protocol: overlay.DefaultProtocol, RouteTable: overlay.ReplyTable,
	}
}
