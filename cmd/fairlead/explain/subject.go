// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"fairlead/cmd/fairlead/output"
	"fairlead/internal/inet"
)

// Subject is what a command is asked about: a Service, or a port of it, or an address.
type Subject struct {
	Service types.NamespacedName
	Port    uint16     // 0 is all ports
	Proto   inet.Proto // 0 is all protocols
	// Addr is set without a Service. Without an IP it is a port of the node.
	Addr inet.Addr
}

// ParseSubject reads NAME, NAMESPACE/NAME, NAME.NAMESPACE.svc and the like, with or
// without :PORT and /PROTOCOL, and ADDRESS, ADDRESS:PORT and :PORT with or without
// /PROTOCOL. A port without a protocol is one of TCP.
func ParseSubject(s string) (*Subject, error) {
	out := &Subject{}
	rest := s
	if i := strings.LastIndexByte(s, '/'); i >= 0 {
		if proto, err := inet.ParseProto(s[i+1:]); err == nil {
			out.Proto, rest = proto, s[:i]
		}
	}
	if a, ok, err := parseAddr(rest); err != nil {
		return nil, noSubject(s, err.Error())
	} else if ok {
		out.Addr = inet.Addr{IP: a.Addr().Unmap(), Port: a.Port(), Proto: out.Proto}
		if out.Proto == 0 && a.Port() != 0 {
			out.Addr.Proto = inet.TCP
		}
		return out, nil
	}
	if name, port, ok := strings.Cut(rest, ":"); ok {
		n, err := parsePort(port)
		if err != nil {
			return nil, noSubject(s, err.Error())
		}
		out.Port, rest = n, name
	}
	namespace, name, ok := strings.Cut(rest, "/")
	switch {
	case !ok && strings.Contains(rest, "."): // a name of DNS
		parts := strings.SplitN(rest, ".", 3)
		name, namespace = parts[0], parts[1]
	case !ok:
		name, namespace = rest, "default"
	}
	if name == "" || namespace == "" || strings.Contains(name, "/") {
		return nil, noSubject(s, "the name is incomplete")
	}
	out.Service = types.NamespacedName{Namespace: namespace, Name: name}
	return out, nil
}

func noSubject(s, why string) error {
	return fmt.Errorf("%q is not NAMESPACE/SERVICE or ADDRESS:PORT[/PROTOCOL]: %s", output.Clean(s), why)
}

// parseAddr reads ADDRESS, ADDRESS:PORT and :PORT. ok is false for anything else, which
// may be a name.
func parseAddr(s string) (a netip.AddrPort, ok bool, err error) {
	if ip, err := netip.ParseAddr(s); err == nil {
		return netip.AddrPortFrom(ip, 0), true, nil
	}
	if port, node := strings.CutPrefix(s, ":"); node {
		n, err := parsePort(port)
		return netip.AddrPortFrom(netip.Addr{}, n), true, err
	}
	if a, err := netip.ParseAddrPort(s); err == nil {
		if a.Port() == 0 {
			return a, false, errors.New("port 0 is none")
		}
		return a, true, nil
	}
	return a, false, nil
}

func parsePort(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%q is not a port", output.Clean(s))
	}
	return uint16(n), nil
}
