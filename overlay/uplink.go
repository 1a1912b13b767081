// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	"fairlead/internal/inet"
)

// Uplink says by which address of its own a node sends to other nodes. The zero
// value takes the node's address if an interface has it, and else an address of
// the interface with the default route, as behind a 1:1 NAT.
type Uplink struct {
	// Interfaces are tried in order. Each is the name of an interface, a CIDR or an
	// address on an interface, or a regular expression that matches a whole name or a
	// whole address.
	Interfaces []string
	// CanReach selects the interface by which the kernel would send to an address.
	CanReach netip.Addr
	// Addresses are the node's addresses by family. Each is either on an interface,
	// where tunnels then begin, or in front of a NAT, for peers to send to.
	Addresses [2]netip.Addr
}

// Selects reports whether u selects an interface.
func (u *Uplink) Selects() bool { return len(u.Interfaces) > 0 || u.CanReach.IsValid() }

// Validate reports everything that is wrong with u.
func (u *Uplink) Validate() error {
	var errs []error
	for _, s := range u.Interfaces {
		if _, err := parsePattern(s); err != nil {
			errs = append(errs, err)
		}
	}
	for f, a := range u.Addresses {
		if a.IsValid() && (inet.FamilyOf(a) != inet.Family(f) || a.Is4In6() || a.IsUnspecified() || a.IsMulticast() || a.IsLoopback()) {
			errs = append(errs, fmt.Errorf("underlay address %s is not a unicast address of %s", a, inet.Family(f)))
		}
	}
	return errors.Join(errs...)
}

// Matches reports whether an interface or one of its addresses is among those that
// u selects by name, pattern or CIDR.
func (u *Uplink) Matches(name string, addr netip.Addr) bool {
	for _, s := range u.Interfaces {
		if p, err := parsePattern(s); err == nil && (p.name(name) || addr.IsValid() && p.address(addr)) {
			return true
		}
	}
	return false
}

// pattern is one of Uplink.Interfaces.
type pattern struct {
	text string
	cidr netip.Prefix
	re   *regexp.Regexp
}

func parsePattern(s string) (pattern, error) {
	p := pattern{text: s}
	if cidr, err := netip.ParsePrefix(s); err == nil {
		p.cidr = cidr
		return p, nil
	}
	if a, err := netip.ParseAddr(s); err == nil {
		p.cidr = Single(a)
		return p, nil
	}
	var err error
	if p.re, err = regexp.Compile("^(?:" + s + ")$"); err != nil || s == "" {
		return p, fmt.Errorf("underlay interface %q is not a name, a CIDR or a regular expression", s)
	}
	return p, nil
}

func (p *pattern) name(name string) bool {
	return p.re != nil && (p.text == name || p.re.MatchString(name))
}

func (p *pattern) address(a netip.Addr) bool {
	return p.cidr.IsValid() && p.cidr.Contains(a) || p.re != nil && p.re.MatchString(a.String())
}

// String names what is selected, for messages.
func (u *Uplink) String() string {
	words := append([]string(nil), u.Interfaces...)
	if u.CanReach.IsValid() {
		words = append(words, "the route to "+u.CanReach.String())
	}
	return strings.Join(words, ", ")
}
