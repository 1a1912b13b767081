// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package ruleset

import (
	"fmt"
	"strings"

	"fairlead/internal/inet"
)

// WriteTable returns a table of these elements, as text by set, and chains.
func WriteTable(onDemand []Set, elements map[Set][]string, chains []Chain) string {
	var w strings.Builder
	fmt.Fprintf(&w, "table inet %s {\n", TableName)
	write := func(s Set) {
		WriteSet(&w, s, elements[s])
		w.WriteByte('\n')
	}
	AllSets(write)
	for _, s := range onDemand {
		write(s)
	}
	for i := range chains {
		if i > 0 {
			w.WriteByte('\n')
		}
		writeChain(&w, &chains[i])
	}
	w.WriteString("}\n")
	return w.String()
}

// WriteSet writes the declaration of a set with its elements as nft prints it.
func WriteSet(w *strings.Builder, s Set, elements []string) {
	word := "set"
	if s.Spec().IsMap() {
		word = "map"
	}
	fmt.Fprintf(w, "\t%s %s {\n\t\t%s\n", word, s, s.typeText())
	if s.Spec().Learnt {
		fmt.Fprintf(w, "\t\tsize %d\n\t\tflags dynamic,timeout\n", s.size())
	}
	if s.Spec().Ranges {
		w.WriteString("\t\tflags interval\n")
	}
	if len(elements) > 0 {
		fmt.Fprintf(w, "\t\telements = { %s }\n", strings.Join(elements, ",\n\t\t\t     "))
	}
	w.WriteString("\t}\n")
}

func writeChain(w *strings.Builder, c *Chain) {
	fmt.Fprintf(w, "\tchain %s {\n", c.Name)
	if c.Hook != nil {
		fmt.Fprintf(w, "\t\t%s\n", c.Hook.Text)
	}
	for _, r := range c.Rules {
		fmt.Fprintf(w, "\t\t%s\n", r.Text)
	}
	w.WriteString("\t}\n")
}

// typeText returns the line that declares the type of a set.
func (s Set) typeText() string {
	row := s.Spec()
	name := Part.typeName
	word := "type"
	if row.typeof() {
		name, word = Part.typeofName, "typeof"
	}
	line := word + " " + joinComponents(row.Key, s.Family, name)
	switch {
	case row.Verdict:
		line += " : verdict"
	case row.Data != nil:
		line += " : " + joinComponents(row.Data, s.Family, name)
	}
	return line
}

func joinComponents(cs []Part, f inet.Family, name func(Part, inet.Family) string) string {
	parts := make([]string, len(cs))
	for i, c := range cs {
		parts[i] = name(c, f)
	}
	return strings.Join(parts, " . ")
}

func (c Part) typeName(f inet.Family) string {
	switch c {
	case PartProto:
		return "inet_proto"
	case PartPort, PartTarget:
		return "inet_service"
	}
	return fmt.Sprintf("ipv%c_addr", f.Digit())
}

func (c Part) typeofName(f inet.Family) string {
	switch c {
	case PartProto:
		return "meta l4proto"
	case PartPort, PartTarget:
		return "tcp dport"
	case PartSlot:
		return "numgen random mod 2"
	case PartClient:
		return ipWord(f) + " saddr"
	}
	return ipWord(f) + " daddr"
}
