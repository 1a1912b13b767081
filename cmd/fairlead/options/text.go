// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package options

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// leaf returns the value at path in a decoded file, or nil.
func leaf(tree map[string]any, path string) any {
	var v any = tree
	for name := range strings.SplitSeq(path, ".") {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[name]
	}
	return v
}

// isSet reports whether v is a value. A program that writes the file encodes an unset
// field as null, empty or zero. Zero is a value where the type has a pointer.
func isSet(v any, zero bool) bool {
	switch v := v.(type) {
	case nil:
		return false
	case bool:
		return v || zero
	case float64:
		return v != 0 || zero
	case string:
		d, err := time.ParseDuration(v)
		return v != "" && (zero || err != nil || d != 0)
	case []any:
		return len(v) > 0
	case map[string]any:
		return len(v) > 0
	}
	return true
}

// plain returns v as the text of a flag.
func plain(v any) string {
	switch v := v.(type) {
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case []any:
		texts := make([]string, len(v))
		for i, e := range v {
			texts[i] = plain(e)
		}
		return strings.Join(texts, ",")
	case map[string]any:
		var texts []string
		for _, k := range slices.Sorted(maps.Keys(v)) {
			texts = append(texts, k+"="+plain(v[k]))
		}
		return strings.Join(texts, ",")
	}
	return fmt.Sprint(v)
}

// nanoseconds accepts durations that older files give as numbers.
func nanoseconds(v any) string {
	if n, ok := v.(float64); ok {
		return time.Duration(n).String()
	}
	return plain(v)
}

// vmodule converts a list of filePattern and verbosity to pattern=N,...
func vmodule(v any) string {
	list, ok := v.([]any)
	if !ok {
		return plain(v)
	}
	texts := make([]string, len(list))
	for i, e := range list {
		if m, ok := e.(map[string]any); ok {
			texts[i] = plain(m["filePattern"]) + "=" + plain(m["verbosity"])
		} else {
			texts[i] = plain(e)
		}
	}
	return strings.Join(texts, ",")
}
