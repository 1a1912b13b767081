// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package page

import (
	"bytes"
	"html"
	"slices"
	"strconv"
	"strings"

	"fairlead/cmd/fairlead/output"
)

// A part is an element, a text, an attribute or a list of them. There is no part that
// writes text without escaping it, so no name of an object becomes markup.
type part interface{ write(b *bytes.Buffer) }

// text is what a person reads. What nobody would see in it is made visible, and a long
// one is shortened.
type text string

// attr is an attribute of the element that it is given to. Names are constants; no value
// of an attribute that holds a script, a style or a foreign address comes from an object.
type attr struct{ name, value string }

type parts []part

type element struct {
	name  string
	attrs []attr
	kids  parts
}

// el returns an element. Its attributes are among its parts.
func el(name string, list ...part) element {
	e := element{name: name}
	for _, p := range list {
		e.add(p)
	}
	return e
}

func (e *element) add(p part) {
	switch p := p.(type) {
	case nil:
	case attr:
		e.attrs = append(e.attrs, p)
	case parts:
		for _, q := range p {
			e.add(q)
		}
	default:
		e.kids = append(e.kids, p)
	}
}

// void lists elements without an end.
func void(name string) bool {
	switch name {
	case "meta", "link", "img", "input":
		return true
	}
	return false
}

func (e element) write(b *bytes.Buffer) {
	b.WriteString("<" + e.name)
	for _, a := range e.attrs {
		a.write(b)
	}
	b.WriteByte('>')
	if void(e.name) {
		return
	}
	e.kids.write(b)
	b.WriteString("</" + e.name + ">")
	switch e.name {
	case "section", "tr", "thead", "table", "div", "figure", "head", "circle", "line":
		b.WriteByte('\n') // for whoever reads the source, or compares it
	}
}

func (t text) write(b *bytes.Buffer) { b.WriteString(html.EscapeString(clean(string(t)))) }

func (a attr) write(b *bytes.Buffer) {
	b.WriteString(" " + a.name)
	if a.value != "" {
		b.WriteString(`="` + html.EscapeString(a.value) + `"`)
	}
}

func (p parts) write(b *bytes.Buffer) {
	for _, q := range p {
		if q != nil {
			q.write(b)
		}
	}
}

// class returns the attribute, or nothing if the names are empty.
func class(names ...string) part {
	names = slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == "" })
	if len(names) == 0 {
		return nil
	}
	return attr{"class", strings.Join(names, " ")}
}

// when returns the parts if ok.
func when(ok bool, list ...part) part {
	if !ok {
		return nil
	}
	return parts(list)
}

func number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// clean makes what nobody sees in a text visible, and shortens it.
func clean(s string) string {
	if len(s) > maxText {
		if r := []rune(s); len(r) > maxText {
			s = string(r[:maxText-1]) + "…"
		}
	}
	return output.Clean(s)
}
