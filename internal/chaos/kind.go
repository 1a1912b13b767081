// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Kind is something that happens to a cluster.
type Kind uint8

// These are the kinds, by what they concern.
const (
	// Objects of the API server.
	Endpoints  Kind = iota // endpoints join and leave a Service
	Service                // a Service appears, and disappears
	APIServer              // the API server goes away, and returns
	Kill                   // the agent ends by SIGKILL at any instant, and starts again
	Stop                   // SIGSTOP, and SIGCONT: also what a suspended machine does
	Memory                 // the kernel ends the agent for want of memory, and it starts again
	Descriptor             // the agent can open no file
	ReadOnly               // the directory of CNI configurations is read-only, its file missing
	DiskFull               // that directory's disk is full, its file missing
	Flush                  // another program deletes the table
	Element                // deletes an element
	Rule                   // deletes a rule
	Chain                  // empties a chain
	Set                    // empties a set
	Foreign                // adds a chain, a set and an element of its own to the table
	Policy                 // sets the policy of a chain to drop
	Dormant                // makes the table dormant
	Device                 // deletes a tunnel device
	FDB                    // deletes a forwarding entry of a tunnel
	Route                  // deletes a route to pods of another node
	Neighbour              // deletes a neighbour entry of a tunnel
	Sysctl                 // turns forwarding off
	kinds
)

// promise says how often a kind happens and what the documentation promises for it.
type promise struct {
	name   string
	weight int
	// The thing lasts for a time between these; both are 0 for a single act.
	least, most time.Duration
	lane        lane
	// outage is for how long new connections may fail and established ones stall,
	// counted from the event or from when the agent of the node works again.
	outage time.Duration
	// resets means that the kernel translates no packet meanwhile. Then a pod meets packets
	// of its established connections under another address and resets them.
	resets bool
	// away means that the agent of the node cannot repair or follow while it lasts.
	away bool
}

// lane is what only one event at a time can use.
type lane uint8

const (
	noLane lane = iota
	agentLane
	diskLane
	apiLane
)

// repair is how long a repair may take: the agent waits up to 1 s between two loads of
// the table while others keep changing it, and notices some damage of the overlay late.
const repair = 2 * time.Second

// catchUp is how long an agent that was away takes to follow again. It covers the start
// of a process and the pauses between attempts to reach an API server.
const catchUp = 5 * time.Second

// reconnect is how long an agent takes to reach an API server again that was away more
// than once within some seconds.
const reconnect = 10 * time.Second

func promiseOf(k Kind) promise { return promises()[k] }

func promises() [kinds]promise {
	const ms = time.Millisecond
	return [kinds]promise{
		Endpoints:  {name: "endpoints", weight: 30},
		Service:    {name: "service", weight: 5, least: 300 * ms, most: 3000 * ms},
		APIServer:  {name: "api", weight: 2, least: 500 * ms, most: 3000 * ms, lane: apiLane, away: true},
		Kill:       {name: "kill", weight: 8, most: 1500 * ms, lane: agentLane, away: true},
		Stop:       {name: "stop", weight: 3, least: 500 * ms, most: 4000 * ms, lane: agentLane, away: true},
		Memory:     {name: "memory", weight: 2, least: 1000 * ms, most: 2000 * ms, lane: agentLane, away: true},
		Descriptor: {name: "descriptors", weight: 2, least: 500 * ms, most: 3000 * ms, lane: agentLane, away: true},
		ReadOnly:   {name: "readonly", weight: 2, least: 500 * ms, most: 3000 * ms, lane: diskLane},
		DiskFull:   {name: "full", weight: 2, least: 500 * ms, most: 3000 * ms, lane: diskLane},
		Flush:      {name: "flush", weight: 3, outage: repair, resets: true},
		Element:    {name: "element", weight: 8, outage: repair},
		Rule:       {name: "rule", weight: 4, outage: repair},
		Chain:      {name: "chain", weight: 3, outage: repair},
		Set:        {name: "set", weight: 3, outage: repair},
		Foreign:    {name: "foreign", weight: 3, outage: repair},
		Policy:     {name: "policy", weight: 2, outage: repair},
		Dormant:    {name: "dormant", weight: 2, outage: repair, resets: true},
		Device:     {name: "device", weight: 2, outage: repair},
		FDB:        {name: "fdb", weight: 2, outage: repair},
		Route:      {name: "route", weight: 3, outage: repair},
		Neighbour:  {name: "neighbour", weight: 2, outage: repair},
		Sysctl:     {name: "sysctl", weight: 2, outage: repair},
	}
}

// String returns the word for flags and output.
func (k Kind) String() string {
	if k >= kinds {
		return fmt.Sprintf("kind %d", uint8(k))
	}
	return promiseOf(k).name
}

// Lasts reports whether a kind has an end that is a step of its own.
func (k Kind) Lasts() bool { return promiseOf(k).most > 0 }

// Kinds returns all kinds.
func Kinds() []Kind {
	out := make([]Kind, kinds)
	for i := range out {
		out[i] = Kind(i)
	}
	return out
}

// Share is a kind and how often it happens, in relation to the other kinds.
type Share struct {
	Kind   Kind
	Weight int
}

// AllKinds returns every kind with its usual share.
func AllKinds() []Share {
	var out []Share
	for _, k := range Kinds() {
		out = append(out, Share{k, promiseOf(k).weight})
	}
	return out
}

// maxWeight bounds what a user writes.
const maxWeight = 1000

// ParseShares reads words such as "kill" and "kill=20". No words mean all kinds.
func ParseShares(words []string) ([]Share, error) {
	if len(words) == 0 {
		return AllKinds(), nil
	}
	var out []Share
	for _, word := range words {
		name, weight, weighted := strings.Cut(word, "=")
		i := slices.IndexFunc(AllKinds(), func(s Share) bool { return s.Kind.String() == name })
		if i < 0 {
			return nil, fmt.Errorf("event %q is unknown, choose from %s", name, strings.Join(names(), ", "))
		}
		share := AllKinds()[i]
		if weighted {
			n, err := strconv.Atoi(weight)
			if err != nil || n < 1 || n > maxWeight {
				return nil, fmt.Errorf("weight %q of event %s is not a number from 1 to %d", weight, name, maxWeight)
			}
			share.Weight = n
		}
		if slices.ContainsFunc(out, func(s Share) bool { return s.Kind == share.Kind }) {
			return nil, fmt.Errorf("event %s is named twice", name)
		}
		out = append(out, share)
	}
	return out, nil
}

func names() []string {
	var out []string
	for _, k := range Kinds() {
		out = append(out, k.String())
	}
	return out
}
