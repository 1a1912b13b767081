// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package jsonerr says in words of users what encoding/json and the types of the standard
// library say about a text in words of Go.
package jsonerr

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Wrong returns the field that has a value of another kind than it must have, and what it
// must have. ok is false for another error.
func Wrong(err error) (field, text string, ok bool) {
	wrong, ok := errors.AsType[*json.UnmarshalTypeError](err)
	if !ok {
		return "", "", false
	}
	return wrong.Field, fmt.Sprintf("has to be %s, and is %s", wordOf(wrong.Type.Kind()), wordOfJSON(wrong.Value)), true
}

// wordOf returns what people call values of a kind.
func wordOf(k reflect.Kind) string {
	switch k {
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Map, reflect.Struct, reflect.Pointer:
		return "a mapping"
	}
	return "a whole number in the range of the field"
}

// wordOfJSON is wordOf for what an object has. Of numbers it is the number.
func wordOfJSON(given string) string {
	words := map[string]string{"string": "text", "number": "a number", "bool": "true or false", "array": "a list", "object": "a mapping"}
	return cmp.Or(words[given], strings.TrimPrefix(given, "number "))
}

// maxQuoted bounds the part of a text that an error quotes.
const maxQuoted = 200

// Plain returns an error about a JSON text in words of users. It names the field, if it
// finds it.
func Plain(text []byte, err error) error {
	if field, why, ok := Wrong(err); ok {
		if field == "" {
			return fmt.Errorf("the text %s", why)
		}
		return fmt.Errorf("field %s %s", field, why)
	}
	if wrong, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("no JSON at byte %d: %s", wrong.Offset, strings.TrimPrefix(wrong.Error(), "json: "))
	}
	why := clean(err.Error())
	if field := fieldOf(text, why); field != "" {
		return fmt.Errorf("field %s: %s", field, why)
	}
	return errors.New(why)
}

// Names of functions and types of Go in errors of the standard library.
var goWords = regexp.MustCompile(`\b(?:netip\.)?Parse(?:Addr|Prefix|AddrPort)\(("(?:[^"\\]|\\.)*")\): |\bTime\.UnmarshalJSON: |\bjson: `)

// badTime is what the package time says about a text that is no time.
var badTime = regexp.MustCompile(`parsing time ("(?:[^"\\]|\\.)*") as "[^"]*".*$`)

func clean(s string) string {
	s = badTime.ReplaceAllString(s, "$1 is not a time such as 2026-01-02T03:04:05Z")
	s = goWords.ReplaceAllStringFunc(s, func(m string) string {
		if value := goWords.FindStringSubmatch(m)[1]; value != "" {
			return value + " is wrong: "
		}
		return ""
	})
	if len(s) > maxQuoted {
		s = s[:maxQuoted] + "..."
	}
	return strings.ToValidUTF8(s, "\ufffd")
}

var quoted = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)

// fieldOf returns the first field whose value is what an error quotes, "" for none.
func fieldOf(text []byte, why string) string {
	value, err := strconv.Unquote(quoted.FindString(why))
	if err != nil || value == "" {
		return ""
	}
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		return ""
	}
	return strings.TrimPrefix(find(v, value), ".")
}

// find returns the path to a value, "" for none. encoding/json bounds the depth.
func find(v any, value string) string {
	switch v := v.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if v[key] == any(value) {
				return "." + key
			}
			if rest := find(v[key], value); rest != "" {
				return "." + key + rest
			}
		}
	case []any:
		for i := range v {
			at := fmt.Sprintf("[%d]", i)
			if v[i] == any(value) {
				return at
			}
			if rest := find(v[i], value); rest != "" {
				return at + rest
			}
		}
	}
	return ""
}
