// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package jsonerr

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// TestPlain: each kind of error names the field or the place, and nothing of Go.
func TestPlain(t *testing.T) {
	type thing struct {
		At    time.Time    `json:"at"`
		IP    netip.Addr   `json:"ip"`
		Hops  []netip.Addr `json:"hops"`
		N     uint8        `json:"n"`
		Inner struct {
			List []string          `json:"list"`
			Map  map[string]string `json:"map"`
		} `json:"inner"`
		Range netip.Prefix `json:"range"`
	}
	for text, want := range map[string]string{
		`{"n": "x"}`:                   "field n has to be a whole number in the range of the field, and is text",
		`{"n": 300}`:                   "field n has to be a whole number in the range of the field, and is 300",
		`{"inner": {"list": 5}}`:       "field inner.list has to be a list, and is a number",
		`{"inner": {"map": true}}`:     "field inner.map has to be a mapping, and is true or false",
		`[]`:                           "the text has to be a mapping, and is a list",
		`{"ip": "10.0.0.300"}`:         `field ip: "10.0.0.300" is wrong: IPv4 field has value >255`,
		`{"hops": ["::1", "x\u001b"]}`: `field hops[1]: "x\x1b" is wrong: unable to parse IP`,
		`{"range": "10.0.0.0"}`:        `field range: "10.0.0.0" is wrong: no '/'`,
		`{"at": 5}`:                    "input is not a JSON string",
		`{"at": "yesterday"}`:          `field at: "yesterday" is not a time`,
		`{"n": }`:                      "no JSON at byte 7: invalid character '}'",
		`{`:                            "no JSON at byte 1: unexpected end of JSON input",
		strings.Repeat("[", 20_000):    "exceeded max depth",
		`{"ip": "` + strings.Repeat("9", 10_000) + `"}`: "...",
	} {
		var v thing
		err := json.Unmarshal([]byte(text), &v)
		if err == nil {
			t.Errorf("%.40s is accepted", text)
			continue
		}
		got := Plain([]byte(text), err).Error()
		if !strings.Contains(got, want) || len(got) > 300 || strings.Contains(got, "Go ") || strings.Contains(got, "netip") || strings.Contains(got, "Unmarshal") {
			t.Errorf("%.40s: %s, want %s", text, got, want)
		}
	}
}
