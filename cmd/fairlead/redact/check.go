// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package redact

import (
	"net"
	"regexp"
	"slices"
	"strings"

	"fairlead/cmd/fairlead/doctor/finding"
)

// learnCheck notes the words of the outcome of all checks.
func (w *words) learnCheck(r *finding.Report) {
	w.learnName(r.Node)
	w.learnHosts(r.Findings)
	for i := range r.Findings {
		f := &r.Findings[i]
		for _, text := range append([]string{f.Evidence}, f.Remedy...) {
			w.learnText(text)
		}
	}
}

// hostPattern finds the names of hosts in errors of requests.
var hostPattern = regexp.MustCompile(`\bhttps?://([^/\s"']+)|\blookup ([^\s"']+)`)

// learnHosts notes the names of hosts that are no objects, such as that of the API server.
func (w *words) learnHosts(list []finding.Finding) {
	for i := range list {
		for _, m := range hostPattern.FindAllStringSubmatch(list[i].Evidence, -1) {
			host := m[1] + strings.TrimSuffix(m[2], ":")
			if name, _, err := net.SplitHostPort(host); err == nil {
				host = name
			}
			w.learnHost(host)
		}
	}
}

func (w *words) check(r *finding.Report) *finding.Report {
	out := *r
	out.Node, out.Findings = w.name(r.Node), slices.Clone(r.Findings)
	for i := range out.Findings {
		f := &out.Findings[i]
		f.Evidence, f.Remedy = w.text(f.Evidence), w.texts(f.Remedy)
	}
	return &out
}
