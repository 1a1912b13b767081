// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"fmt"
	"slices"
	"strings"

	"fairlead/nat/evaluate"
	"fairlead/nat/ruleset"
)

// frontendFacts is what the objects say about an address.
type frontendFacts struct {
	owner    string
	known    bool // a Service has the address
	backends int  // that it should have
}

// empty says why a packet gets no endpoint.
func (f *frontendFacts) empty() string {
	if f.backends > 0 {
		return fmt.Sprintf("which has %s, but the table in the kernel leads the packet to none", endpoints(f.backends))
	}
	return "which has no endpoint"
}

// stepsOf puts steps into words. It leaves out rules that only lead to another chain.
func (f *frontendFacts) stepsOf(list []evaluate.Step) []Step {
	var out []Step
	empty := slices.ContainsFunc(list, isEmptyDraw)
	for _, s := range list {
		if text := f.words(&s, empty); text != "" {
			out = append(out, Step{text, s})
		}
	}
	return out
}

// isEmptyDraw reports whether a step refuses a packet because the Service has no endpoint in slot 0.
func isEmptyDraw(s evaluate.Step) bool {
	return strings.HasPrefix(strings.TrimPrefix(s.Chain, "node-"), "draw") && s.Rule == "reject"
}

// isFrontend reports whether a step found the address of a Service.
func isFrontend(s evaluate.Step) bool {
	set, ok := ruleset.SetNamed(s.Set)
	return ok && (set.Kind == ruleset.VIPs || set.Kind == ruleset.NodePorts) && s.Owner != ""
}

// ownerWords names the Service of an address.
func ownerWords(owner string) string {
	if owner == "" {
		return "no known Service"
	}
	return owner
}

// phrase says what a rule does, by a part of its text.
type phrase struct{ chain, part, text string }

// phrases are tried in order. An empty part or chain fits all; an empty text leaves the
// step out.
func phrases() []phrase {
	return []phrase{
		{"services", "@cluster-ips", "The address is a ClusterIP, and no Service has this port of it."},
		{"services", "@service-cidrs", "The address is in a range of ClusterIPs, and no Service has it."},
		{"", "@hostports", "The port of this node belongs to a pod."},
		{"", "@hostip-ports", "The port at this address of the node belongs to a pod."},
		{"draw", "reject", "The packet is answered with ICMP port unreachable."},
		{"refuse", "reject", "The packet is answered with ICMP port unreachable."},
		{"allowed", "@sources", "The client is in a range of loadBalancerSourceRanges."},
		{"allowed", "drop", "The client is in no range of loadBalancerSourceRanges."},
		{"remember", "update @", "The table remembers the endpoint for the client."},
		{"remember", "", ""},
		{"", "map @local-affinity", "Session affinity keeps the client with the endpoint on this node that it had."},
		{"", "affinity", "Session affinity keeps the client with the endpoint that it had."},
		{"", "numgen", "An endpoint is drawn."},
		{"", "@hairpin", "The endpoint connects to itself, so the packet needs masquerade."},
		{"postrouting", "@egress", "A pod of this node connects to a host outside of the cluster, so the packet needs masquerade."},
		{"postrouting", "ct status dnat", "A loopback address cannot leave the node, so the packet needs masquerade."},
		{"postrouting", "meta mark &", ""},
		{"masq", "", "The packet gets an address of this node as its source."},
		{"source-check", "fib saddr", "The source address is not routed to the interface that the packet came by, so the packet is forged."},
		{"source-check", "", "A loopback address arrived on a wire."},
		{"tunnel", "drop", "The packet pretends to be one of the overlay's tunnels."},
		{"invalid", "drop", "Connection tracking finds the packet invalid."},
		{"", "fib saddr type local", "The client is this node, which policy Local lets reach every endpoint; the packet is marked for masquerade."},
		{"", "@vteps", "The client is this node, which policy Local lets reach every endpoint."},
		{"", "meta mark set meta mark |", "The packet is marked for masquerade, so that replies come back through this node."},
		{"", "goto pick-locals", "Policy Local: only endpoints on this node may take connections from outside of the cluster."},
		{"", "goto node-pick-locals", "Policy Local: only endpoints on this node may take connections from outside of the cluster."},
		{"", "goto sticky-", ""},
		{"", "goto pick", ""},
		{"", "goto node-pick", ""},
		{"", "goto draw", ""},
		{"", "goto node-draw", ""},
		{"", "jump draw", ""},
		{"", "jump node-draw", ""},
		{"", "jump services", ""},
		{"", "jump allowed", ""},
		{"local", "drop", "Policy Local: no endpoint runs on this node, and the client is outside of the cluster."},
		{"", "policy drop", "The policy of the chain drops the packet."},
	}
}

// words describes a step of a packet. Empty says that the packet gets no endpoint.
func (f *frontendFacts) words(s *evaluate.Step, empty bool) string {
	if set, ok := ruleset.SetNamed(s.Set); ok && (set.Kind == ruleset.VIPs || set.Kind == ruleset.NodePorts) {
		return f.frontendWords(s, set, empty)
	}
	if empty && ruleset.Serves(s.Chain) {
		return "" // how an endpoint would have been chosen
	}
	if f.known && s.Chain == "services" && (strings.Contains(s.Rule, "@cluster-ips") || strings.Contains(s.Rule, "@service-cidrs")) {
		return fmt.Sprintf("The address belongs to %s, and the table in the kernel does not have it among those of Services.", ownerWords(f.owner))
	}
	for _, ph := range phrases() {
		chain := strings.TrimPrefix(strings.TrimPrefix(s.Chain, "node-"), "guarded-")
		if !strings.HasPrefix(strings.TrimPrefix(chain, "sticky-"), ph.chain) || !strings.Contains(s.Rule, ph.part) {
			continue
		}
		if s.Owner != "" && strings.Contains(ph.part, "host") {
			return fmt.Sprintf("The port of this node belongs to pod %s.", s.Owner)
		}
		return ph.text
	}
	if !ruleset.IsChainName(s.Chain) {
		return "A chain of another program decides."
	}
	if strings.HasPrefix(s.Rule, "goto ") || strings.HasPrefix(s.Rule, "jump ") {
		return ""
	}
	return "A rule decides that fairlead does not write."
}

// frontendWords describes what the address leads to.
func (f *frontendFacts) frontendWords(s *evaluate.Step, set ruleset.Set, empty bool) string {
	owner := ownerWords(s.Owner)
	_, verdict, _ := strings.Cut(s.Element, " : ")
	verdict = strings.TrimPrefix(verdict, "goto ")
	what := "address"
	if set.Kind == ruleset.NodePorts {
		what = "node port"
	}
	shape, ok := ruleset.ShapeOfVerdict(verdict, set.Family, set.Kind == ruleset.NodePorts)
	switch {
	case !ok:
		return fmt.Sprintf("The %s belongs to %s, and leads to chain %s.", what, owner, verdict)
	case shape.PolicyWord() == "drop":
		return fmt.Sprintf("The %s belongs to %s, which has no endpoint on this node and policy Local.", what, owner)
	case empty, shape.PolicyWord() == "reject":
		return fmt.Sprintf("The %s belongs to %s, %s.", what, owner, f.empty())
	}
	text := fmt.Sprintf("The %s belongs to %s, and chain %s serves it", what, owner, verdict)
	if shape.IsGuarded() {
		text += ", for clients in its source ranges"
	}
	return text + "."
}

// lastWord returns what follows the last space.
func lastWord(s string) string { return s[strings.LastIndexByte(s, ' ')+1:] }
