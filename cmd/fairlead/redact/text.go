// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package redact

import (
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// text replaces the addresses and names in a text that people or programs wrote.
func (w *words) text(s string) string {
	if ip, err := netip.ParseAddr(s); err == nil {
		return w.addr(ip).String()
	}
	if s = withoutSecrets(s); s == "" || !w.Addresses && !w.Names {
		return s
	}
	if w.Names {
		s = wordPattern.ReplaceAllStringFunc(s, w.word)
	}
	if w.Addresses {
		s = macPattern.ReplaceAllStringFunc(s, w.mac)
		s = v6Pattern.ReplaceAllStringFunc(s, w.v6)
		s = v4Pattern.ReplaceAllStringFunc(s, w.v4)
		s = dashPattern.ReplaceAllStringFunc(s, func(m string) string {
			return strings.ReplaceAll(w.v4(strings.ReplaceAll(m, "-", ".")), ".", "-")
		})
		s = hexPattern.ReplaceAllStringFunc(s, w.hex)
	}
	return s
}

// learnText notes the addresses and ranges of a text.
func (w *words) learnText(s string) {
	if ip, err := netip.ParseAddr(s); err == nil {
		w.addresses.learn(ip)
		return
	}
	note := func(m string) string {
		if p, err := netip.ParsePrefix(m); err == nil {
			w.addresses.learnRange(p)
		} else if ip, err := netip.ParseAddr(m); err == nil {
			w.addresses.learn(ip)
		}
		return m
	}
	for _, m := range v4Pattern.FindAllString(s, -1) {
		note(m)
	}
	for _, m := range v6Pattern.FindAllString(s, -1) {
		pieces(m, note)
	}
	for _, m := range dashPattern.FindAllString(s, -1) {
		note(strings.ReplaceAll(m, "-", "."))
	}
}

// What may be an address or a name. The functions that replace them check it.
var (
	wordPattern = regexp.MustCompile(`"[^"\\]*"|[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?`)
	macPattern  = regexp.MustCompile(`\b[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}\b`)
	v6Pattern   = regexp.MustCompile(`[0-9A-Za-z]*:[0-9A-Za-z:]*:[0-9A-Za-z:.]*(?:/\d{1,3})?`)
	v4Pattern   = regexp.MustCompile(`\d{1,3}(?:\.\d{1,3}){3}(?:/\d{1,2})?`)
	dashPattern = regexp.MustCompile(`\d{1,3}(?:-\d{1,3}){3}`)
	hexPattern  = regexp.MustCompile(`\b0x[0-9A-Fa-f]{8,}\b|\b[0-9A-Fa-f]{8}\b|\b[0-9A-Fa-f]{32}\b`)
)

// word replaces a quoted text that is a name or label, and each name in other words: the
// longest one that ends at points and dashes.
func (w *words) word(s string) string {
	if inner, quoted := strings.CutPrefix(s, `"`); quoted {
		inner = strings.TrimSuffix(inner, `"`)
		if p, ok := w.names[inner]; ok {
			return `"` + p + `"`
		}
		return `"` + wordPattern.ReplaceAllStringFunc(inner, w.word) + `"`
	}
	if isCommon(s) {
		return s
	}
	for end := len(s); end > 0; end = strings.LastIndexAny(s[:end], ".-_") {
		if _, ok := w.spoken[s[:end]]; ok {
			return w.names[s[:end]] + w.tail(s[end:])
		}
	}
	if at := strings.IndexAny(s, ".-_"); at >= 0 {
		return s[:at] + w.tail(s[at:])
	}
	return s
}

// tail is word for what follows a name, with the separator before it.
func (w *words) tail(s string) string {
	if s == "" {
		return ""
	}
	return s[:1] + w.word(s[1:])
}

func (w *words) v4(s string) string {
	if p, err := netip.ParsePrefix(s); err == nil {
		return w.prefix(p).String()
	}
	host, rest, found := strings.Cut(s, "/")
	if found {
		rest = "/" + rest
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return s
	}
	return w.addr(ip).String() + rest
}

func (w *words) v6(s string) string {
	return pieces(s, func(m string) string {
		if p, err := netip.ParsePrefix(m); err == nil {
			return w.prefix(p).String()
		}
		if ip, err := netip.ParseAddr(m); err == nil {
			return w.addr(ip).String()
		}
		return m
	})
}

// pieces calls replace for the longest IPv6 address or range in a word, and for those
// before and behind it.
func pieces(s string, replace func(string) string) string {
	for size := len(s); size >= 2; size-- {
		for from := 0; from+size <= len(s); from++ {
			m := s[from : from+size]
			if from > 0 && s[from-1] != ':' && s[from-1] != '.' && m[0] != ':' || !isV6(m) {
				continue
			}
			return pieces(s[:from], replace) + replace(m) + pieces(s[from+size:], replace)
		}
	}
	return s
}

func isV6(s string) bool {
	if !strings.Contains(s, ":") {
		return false
	}
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	_, err := netip.ParsePrefix(s)
	return err == nil
}

// hex replaces the bytes of an address that occurs, such as the key of an element.
func (w *words) hex(s string) string {
	digits, prefixed := strings.CutPrefix(s, "0x")
	if len(digits)%2 != 0 {
		return s
	}
	raw := make([]byte, len(digits)/2)
	for i := range raw {
		b, err := strconv.ParseUint(digits[2*i:2*i+2], 16, 8)
		if err != nil {
			return s
		}
		raw[i] = byte(b)
	}
	for _, size := range []int{net.IPv4len, net.IPv6len} {
		for i := 0; i+size <= len(raw); i++ {
			ip, _ := netip.AddrFromSlice(raw[i : i+size])
			if _, ok := w.addresses.seen[ip]; ok {
				if prefixed {
					return "0x-redacted"
				}
				return "redacted"
			}
		}
	}
	return s
}
