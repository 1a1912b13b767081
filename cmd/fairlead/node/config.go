// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package node does what the agent does to its node beside Services and overlay:
// the CNI configuration, kernel settings, other firewalls, conntrack limits,
// flannel's annotations, and the removal of programs that fairlead replaces.
package node

import (
	"time"

	"fairlead/internal/leftovers"
)

// readyInterval is the time between two checks whether the data path is ready.
const readyInterval = time.Second

// Config says what the agent does to its node. The zero value does nothing.
type Config struct {
	Active    bool   // the agent provides the pods' network or a part of it
	MTU       int    // of pods on a node without an overlay; 0 is the kernel's
	MasqFile  string // configuration file of ip-masq-agent; "" is none
	CNI       CNI
	Conntrack Conntrack
	SysctlDir string // where /proc/sys/net is writable

	SetSysctls   bool // set the kernel settings that pods need, instead of reporting them
	OpenFirewall bool // add accept rules to other firewalls, instead of reporting them
	SetCondition bool // set the Node's condition NetworkUnavailable to False
	// KernelChecksums are the kinds of devices for whose packets the kernel computes
	// checksums, instead of the network card.
	KernelChecksums []Checksums
	// AnnounceUnderlay writes the overlay's addresses into an annotation of the Node.
	AnnounceUnderlay bool
	// ProbePeers is the time between two probes of a peer through the tunnel; 0 is never.
	ProbePeers time.Duration

	Replace []leftovers.Owner // whose leftovers are removed
}

// CNI says how the container runtime connects pods.
type CNI struct {
	ConfDir     string // where the conflist is written; "" writes none
	BinDir      string // where the runtime looks for plugins
	PluginsFrom string // plugins to install in BinDir; "" installs none
	Plugin      string // cni.PTP or cni.Bridge
	DataDir     string // of the host-local plugin
	Name        string // of the network; "" is the default
}
