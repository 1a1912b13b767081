// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package redact

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// words replaces words: addresses, names, and texts that have both. First it learns
// which ones occur, then settle chooses the pseudonyms.
type words struct {
	Options
	addresses *addresses
	names     map[string]string // pseudonyms
	// spoken are the names that texts have without quotes. Labels are not among them,
	// because one may be any word.
	spoken map[string]struct{}
}

func newWords(o Options) *words {
	return &words{Options: o, addresses: newAddresses(o.Key[:]), names: map[string]string{}, spoken: map[string]struct{}{}}
}

// isCommon reports whether a name is the same in every cluster.
func isCommon(s string) bool {
	switch s {
	case "", "default", "kube-system", "kube-public", "kube-node-lease", "kubernetes", "fairlead", "localhost":
		return true
	}
	return false
}

// learnName notes the name of an object.
func (w *words) learnName(names ...string) {
	for _, s := range names {
		if w.Names && !isCommon(s) {
			w.names[s], w.spoken[s] = "", struct{}{}
		}
	}
}

// learnLabel notes a word that texts have in quotes only.
func (w *words) learnLabel(s string) {
	if w.Names && !isCommon(s) {
		w.names[s] = ""
	}
}

// maxKeys bounds the attempts to find pseudonyms that are no originals. A cluster that
// fills a range such as 192.168.0.0/16 has none.
const maxKeys = 32

// settle chooses the pseudonyms. Those of names sort like the names, because of two claims
// of equal age the one with the first name wins.
func (w *words) settle() {
	prefix := "name-"
	for name := range w.names {
		for strings.HasPrefix(name, prefix) {
			prefix = "x" + prefix
		}
	}
	digits := max(4, len(fmt.Sprint(len(w.names))))
	for i, name := range slices.Sorted(maps.Keys(w.names)) {
		w.names[name] = fmt.Sprintf("%s%0*d", prefix, digits, i+1)
	}
	key := w.Key
	for range maxKeys {
		if !w.addresses.collides() {
			return
		}
		key = sha256.Sum256(key[:])
		w.addresses.rekey(key[:])
	}
}

// name returns the pseudonym of a name.
func (w *words) name(s string) string {
	if w.Names {
		if p, ok := w.names[s]; ok {
			return p
		}
		if isCommon(s) {
			return s
		}
	}
	return w.text(s)
}

// ref returns the pseudonym of NAMESPACE/NAME, NAMESPACE/NAME:PORT and the like.
func (w *words) ref(s string) string {
	if _, ok := w.names[s]; ok {
		return w.name(s)
	}
	rest, port, isPort := strings.Cut(s, ":")
	parts := strings.Split(rest, "/")
	for i := range parts {
		parts[i] = w.name(parts[i])
	}
	out := strings.Join(parts, "/")
	if isPort {
		out += ":" + w.name(port)
	}
	return out
}

// learnRef notes the names in NAMESPACE/NAME:PORT.
func (w *words) learnRef(s string) {
	rest, port, _ := strings.Cut(s, ":")
	w.learnName(strings.Split(rest, "/")...)
	w.learnLabel(port)
}

func (w *words) addr(ip netip.Addr) netip.Addr {
	if !w.Addresses {
		return ip
	}
	return w.addresses.of(ip)
}

func (w *words) prefix(p netip.Prefix) netip.Prefix {
	if !w.Addresses {
		return p
	}
	return w.addresses.ofRange(p)
}

func (w *words) prefixes(list []netip.Prefix) []netip.Prefix {
	out := slices.Clone(list)
	for i := range out {
		out[i] = w.prefix(out[i])
	}
	return out
}

func (w *words) mac(s string) string {
	m, err := net.ParseMAC(s)
	if err != nil || !w.Addresses {
		return s
	}
	return w.addresses.mac(m).String()
}

func (w *words) texts(list []string) []string {
	out := slices.Clone(list)
	for i := range out {
		out[i] = w.text(out[i])
	}
	return out
}

// pseudonyms returns what stands for what.
func (w *words) pseudonyms() []Pseudonym {
	var out []Pseudonym
	for name, p := range w.names {
		out = append(out, Pseudonym{name, p})
	}
	if w.Addresses {
		for ip, p := range w.addresses.memo {
			if p != ip {
				out = append(out, Pseudonym{ip.String(), p.String()})
			}
		}
		for r, p := range w.addresses.done {
			if p != r {
				out = append(out, Pseudonym{r.String(), p.String()})
			}
		}
		for m, p := range w.addresses.macs {
			out = append(out, Pseudonym{m, p.String()})
		}
	}
	slices.SortFunc(out, func(a, b Pseudonym) int {
		return cmp.Or(strings.Compare(a.Pseudonym, b.Pseudonym), strings.Compare(a.Original, b.Original))
	})
	return out
}
