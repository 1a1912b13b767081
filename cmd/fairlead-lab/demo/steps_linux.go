// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package demo

import "context"

// step is one scene of the demo. It prints what was done and seen. Its error ends
// the demo, because the next step depends on it.
type step struct {
	title string
	run   func(context.Context, *demo) error
}

// scenario returns the steps in their order. Each has its own file.
func scenario() []step {
	return []step{
		{"A cluster comes up: nodes, pods and a client outside, each in a namespace of its own", stepCluster},
		{"An agent starts on each node and finds the Service web in a YAML file", stepAgents},
		{"Packets between nodes travel in tunnels, those to the world under the node's address", stepTunnel},
		{"The Service answers under every address, from everywhere", stepReach},
		{"Connections spread evenly over the pods", stepSpread},
		{"A pod joins the Service", stepJoin},
		{"All pods are replaced, one after the other, under load", stepRollout},
		{"A UDP client and a sticky client outlive their pods", stepClients},
		{"A node leaves and another joins, under load", stepNodes},
		{"An agent is killed and started again", stepRestart},
		{"Somebody flushes all of nftables", stepRepair},
		{"A Service without pods refuses", stepRefuse},
		{"The table, as nft prints it", stepTable},
	}
}
