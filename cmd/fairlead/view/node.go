// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package view is what the commands that show, explain and check may know of a node. A
// command takes a Node and does not see whether it is the node that it runs on, or a
// bundle that was written elsewhere. The package does no I/O.
package view

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	corev1 "k8s.io/api/core/v1"

	"fairlead/cmd/fairlead/doctor/finding"
	"fairlead/nat/listing"
	"fairlead/proxier/resolve"
)

// Node is a node as commands read it. Each method reads its part anew, so a command
// reads what it needs, once. The methods of one Node are not safe for concurrent use.
//
// An error that wraps ErrAbsent means that this Node has no such part; a command then
// does what it can without. All other errors say what could not be read.
type Node interface {
	About(ctx context.Context) (*About, error)
	// Config is the configuration of the agent, as far as the command knows it.
	Config(ctx context.Context) (*Config, error)
	// Table is the table of fairlead in the kernel.
	Table(ctx context.Context) (*listing.Table, error)
	// Objects are the API objects that tables are made of.
	Objects(ctx context.Context) (*Objects, error)
	// Pods are the Pods of a namespace, or of all namespaces for "".
	Pods(ctx context.Context, namespace string) ([]*corev1.Pod, error)
	// Network is the network stack of the node, apart from packet filters.
	Network(ctx context.Context) (*Network, error)
	// Sysctls are the settings that concern forwarding, by path below /proc/sys.
	Sysctls(ctx context.Context) (map[string]string, error)
	// Conntrack says how full the table of flows is.
	Conntrack(ctx context.Context) (*Conntrack, error)
	// CNI are the files of the directory in which the runtime looks for networks.
	CNI(ctx context.Context) ([]CNIFile, error)
	// Logs are the ends of the agent's logs, or the reasons why there are none.
	Logs(ctx context.Context) ([]Log, error)
	// Check is the outcome of all checks of the node. On a node that is live it sends packets
	// to other nodes.
	Check(ctx context.Context) (*finding.Report, error)
	// Agent is the state of the running agent, as its socket reports it.
	Agent(ctx context.Context) (json.RawMessage, error)
}

// ErrAbsent means that a Node does not have a part, for example a bundle that was
// written without API objects.
var ErrAbsent = errors.New("not available")

// About says which node it is and when it was read.
type About struct {
	Time    time.Time `json:"time"`
	Host    string    `json:"host"`    // host name
	Kernel  string    `json:"kernel"`  // release, for example "6.12.8"
	Version string    `json:"version"` // of the fairlead that read it
	// Redacted says what gave way to pseudonyms: "addresses", "names".
	Redacted []string `json:"redacted,omitempty"`
}

// Config is the part of the agent's configuration that commands use.
type Config struct {
	Table resolve.Config `json:"table"` // what the table depends on, beside objects
	// CNIConfDir is the directory of the container runtime's networks.
	CNIConfDir string `json:"cniConfDir,omitempty"`
	// Source is where the configuration comes from: "flags", or the process of the agent.
	Source string `json:"source,omitempty"`
}

// Conntrack says how full the kernel's table of flows is.
type Conntrack struct {
	Entries uint32 `json:"entries"`
	Limit   uint32 `json:"limit"`   // 0 if the kernel does not say
	Dropped uint32 `json:"dropped"` // packets, because the table had no room
}

// Log is the end of a log of the agent.
type Log struct {
	From  string   `json:"from"` // the agent, a file, or a Pod and its container
	Lines []string `json:"lines,omitempty"`
	Cut   bool     `json:"cut,omitempty"` // the log has earlier lines
	Error string   `json:"error,omitempty"`
}

// CNIFile is a file of the runtime's directory of networks, in the order in which the
// runtime reads them.
type CNIFile struct {
	Name string `json:"name"`
	Text string `json:"text"`
}
