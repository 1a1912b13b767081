// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// Reply is what came of one connection.
type Reply struct {
	Server string     // what the server calls itself
	Source netip.Addr // the client, as the server sees it
	Local  netip.Addr // the client, as it sees itself
}

// Result is what came of a check.
type Result struct {
	Check
	Passed bool `json:"passed"`
	// Problem says what was wrong.
	Problem string `json:"problem,omitempty"`
	// Attempts is how often the check was tried until it passed. Objects need a moment
	// until all nodes know them.
	Attempts int     `json:"attempts,omitempty"`
	Millis   float64 `json:"milliseconds"` // of the last attempt
	// Next is the command that finds the cause.
	Next string `json:"next,omitempty"`
}

// Judge says what is wrong with the answers to a check; "" is nothing. err is why there
// are fewer than wanted.
func (w Want) Judge(replies []Reply, addrs []netip.Addr, err error) string {
	if w.Silence() {
		if len(replies) > 0 {
			return fmt.Sprintf("%s answered", replies[0].Server)
		}
		return ""
	}
	if err != nil {
		if n := len(replies); n > 0 {
			return fmt.Sprintf("%v, after %d connections", err, n)
		}
		return err.Error()
	}
	if len(w.Addrs) > 0 {
		return w.judgeAddrs(addrs)
	}
	if w.Any {
		return ""
	}
	return w.judgeReplies(replies)
}

func (w Want) judgeReplies(replies []Reply) string {
	servers := map[string]int{}
	for _, r := range replies {
		servers[r.Server]++
		if !slices.Contains(w.Servers, r.Server) {
			return fmt.Sprintf("%s answered", r.Server)
		}
		if w.Source && r.Source != r.Local {
			return fmt.Sprintf("the server sees the client as %s instead of %s", r.Source, r.Local)
		}
	}
	names := strings.Join(slices.Sorted(maps.Keys(servers)), ", ")
	switch {
	case w.Spread && len(servers) == 1:
		return fmt.Sprintf("all of %d connections went to %s", len(replies), names)
	case w.Same && len(servers) > 1:
		return fmt.Sprintf("%d connections went to %s", len(replies), names)
	}
	return ""
}

func (w Want) judgeAddrs(addrs []netip.Addr) string {
	want, got := joined(w.Addrs), joined(addrs)
	if want != got {
		return "the name stands for " + got
	}
	return ""
}

// NextCommand returns the command that finds the cause of a failure, and the node where to
// run it.
func (c *Check) NextCommand() (command, node string) {
	from, node := "pod", c.From.Node
	switch {
	case node == "":
		from = "outside"
	case c.From.Host:
		from = "node"
	}
	if c.To != "" && c.To != node && (c.Kind == NodePort || c.Kind == ExternalLocal || c.Kind == HostPort) {
		from, node = "outside", c.To // that node chooses the endpoint
	}
	switch c.Kind {
	case Setup, Pod, NodeAddress, Egress:
		return "fairlead check", node
	case DNS, Headless:
		return fmt.Sprintf("fairlead explain --from %s kube-system/kube-dns:53/%s", from, c.Proto), node
	}
	return fmt.Sprintf("fairlead explain --from %s %s", from, c.Address()), node
}

// Failed says that the check was tried and did not pass.
func (r *Result) Failed() bool { return !r.Passed && r.Skip == "" }

// Address returns the target with its protocol; "" is none.
func (c *Check) Address() string {
	if c.Target == "" || c.Proto == "" {
		return c.Target
	}
	return c.Target + "/" + string(c.Proto)
}

// Where returns what is tried and by which address.
func (c *Check) Where() string {
	if a := c.Address(); a != "" && a != c.What {
		return c.What + " (" + a + ")"
	}
	return c.What
}
