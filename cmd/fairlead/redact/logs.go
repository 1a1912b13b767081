// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package redact

import (
	"regexp"

	"fairlead/cmd/fairlead/view"
)

// namedPattern finds names in lines of a log, as text and as JSON: the objects may be gone,
// so that no other part of the node has their names.
var namedPattern = regexp.MustCompile(`\b(?:name|namespace|node|service|endpoint|pod|first|server|host|object|peer)"?[=:]"?([A-Za-z0-9][A-Za-z0-9._/:-]*)|"([a-z0-9.-]+/[a-z0-9.-]+)"`)

// learnLog notes the words of a log.
func (w *words) learnLog(l *view.Log) {
	w.learnRef(podOf(l.From))
	w.learnText(l.Error)
	for _, line := range l.Lines {
		w.learnText(line)
		if !w.Names {
			continue
		}
		for _, m := range namedPattern.FindAllStringSubmatch(line, -1) {
			if ref := m[1] + m[2]; !urlPattern.MatchString(ref) && !isNumber(ref) {
				w.learnRef(ref)
			}
		}
	}
}

var urlPattern = regexp.MustCompile(`^[a-z]+:/|^/`)

// isNumber reports whether a word has no letter, such as an address or a time.
func isNumber(s string) bool { return !regexp.MustCompile(`[g-zG-Z]`).MatchString(s) }

// podOf returns the Pod that a log is from, "" for another log.
func podOf(from string) string {
	if m := regexp.MustCompile(`^Pod (\S+)`).FindStringSubmatch(from); m != nil {
		return m[1]
	}
	return ""
}

func (w *words) log(l *view.Log) {
	l.From, l.Error, l.Lines = w.text(l.From), w.text(l.Error), w.texts(l.Lines)
}
