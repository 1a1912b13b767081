// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	netutils "k8s.io/utils/net"

	"fairlead/internal/inet"
	"fairlead/proxier/objects"
)

// checker reads fields of one object and reports those that are wrong.
type checker struct{ objects.Report }

func newChecker(kind, name string, uid types.UID) *checker {
	r := &checker{*objects.NewReport(kind, name)}
	r.UID = uid
	return r
}

// at names an item of a list. It is for problems only: a path for each of a
// hundred thousand endpoints would be most of the work.
func at(field string, i int) string { return field + "[" + strconv.Itoa(i) + "]" }

// validKey reports names that the API server would never have accepted. They
// come from files, and they end up in comments of nftables elements.
func (r *checker) validKey(key types.NamespacedName, name func(string) []string) bool {
	namespace := r.valid("metadata.namespace", key.Namespace, validation.IsDNS1123Label)
	return r.valid("metadata.name", key.Name, name) && namespace
}

// valid reports a name that check refuses. It is for checks that accept plain names.
func (r *checker) valid(field, s string, check func(string) []string) bool {
	if isPlain(s) {
		return true
	}
	errs := check(s)
	if len(errs) == 0 {
		return true
	}
	reason, _, _ := strings.Cut(errs[0], ", and must start") // the rest is a regular expression
	r.Add(field, "%q is not a valid name: %s", s, reason)
	return false
}

// isPlain reports whether a name is a label of RFC 1035 in lower case, as most names are. That is
// also a label and a subdomain of RFC 1123. The checks of Kubernetes use regular expressions, which
// take longer than all else that is read of a small slice.
func isPlain(s string) bool {
	if s == "" || len(s) > validation.DNS1035LabelMaxLength || s[0] < 'a' || s[0] > 'z' || s[len(s)-1] == '-' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// portName may be empty, where there is only one port.
func (r *checker) portName(field, s string) bool {
	return s == "" || r.valid(field, s, validation.IsDNS1123Label)
}

// parseAddr reads an address as Kubernetes always has: leading zeros are
// decimal (CVE-2021-29923). What packets cannot be sent to is refused.
func parseAddr(s string) (netip.Addr, error) {
	ip, err := netip.ParseAddr(s)
	if err != nil || ip.Zone() != "" {
		var ok bool
		if ip, ok = netip.AddrFromSlice(netutils.ParseIPSloppy(s)); !ok {
			return netip.Addr{}, fmt.Errorf("%q is not an IP address", s)
		}
	}
	ip = ip.Unmap()
	switch {
	case ip.IsUnspecified():
		return netip.Addr{}, fmt.Errorf("%s is the unspecified address", ip)
	case ip.IsLoopback():
		return netip.Addr{}, fmt.Errorf("%s is a loopback address", ip)
	case ip.IsMulticast():
		return netip.Addr{}, fmt.Errorf("%s is a multicast address", ip)
	case ip.Is4() && ip.As4()[0] == 0:
		return netip.Addr{}, fmt.Errorf("%s is in 0.0.0.0/8, whose addresses no host has", ip)
	case ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return netip.Addr{}, fmt.Errorf("%s is the broadcast address", ip)
	}
	return ip, nil
}

// parseUserAddr is parseAddr for addresses that users write down: the API
// server refuses link-local ones of endpoints and externalIPs, too.
func parseUserAddr(s string) (netip.Addr, error) {
	ip, err := parseAddr(s)
	if err == nil && ip.IsLinkLocalUnicast() {
		return netip.Addr{}, fmt.Errorf("%s is a link-local address", ip)
	}
	return ip, err
}

// parseVIP is parseUserAddr for addresses that a Service is reached at from outside.
// Pods may have addresses of 240.0.0.0/4 in some clouds; no network routes them.
func parseVIP(s string) (netip.Addr, error) {
	ip, err := parseUserAddr(s)
	if err == nil && ip.Is4() && ip.As4()[0] >= 240 {
		return netip.Addr{}, fmt.Errorf("%s is in 240.0.0.0/4, which is reserved", ip)
	}
	return ip, err
}

// addrs returns the valid addresses of a list, each once.
func (r *checker) addrs(field string, list []string, parse func(string) (netip.Addr, error)) []netip.Addr {
	return parsed(r, list, parse, func(i int) string { return at(field, i) })
}

// parsed returns what the valid items of a list say, each once.
func parsed[In any, Out comparable](r *checker, list []In, parse func(In) (Out, error), field func(i int) string) []Out {
	if len(list) == 0 {
		return nil // as most lists of most Services
	}
	var out []Out
	seen := make(map[Out]struct{}, len(list))
	for i, in := range list {
		v, err := parse(in)
		if err != nil {
			r.Add(field(i), "%v", err)
			continue
		}
		if _, twice := seen[v]; !twice {
			seen[v] = struct{}{}
			out = append(out, v)
		}
	}
	return out
}

// bounded returns the first items of a list and reports one that is longer.
func bounded[T any](r *checker, field string, list []T, most int) []T {
	if len(list) <= most {
		return list
	}
	r.Add(field, "has %d entries; the first %d are used", len(list), most)
	return list[:most]
}

func parsePrefix(s string) (netip.Prefix, error) {
	_, n, err := netutils.ParseCIDRSloppy(strings.TrimSpace(s))
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is not a CIDR", s)
	}
	ip, _ := netip.AddrFromSlice(n.IP)
	ones, _ := n.Mask.Size()
	if ip.Is4In6() && ones >= 96 {
		ip, ones = ip.Unmap(), ones-96
	}
	return netip.PrefixFrom(ip, ones), nil
}

// prefixes returns the valid prefixes of a list, each once.
func (r *checker) prefixes(field string, list []string) []netip.Prefix {
	return parsed(r, list, parsePrefix, func(i int) string { return at(field, i) })
}

func (r *checker) port(field string, n int32) (uint16, bool) {
	if n < 1 || n > 65535 {
		r.Add(field, "%d is not a port number from 1 to 65535", n)
		return 0, false
	}
	return uint16(n), true
}

func (r *checker) proto(field, s string) (inet.Proto, bool) {
	if s == "" {
		return inet.TCP, true // the API's default
	}
	p, err := inet.ParseProto(s)
	if err != nil {
		r.Add(field, "%v", err)
		return 0, false
	}
	return p, true
}
