// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"fairlead/cmd/fairlead/view"
	"fairlead/internal/inet"
	"fairlead/nat/evaluate"
)

// Path is what becomes of connections from one client to one address.
type Path struct {
	To    string `json:"to"`              // "10.96.0.10:80/tcp"
	Owner string `json:"owner,omitempty"` // "namespace/name:port"
	From  string `json:"from"`            // in words
	// Source is the client's address.
	Source string `json:"source,omitempty"`
	// Result is what becomes of connections: "translated", "rejected", "dropped",
	// "unchanged" or "unreachable".
	Result   string    `json:"result"`
	Summary  string    `json:"summary"` // a sentence about Result
	Steps    []Step    `json:"steps,omitempty"`
	Backends []Backend `json:"backends,omitempty"`
	Findings []Finding `json:"findings,omitempty"`
}

// Step is a rule of the table that did something, in words.
type Step struct {
	Text string `json:"text"`
	evaluate.Step
}

// Backend is a destination that connections may get.
type Backend struct {
	Address string  `json:"address"`
	Share   float64 `json:"share"` // probability
	Pod     string  `json:"pod,omitempty"`
	Node    string  `json:"node,omitempty"`
	// Masquerade is the address that the destination sees instead of the client's.
	Masquerade string `json:"masquerade,omitempty"`
	Hop        Hop    `json:"hop"`
	Steps      []Step `json:"steps,omitempty"` // that other backends do not have
}

// Results of a Path.
const (
	Translated  = "translated"
	Rejected    = "rejected"
	Dropped     = "dropped"
	Unchanged   = "unchanged"
	Unreachable = "unreachable"
)

// maxBackends bounds the backends of a Path.
const maxBackends = 200

// path evaluates the table for one connection.
func (p *Picture) path(c *client, to inet.Addr, owner string) Path {
	wanted, known := p.wantedAt(to)
	if owner == "" {
		owner = wanted.Owner
	}
	out := Path{To: to.String(), Owner: owner, From: c.words}
	if p.rules == nil || p.Network == nil {
		out.Result, out.Summary = Unreachable, "The table or the routes of this node could not be read."
		return out
	}
	pk, why := p.packet(c, to)
	if why != "" {
		out.Result, out.Summary = Unreachable, why
		return out
	}
	out.Source = pk.Src.Addr().String()
	outcomes := p.rules.Evaluate(pk, kernel{p.Network})
	common := evaluate.Common(outcomes)
	what := frontendFacts{owner: owner, known: known, backends: len(wanted.Backends)}
	out.Steps = what.stepsOf(common)
	for i := range outcomes {
		p.add(&out, &outcomes[i], pk, len(common), &what)
	}
	p.summarise(&out, outcomes, known)
	if c.node != "" {
		out.Findings = append(out.Findings, Finding{"other-node", fmt.Sprintf("The client runs on %s, whose own table decides; this is what the table of this node would do.", c.node), "Run the command on " + c.node + "."})
	}
	out.Findings = unique(out.Findings)
	return out
}

// add adds one outcome.
func (p *Picture) add(out *Path, o *evaluate.Outcome, pk evaluate.Packet, common int, what *frontendFacts) {
	for _, u := range o.Uncertain {
		out.Findings = append(out.Findings, Finding{"uncertain", "A rule could not be evaluated, and counts as not matching: " + u + ".", "See fairlead table: the rule is of another program."})
	}
	if last := len(o.Steps) - 1; o.Verdict == evaluate.Drop && last >= 0 && strings.HasPrefix(o.Steps[last].Chain, "allowed") {
		out.Findings = append(out.Findings, Finding{"source-ranges", fmt.Sprintf("The client %s is in none of the ranges of loadBalancerSourceRanges, so its connections to %s are dropped.", pk.Src.Addr(), out.To),
			"Add the range of the client to spec.loadBalancerSourceRanges. --from explains another client."})
	}
	if o.Verdict != evaluate.Accept && o.Verdict != evaluate.NoRoute || len(out.Backends) == maxBackends {
		return
	}
	var forwarding map[string]string
	if pk.IIF != "" {
		forwarding = p.Sysctls
	}
	b := Backend{
		Address: o.To.String(), Share: o.Probability, Steps: what.stepsOf(o.Steps[common:]),
		Hop: p.hopTo(view.Way{Src: pk.Src.Addr(), Dst: o.To.Addr(), IIF: pk.IIF, Mark: o.Mark}, forwarding),
	}
	b.Pod, b.Node = p.podAt(o.To.Addr())
	if o.Masquerade {
		b.Masquerade = "an address of this node"
		if b.Hop.source.IsValid() {
			b.Masquerade = b.Hop.source.String()
		}
	}
	if b.Hop.Broken != "" {
		out.Findings = append(out.Findings, Finding{"unreachable", fmt.Sprintf("Packets to %s get lost: %s.", b.Address, b.Hop.Broken), b.Hop.Remedy})
	}
	out.Backends = append(out.Backends, b)
}

// podAt returns the pod with an address, and its node, as slices and Pods say.
func (p *Picture) podAt(ip netip.Addr) (pod, node string) {
	if p.byIP == nil {
		p.byIP = map[string]ref{}
		for key, r := range p.refs() {
			p.byIP[lastWord(key)] = r
		}
		for _, pod := range p.pods {
			if !pod.Spec.HostNetwork && pod.Status.PodIP != "" {
				p.byIP[pod.Status.PodIP] = ref{pod: pod.Name, node: pod.Spec.NodeName}
			}
		}
	}
	r := p.byIP[ip.String()]
	return r.pod, r.node
}

// summarise says what becomes of connections. wanted is set if the objects give the address to a
// Service.
func (p *Picture) summarise(out *Path, outcomes []evaluate.Outcome, wanted bool) {
	var lost float64
	for i := range outcomes {
		o := &outcomes[i]
		switch o.Verdict {
		case evaluate.Drop:
			out.Result, out.Summary = Dropped, "Connections are dropped without an answer."
			lost += o.Probability
		case evaluate.Reject:
			out.Result, out.Summary = Rejected, "Connections are rejected with ICMP port unreachable."
			lost += o.Probability
		}
	}
	switch {
	case lost > 0 && lost < 0.999:
		out.Summary = fmt.Sprintf("%s of connections are lost: %s", percent(lost), out.Summary)
	case lost > 0:
	case outcomes[0].Verdict == evaluate.NoRoute:
		out.Result, out.Summary = Unreachable, "This node has no route for the packets."
	case outcomes[0].Translated:
		out.Result = Translated
		out.Summary = fmt.Sprintf("Connections reach %s.", endpoints(len(out.Backends)))
		if broken := brokenOf(out.Backends); broken > 0 {
			out.Summary = fmt.Sprintf("Connections go to %s, %d of which cannot be reached.", endpoints(len(out.Backends)), broken)
		}
	default:
		whose := "No Service has the address."
		if wanted || slices.ContainsFunc(outcomes[0].Steps, isFrontend) {
			whose = fmt.Sprintf("The address belongs to %s, and the table in the kernel lacks what would translate or reject the packets.", ownerWords(out.Owner))
			out.Findings = append(out.Findings, Finding{"not-translated", fmt.Sprintf("Connections to %s are neither translated nor rejected: the table in the kernel lacks an element or a rule for %s.", out.To, ownerWords(out.Owner)),
				"A running agent repairs this at once: check that it runs and read its log."})
		}
		out.Result, out.Summary = Unchanged, whose+" "+unchangedWords(&outcomes[0])
	}
}

// unchangedWords says where packets go that are not translated.
func unchangedWords(o *evaluate.Outcome) string {
	switch {
	case o.Masquerade:
		return "Packets go there with an address of this node."
	case o.Local:
		return "Packets go to this node itself."
	}
	return "Packets go there unchanged."
}

func brokenOf(list []Backend) int {
	n := 0
	for i := range list {
		if list[i].Hop.Broken != "" {
			n++
		}
	}
	return n
}

func endpoints(n int) string {
	if n == 1 {
		return "1 endpoint"
	}
	return fmt.Sprintf("%d endpoints", n)
}

func percent(p float64) string {
	if p > 0 && p < 0.001 {
		return "less than 0.1 %"
	}
	return fmt.Sprintf("%.3g %%", 100*p)
}
