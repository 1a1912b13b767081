// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package objects

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/types"
)

// Kinds of objects, as they are named in problems.
const (
	KindService     = "Service"
	KindSlice       = "EndpointSlice"
	KindNode        = "Node"
	KindServiceCIDR = "ServiceCIDR"
	KindPod         = "Pod"
	KindFile        = "File"
)

// FieldHealthPort is the field of a Service whose problems have Events of their own.
const FieldHealthPort = "spec.healthCheckNodePort"

// Problem is one thing that is wrong with one object. The object, or the field,
// is left out; everything else goes on.
type Problem struct {
	Kind  string    // "Service", "EndpointSlice", "Node", ...
	Name  string    // namespace/name, or name
	Field string    // for example spec.ports[1].port
	Text  string    // what is wrong, with the value
	UID   types.UID // of the object, for Events; empty where it is not known
}

// String returns, for example,
// `Service default/web: spec.clusterIPs[0]: "10.0.0.300" is not an IP address`.
func (p Problem) String() string {
	s := p.Kind + " " + p.Name
	if p.Field != "" {
		s += ": " + p.Field
	}
	return s + ": " + p.Text
}

// CompareProblems orders problems by object, field and text.
func CompareProblems(a, b Problem) int {
	return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.Name, b.Name),
		strings.Compare(a.Field, b.Field), strings.Compare(a.Text, b.Text))
}

// Report collects what is wrong with one object.
type Report struct {
	Kind, Name string
	UID        types.UID // empty where it is not known
	Problems   []Problem
	more       int // that were left out
}

// NewReport returns a Report without problems. A name that would do something to
// a terminal or a log is quoted.
func NewReport(kind, name string) *Report { return &Report{Kind: kind, Name: Printable(name)} }

// Printable quotes a name that would do something to a terminal or a log. It shortens a
// name that no API server would accept.
func Printable(name string) string {
	name = shorten(name, maxName)
	if isPlain(name) {
		return name
	}
	if q := strconv.Quote(name); q != `"`+name+`"` {
		return q
	}
	return name
}

// isPlain reports whether a name has letters, digits and the like only, as every name that
// an API server accepts. It allocates nothing.
func isPlain(name string) bool {
	for i := range len(name) {
		if c := name[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// maxName is the longest "namespace/name" and more: 63 and 253 bytes.
const maxName = 320

// shorten cuts a text that is longer than most bytes, between two characters.
func shorten(s string, most int) string {
	if len(s) <= most {
		return s
	}
	end := most - len("...")
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "..."
}

// oneLine makes a text that an object has influenced safe for a log and a terminal: one
// line of at most MaxProblemText bytes without control characters.
func oneLine(s string) string {
	s = strings.ReplaceAll(shorten(s, MaxProblemText), "\n", "; ")
	if strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) || !utf8.ValidString(s) {
		q := strconv.Quote(s)
		s = strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
	}
	return shorten(s, MaxProblemText)
}

// Add notes a problem with a field; an empty field is the object as a whole. Of more than
// MaxProblems the first ones are kept, and the last one says how many follow. A text is
// one line of at most MaxProblemText bytes, whatever the object says.
func (r *Report) Add(field, format string, args ...any) {
	if len(r.Problems) < MaxProblems {
		r.Problems = append(r.Problems, Problem{Kind: r.Kind, Name: r.Name, UID: r.UID, Field: field, Text: oneLine(fmt.Sprintf(format, args...))})
		return
	}
	r.more++
	r.Problems[MaxProblems-1] = Problem{Kind: r.Kind, Name: r.Name, UID: r.UID, Text: fmt.Sprintf("has %d further problems", r.more+1)}
}
