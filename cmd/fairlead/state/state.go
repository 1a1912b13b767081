// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package state holds the words in which an agent describes itself to commands and to
// its status page. It does no I/O. Lists are bounded by the agent; the number of entries
// that were left out is beside them.
package state

import "time"

// Protocol names the format of the answers. Within a protocol fields are added and
// none changes its meaning, so a command works with older and newer agents.
const Protocol = "fairlead/v1"

// Path of the answer, over the socket. The metrics port serves it as PortPath.
const (
	Path     = "/v1/state"
	PortPath = "/state"
	LogPath  = "/v1/log" // of a Log, over the socket only
)

// Log is the answer of LogPath: the last lines of the agent's log, at its verbosity.
type Log struct {
	Protocol string   `json:"protocol"`
	Lines    []string `json:"lines"`
	Cut      bool     `json:"cut,omitempty"` // there were lines before
}

// State is the answer of Path. Parts that the agent does not have are nil.
type State struct {
	Protocol string    `json:"protocol"`
	Time     time.Time `json:"time"` // of the answer
	Version  string    `json:"version"`
	Kernel   string    `json:"kernel"`
	Node     string    `json:"node"`
	PID      int       `json:"pid"` // in the agent's PID namespace
	Since    time.Time `json:"since"`
	Ready    bool      `json:"ready"`             // as /readyz
	Unready  string    `json:"unready,omitempty"` // the reason

	APIServer *APIServer `json:"apiServer,omitempty"`
	Manifests string     `json:"manifests,omitempty"`
	Table     Table      `json:"table"`
	Counts    Counts     `json:"counts"`
	Overlay   *Overlay   `json:"overlay,omitempty"`
	CNI       *CNI       `json:"cni,omitempty"`
	Conntrack *Conntrack `json:"conntrack,omitempty"`
	// SourceCheck is nil if pods may send with any source address.
	SourceCheck *SourceCheck `json:"sourceCheck,omitempty"`
	LastSync    *Sync        `json:"lastSync,omitempty"`

	Problems     []Problem `json:"problems"`
	ProblemCount int       `json:"problemCount"` // with those that were left out

	// The last ones, oldest first.
	Repairs     []Repair      `json:"repairs"`
	Syncs       []Sync        `json:"syncs"`
	Programming []Programming `json:"programming"`

	Flags map[string]any `json:"flags,omitempty"` // the effective ones by name
}

// APIServer says whether the agent reaches the API server.
type APIServer struct {
	URL string `json:"url"`
	// Reached is the time since which requests are answered. It is nil while they are
	// not.
	Reached *time.Time `json:"reached,omitempty"`
	// Away is the time since which requests are not answered. It is nil while they are,
	// and before the first request.
	Away        *time.Time `json:"away,omitempty"`
	LastContact *time.Time `json:"lastContact,omitempty"` // of the last answer
	LastError   string     `json:"lastError,omitempty"`   // stays after the server is back
	LastErrorAt *time.Time `json:"lastErrorAt,omitempty"`
	// Watches say for each kind of object when the server was last heard, and up to which
	// revision. The agent does not ask how far the server's revision is ahead: that would be
	// one more request of each node. Compare finds an agent that is behind others.
	Watches []Watch `json:"watches,omitempty"`
}

// Watch is the stream of changes of one kind of objects.
type Watch struct {
	Kind string `json:"kind"`
	// LastHeard is the time of the last list, event or bookmark. Servers send a bookmark
	// about once a minute, also if nothing changes.
	LastHeard time.Time `json:"lastHeard"`
	// SilentSeconds is how long before the answer that was. What the agent knows of the kind
	// is no older, unless the network holds back what the server sent.
	SilentSeconds float64 `json:"silentSeconds"`
	// Revision is the resourceVersion up to which the server has sent everything. Revisions
	// of one kind can be compared, those of different kinds need not (KEP-5504).
	Revision string `json:"revision,omitempty"`
}

// Table is the table in the kernel, compared with the wanted one.
type Table struct {
	InSync bool `json:"inSync"`
	// BehindSeconds is how long a change has waited for the kernel.
	BehindSeconds float64    `json:"behindSeconds"`
	LastInSync    *time.Time `json:"lastInSync,omitempty"`
	Repairs       int        `json:"repairs"` // since the agent started
	LastRepair    *Repair    `json:"lastRepair,omitempty"`
}

// Counts are numbers of objects, and of what the table has for them.
type Counts struct {
	Services  int `json:"services"`
	Endpoints int `json:"endpoints"` // of all EndpointSlices
	Nodes     int `json:"nodes"`
	Frontends int `json:"frontends"` // addresses and ports in the table
	Backends  int `json:"backends"`  // endpoints in the table, counted for each frontend
}

// Overlay is the network between the pods of different nodes.
type Overlay struct {
	Mode    string   `json:"mode"`
	Ready   bool     `json:"ready"`
	MTU     int      `json:"mtu,omitempty"`
	Devices []string `json:"devices,omitempty"`
	Probed  bool     `json:"probed"` // packets to peers are probed
	// Peers are other nodes, first those that do not answer.
	Peers     []Peer `json:"peers"`
	PeerCount int    `json:"peerCount"` // with those that were left out
	LostCount int    `json:"lostCount"`
}

// Peer is another node of the overlay.
type Peer struct {
	Node     string   `json:"node"`
	Addrs    []string `json:"addrs,omitempty"`    // of the node
	PodCIDRs []string `json:"podCIDRs,omitempty"` // of its pods
	Missed   int      `json:"missed,omitempty"`   // probes without an answer in a row; few are no fault
	Lost     bool     `json:"lost,omitempty"`
}

// CNI is the configuration from which the container runtime learns how to connect pods.
type CNI struct {
	File    string `json:"file"`
	Written bool   `json:"written"`
}

// Conntrack says how full the connection tracking table is.
type Conntrack struct {
	Entries uint32 `json:"entries"`
	Limit   uint32 `json:"limit"` // 0 if the kernel does not say
}

// SourceCheck counts the packets of pods that were dropped because their source address
// is not the pod's own.
type SourceCheck struct {
	Interfaces []string   `json:"interfaces"` // of pods, which are checked; a * at the end stands for any ending
	Dropped    uint64     `json:"dropped"`    // since the agent runs
	Last       *time.Time `json:"last,omitempty"`
}

// Problem is a fault of an object or of a part of the node.
type Problem struct {
	Kind  string `json:"kind"`
	Name  string `json:"name"`
	Field string `json:"field,omitempty"`
	Text  string `json:"text"`
}

// String returns the problem in one line.
func (p Problem) String() string {
	s := p.Kind + " " + p.Name
	if p.Field != "" {
		s += ": " + p.Field
	}
	return s + ": " + p.Text
}

// Repair is a repair of the table after another program changed it.
type Repair struct {
	Time  time.Time `json:"time"`
	By    string    `json:"by"`    // the program
	Found string    `json:"found"` // the differences
}

// Sync is a round of the loop.
type Sync struct {
	Time        time.Time `json:"time"` // of its end
	TookSeconds float64   `json:"tookSeconds"`
	Error       string    `json:"error,omitempty"`
}

// Programming is a change of endpoints that reached the kernel.
type Programming struct {
	Time        time.Time `json:"time"`
	TookSeconds float64   `json:"tookSeconds"` // since the change was made in the API
}
