// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package cni makes a container runtime connect pods: it renders the one
// conflist, puts it where the runtime looks, and installs the plugins that the
// conflist names.
//
//	Config --Conflist()--> bytes --Install(file)--> /etc/cni/net.d/10-fairlead.conflist
//	image  --InstallPlugins(from, to)------------->  /opt/cni/bin/{ptp,host-local,...}
//
// A runtime takes the file as "this node accepts pods", so Install comes last,
// when everything that a pod's first packet needs is in the kernel. The order on
// a node is: InstallPlugins, sysctls, data path, Install; to take a node out,
// Remove comes first.
//
// # Files
//
// Files appear whole or not at all: a temporary file in the same directory is
// synced and renamed. containerd notices that as the renaming of the temporary
// file; it does not notice a file that is moved in from another directory
// (containerd/containerd#11715). A file with the right content is left untouched,
// because integrity monitors watch these directories (flannel-io/flannel#1108).
// The directories themselves are never removed: containerd would stop watching.
//
// The conflist asks no plugin for masquerade or port mappings. Both belong to
// the table inet fairlead.
//
// The package runs no program. It compares plugins by the build information that the
// Go linker leaves in them.
//
// # Concurrency
//
// Functions keep no state and may be called from any goroutine. Of two agents
// that write one file at the same time the later one wins.
package cni
