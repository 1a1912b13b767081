// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"fairlead/nat/kernel"
	"fairlead/nat/listing"
	"fairlead/nat/ruleset"
)

// Tracer follows packets in the network namespace of the process. See kernel.Tracer.
type Tracer struct {
	*kernel.Tracer
	texts map[uint64]string
}

// OpenTrace begins to follow packets. The caller has to call Close.
func OpenTrace(t ruleset.Trace) (*Tracer, error) {
	tracer, err := kernel.OpenTrace(nil, t)
	if err != nil {
		return nil, err
	}
	return &Tracer{Tracer: tracer, texts: map[uint64]string{}}, nil
}

// RuleText returns the text of a rule of the table of fairlead, "" if it is not known. It
// reads the rules again for one that is new, and belongs to one goroutine.
func (t *Tracer) RuleText(handle uint64) string {
	if text, ok := t.texts[handle]; ok {
		return text
	}
	t.texts[handle] = ""
	rules, err := t.Rules()
	if err != nil {
		return ""
	}
	for h, exprs := range rules {
		t.texts[h] = listing.Read(exprs).Text
	}
	return t.texts[handle]
}
