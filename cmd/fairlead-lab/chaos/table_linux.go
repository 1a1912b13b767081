// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"fairlead/cmd/fairlead-lab/world"
	"fairlead/internal/chaos"
	"fairlead/internal/lab"
)

const tableName = "inet fairlead"

// noSuch is what nft prints about what it does not find.
const noSuch = "No such file or directory"

// listing is what nft prints about a table with -j.
type listing struct {
	chains, base, rules []string // as the end of a command
	sets                []set
	elements            []element
}

// set is a set or a map.
type set struct {
	kind, name string
	dynamic    bool // the kernel adds elements
}

// element is one element in nft's JSON.
type element struct {
	set string
	raw json.RawMessage
}

// table damages the table of a node as another program would.
func (r *runner) table(ctx context.Context, s chaos.Step) (string, error) {
	node := r.nodeOf(s)
	list, err := readTable(ctx, node)
	if err != nil && strings.Contains(err.Error(), noSuch) {
		return "there is no table", nil // the agent is away, and an earlier event deleted it
	}
	if err != nil {
		return "", err
	}
	command := list.damage(s)
	if command == "" {
		return "there is nothing to damage", nil
	}
	args := []string{command}
	if strings.HasPrefix(command, "{") {
		args = []string{"-j", command}
	}
	_, _, err = world.Output(ctx, node.Host, "nft", args...)
	if err != nil && strings.Contains(err.Error(), noSuch) {
		return command + " came too late", nil // the agent replaced what it names
	}
	return command, err
}

// damage returns the command for nft.
func (l *listing) damage(s chaos.Step) string {
	switch s.Kind {
	case chaos.Flush:
		return [...]string{"flush ruleset", "delete table " + tableName, "flush table " + tableName}[s.Pick%3]
	case chaos.Dormant:
		return "add table " + tableName + " { flags dormant; }"
	case chaos.Foreign:
		name := fmt.Sprintf("intruder-%d", s.Event)
		return fmt.Sprintf("add set %[1]s %[2]s { type ipv4_addr; }; add element %[1]s %[2]s { 192.0.2.1 }; add chain %[1]s %[2]s-c { type filter hook input priority 0; }; add rule %[1]s %[2]s-c counter", tableName, name)
	case chaos.Policy:
		return choose(l.base, s.Pick, "add chain "+tableName+" %s { policy drop; }")
	case chaos.Rule:
		return choose(l.rules, s.Pick, "delete rule "+tableName+" %s")
	case chaos.Chain:
		return choose(l.chains, s.Pick, "flush chain "+tableName+" %s")
	case chaos.Set:
		if len(l.sets) == 0 {
			return ""
		}
		one := l.sets[s.Pick%uint64(len(l.sets))]
		return fmt.Sprintf("flush %s %s %s", one.kind, tableName, one.name)
	case chaos.Element:
		if len(l.elements) == 0 {
			return ""
		}
		one := l.elements[s.Pick%uint64(len(l.elements))]
		return fmt.Sprintf(`{"nftables":[{"delete":{"element":{"family":"inet","table":"fairlead","name":%q,"elem":[%s]}}}]}`, one.set, one.raw)
	}
	return ""
}

// choose puts one word into a command, or returns nothing without words.
func choose(words []string, pick uint64, format string) string {
	if len(words) == 0 {
		return ""
	}
	return fmt.Sprintf(format, words[pick%uint64(len(words))])
}

// readTable lists the table of a node.
func readTable(ctx context.Context, node *lab.Node) (*listing, error) {
	// Some releases of nft warn that they cannot print all of our rules as JSON. Rules are
	// named by their handles here.
	text, _, err := world.Output(ctx, node.Host, "nft", "-j", "list", "table", "inet", "fairlead")
	if err != nil {
		return nil, err
	}
	return parseTable(text)
}

// jsonSet is a set or a map in nft's JSON.
type jsonSet struct {
	Name  string
	Flags []string
	Elem  []json.RawMessage
}

func parseTable(text string) (*listing, error) {
	var doc struct {
		Nftables []struct {
			Chain *struct{ Name, Hook string }
			Rule  *struct {
				Chain  string
				Handle int
			}
			Set, Map *jsonSet
		}
	}
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		return nil, fmt.Errorf("read what nft printed: %w", err)
	}
	var l listing
	for _, o := range doc.Nftables {
		switch {
		case o.Chain != nil:
			l.chains = append(l.chains, o.Chain.Name)
			if o.Chain.Hook != "" {
				l.base = append(l.base, o.Chain.Name)
			}
		case o.Rule != nil:
			l.rules = append(l.rules, fmt.Sprintf("%s handle %d", o.Rule.Chain, o.Rule.Handle))
		case o.Set != nil:
			l.add("set", o.Set)
		case o.Map != nil:
			l.add("map", o.Map)
		}
	}
	return &l, nil
}

func (l *listing) add(kind string, s *jsonSet) {
	dynamic := strings.Contains(strings.Join(s.Flags, " "), "dynamic")
	l.sets = append(l.sets, set{kind: kind, name: s.Name, dynamic: dynamic})
	for _, raw := range s.Elem {
		l.elements = append(l.elements, element{set: s.Name, raw: raw})
	}
}
