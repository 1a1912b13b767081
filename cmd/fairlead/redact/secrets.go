// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package redact

import (
	"encoding/json"
	"regexp"
	"strings"
)

// hidden stands for a secret.
const hidden = "(secret)"

// What is secret wherever it stands: tokens (RFC 7519), what follows "Bearer" and
// "Basic", keys (RFC 7468), and the user in front of a host (RFC 3986).
var (
	tokenPattern = regexp.MustCompile(`\beyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?`)
	basicPattern = regexp.MustCompile(`(?i)\b(bearer|basic)(\s+|: ?)[A-Za-z0-9+/=._~-]{8,}`)
	pemPattern   = regexp.MustCompile(`(?s)-----BEGIN [A-Z0-9 ]+-----.*?(?:-----END [A-Z0-9 ]+-----|$)`)
	userPattern  = regexp.MustCompile(`(://)[^/\s"'@]+@`)
	quotePattern = regexp.MustCompile(secretWord + `("[^"]*"|'[^']*')`)
	fieldPattern = regexp.MustCompile(secretWord + `[^\s,;"']+`)
)

// secretWord is the name of a field, with what separates it from its value.
const secretWord = `(?i)\b([a-z0-9_.-]*(?:password|passwd|secret|token|credential|api-?key|private-?key)[a-z0-9_.-]*"?\s*[=:]\s*)`

// withoutSecrets removes secrets from a text.
func withoutSecrets(s string) string {
	s = pemPattern.ReplaceAllLiteralString(s, hidden)
	s = tokenPattern.ReplaceAllLiteralString(s, hidden)
	s = basicPattern.ReplaceAllString(s, "$1 "+hidden)
	s = userPattern.ReplaceAllString(s, "$1"+hidden+"@")
	s = quotePattern.ReplaceAllString(s, `${1}"`+hidden+`"`)
	return fieldPattern.ReplaceAllString(s, "${1}"+hidden)
}

// isSecretKey reports whether a field of a file of another program may hold a secret.
func isSecretKey(s string) bool {
	s = strings.ToLower(s)
	for _, word := range []string{"password", "passwd", "secret", "token", "credential", "auth", "private", "apikey", "api_key", "cert_data", "key_data"} {
		if strings.Contains(s, word) {
			return true
		}
	}
	return s == "env" || strings.HasSuffix(s, "_key") || strings.HasSuffix(s, "key-data") || strings.HasSuffix(s, "certificate-data")
}

// withoutKeys removes the values of fields that may be secret from a JSON text. A text
// that is no JSON may have them anywhere, so none of it is left.
func withoutKeys(text string) string {
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return "the file is not JSON, so it is left out, as it may hold a secret"
	}
	if !hide(v) {
		return text
	}
	return indented(v)
}

// indented returns the JSON text of a value.
func indented(v any) string {
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return hidden
	}
	return string(b)
}

// hide reports whether it replaced anything.
func hide(v any) (found bool) {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			found = hide(item) || found
		}
	case map[string]any:
		for key, item := range v {
			if isSecretKey(key) {
				v[key], found = hidden, true
			} else {
				found = hide(item) || found
			}
		}
	}
	return found
}
