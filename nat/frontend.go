// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nat

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	"fairlead/internal/inet"
)

// Canonical returns f with the fields that its policy uses, sorted, unique and
// of the key's family, so that equal frontends compare equal.
func (f Frontend) Canonical(key inet.Addr) Frontend {
	fam := inet.FamilyOf(key.IP)
	f.Owner = Comment(f.Owner)
	f.Backends = canonicalBackends(f.Backends, fam)
	f.LocalBackends = canonicalList(f.LocalBackends, netip.AddrPort.Compare, func(b netip.AddrPort) netip.AddrPort { return b }, fam)

	if len(f.Backends) == 0 && f.Policy.Picks() {
		f.Policy = Reject
	}
	if !f.Policy.Picks() {
		f.Backends, f.Affinity = nil, 0
	}
	if f.Policy != Local {
		f.LocalBackends = nil
	}
	if key.IsNodePort() {
		f.Restricted, f.Exclusive = false, false
	}
	if f.Restricted {
		f.Sources = inet.Normalize(f.Sources, fam)
		if len(f.Sources) > 0 && f.Sources[0].Bits() == 0 {
			f.Restricted, f.Sources = false, nil
		}
	} else {
		f.Sources = nil
	}
	return f
}

// canonicalBackends is canonicalList for backends. Each change of a frontend looks at all of them,
// so it is written out.
func canonicalBackends(list []Backend, fam inet.Family) []Backend {
	if !isCanonical4(list) {
		return canonicalList(list, Backend.compare, Backend.AddrPort, fam)
	}
	if fam != inet.IPv4 {
		return nil
	}
	return list[:min(len(list), 1<<MaxClass)]
}

// isCanonical4 reports whether a list has IPv4 addresses only, in order and each once.
func isCanonical4(list []Backend) bool {
	last := int64(-1)
	for i := range list {
		ip, is4 := list[i].addr.Number4()
		key := int64(ip)<<16 | int64(list[i].port)
		if !is4 || key <= last {
			return false
		}
		last = key
	}
	return true
}

// canonicalList returns the list itself, or its beginning, where that is canonical already:
// all frontends of a Service port may share one list.
func canonicalList[T any](list []T, compare func(a, b T) int, addr func(T) netip.AddrPort, fam inet.Family) []T {
	canonical := true
	for i := 0; canonical && i < len(list); i++ {
		a := addr(list[i])
		canonical = inet.FamilyOf(a.Addr()) == fam && (i == 0 || addr(list[i-1]).Compare(a) < 0)
	}
	if canonical {
		return list[:min(len(list), 1<<MaxClass)]
	}
	out := slices.SortedFunc(slices.Values(list), compare)
	out = slices.CompactFunc(out, func(a, b T) bool { return addr(a) == addr(b) })
	out = slices.DeleteFunc(out, func(b T) bool { return inet.FamilyOf(addr(b).Addr()) != fam })
	return out[:min(len(out), 1<<MaxClass)]
}

// compare orders backends by address. Of two equal addresses the one on this node
// comes first.
func (b Backend) compare(c Backend) int {
	if n := b.CompareAddr(c); n != 0 || b.OnNode == c.OnNode {
		return n
	}
	if b.OnNode {
		return -1
	}
	return 1
}

// CompareAddr orders backends by address and port, as netip.AddrPort.Compare does.
func (b Backend) CompareAddr(c Backend) int {
	if n := b.addr.Compare(&c.addr); n != 0 {
		return n
	}
	return cmp.Compare(b.port, c.port)
}

// CommonBackends returns how many backends two lists begin with in common. It compares blocks,
// so it costs a fraction of a comparison one by one.
func CommonBackends(a, b []Backend) int {
	const block = 64
	n, most := 0, min(len(a), len(b))
	for most-n >= block && *(*[block]Backend)(a[n:]) == *(*[block]Backend)(b[n:]) {
		n += block
	}
	for n < most && a[n] == b[n] {
		n++
	}
	return n
}

// Equal compares canonical frontends.
func (f *Frontend) Equal(g *Frontend) bool {
	return f.Policy == g.Policy && f.Affinity == g.Affinity && f.Share == g.Share && f.Restricted == g.Restricted &&
		f.Exclusive == g.Exclusive && f.First == g.First && f.Owner == g.Owner &&
		len(f.Backends) == len(g.Backends) && CommonBackends(f.Backends, g.Backends) == len(f.Backends) &&
		slices.Equal(f.LocalBackends, g.LocalBackends) &&
		slices.Equal(f.Sources, g.Sources)
}

// maxComment is the longest comment that nft reads (NFTNL_UDATA_COMMENT_MAXLEN).
const maxComment = 128

// Comment returns s as a comment that nft lists on one line and reads back: of at most 128
// bytes, cut at the end, and with a question mark for each byte that would end the comment
// or act on a terminal. nft has no escapes in quoted texts. Names from the API server have
// no such bytes.
func Comment(s string) string {
	if len(s) > maxComment {
		s = s[:maxComment-3] + "..."
	}
	if strings.IndexFunc(s, isUnsafe) < 0 {
		return s
	}
	b := []byte(s)
	for i := range b {
		if isUnsafe(rune(b[i])) {
			b[i] = '?'
		}
	}
	return string(b)
}

func isUnsafe(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }

// TrafficPolicy says which connections to a frontend are accepted, which backends may
// take them and whether they are masqueraded.
type TrafficPolicy uint8

const (
	// Reject answers new connections with an ICMP error, because no backend can take
	// them.
	Reject TrafficPolicy = iota
	// Drop ignores new connections, because no backend on this node can take them.
	Drop
	// Internal is for ClusterIPs: any backend; masqueraded unless the client is
	// a pod of this cluster (see Settings.Pods).
	Internal
	// External is for addresses that are dialled from outside: any backend,
	// always masqueraded, so that replies come back through this node.
	External
	// Local keeps the client's address: clients from outside reach only the
	// Local backends and are not masqueraded; pods reach any backend, not
	// masqueraded; this node reaches any backend, masqueraded.
	Local
)

// Frontend says what happens to new connections to one inet.Addr. It is a value:
// callers do not change it after handing it over.
type Frontend struct {
	Policy TrafficPolicy
	// Restricted drops every client whose address is outside Sources.
	Restricted bool
	// Exclusive rejects connections to all ports of the frontend's IP that have no
	// frontend. It is set for ClusterIPs, which have no other use.
	Exclusive bool
	// First makes a repair write the frontend before all frontends without First. It
	// changes nothing in the kernel.
	First bool
	// Share numbers the affinity maps that belong to the frontend's Service; 0 is for
	// the maps that all Services use. Package plan assigns it.
	Share uint8
	// Backends may all take a connection, with equal probability. They are
	// unique and of the frontend's family; their order does not matter. Empty
	// for Reject and Drop.
	Backends []Backend
	// LocalBackends are those that clients from outside reach under Policy
	// Local. Empty there means that their connections are dropped. Unused with
	// every other policy.
	LocalBackends []netip.AddrPort
	// Affinity keeps a client with its backend until that long after its last
	// new connection; 0 turns affinity off.
	Affinity time.Duration
	Sources  []netip.Prefix // see Restricted
	// Owner is the comment on the frontend's elements: "namespace/name:port".
	Owner string
}

// Backend is one address that connections are sent to. There are as many as endpoints, or more,
// so it takes 20 bytes.
type Backend struct {
	addr inet.Bytes
	// OnNode is set when the backend runs on this node, so that it may dial
	// itself through a frontend (hairpin).
	OnNode bool
	port   uint16
}

// BackendAt returns the backend at an address.
func BackendAt(at netip.AddrPort, onNode bool) Backend {
	return Backend{addr: inet.BytesOf(at.Addr()), OnNode: onNode, port: at.Port()}
}

// Addr returns the address without its port.
func (b Backend) Addr() netip.Addr { return b.addr.Addr() }

// AddrPort returns the address.
func (b Backend) AddrPort() netip.AddrPort { return netip.AddrPortFrom(b.addr.Addr(), b.port) }

// String returns, for example, "10.244.1.7:8080".
func (b Backend) String() string { return b.AddrPort().String() }

// Pair is a frontend and one of its backends that clients may be remembered with.
// Without Backend it stands for all backends of the frontend.
type Pair struct {
	Frontend inet.Addr
	Backend  netip.AddrPort
	// Local is set for the clients that policy Local confines to LocalBackends.
	// The kernel remembers them in a map of their own.
	Local bool
}

// MaxClass bounds the size class: 2^16 backends of one frontend.
const MaxClass = 16

// Picks reports whether the policy sends connections to backends at all.
func (p TrafficPolicy) Picks() bool { return p >= Internal }

// BackendCounter is how many connections an element of a backend has counted
// since it was written. A backend that gets another slot begins at 0. There is
// one for each backend of a frontend, and another if it is Local.
type BackendCounter struct {
	Frontend inet.Addr
	Backend  netip.AddrPort
	// Local is set for the second element of a backend on this node, which counts the
	// connections that policy Local keeps on the node.
	Local       bool
	Owner       string // as in Frontend, shortened to 128 bytes
	Connections uint64
}

// AffinityMap says how many clients one affinity map remembers.
type AffinityMap struct {
	Name    string // in the kernel, for example "affinity4-7"
	Clients int
	Size    int // how many clients the map holds
}
