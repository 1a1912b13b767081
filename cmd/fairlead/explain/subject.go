// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"fairlead/cmd/fairlead/output"
	"fairlead/internal/inet"
)

// subject is what explain is asked about: a Service, or a port of it, or an address.
type subject struct {
	service types.NamespacedName
	port    uint16     // 0 is all ports
	proto   inet.Proto // 0 is all protocols
	addr    inet.Addr  // without a Service
}

// parseSubject reads NAME, NAMESPACE/NAME, NAME.NAMESPACE.svc and the like, with or
// without :PORT and /PROTOCOL, and ADDRESS:PORT[/PROTOCOL].
func parseSubject(s string) (*subject, error) {
	bad := func(why string) (*subject, error) {
		return nil, fmt.Errorf("%q is not NAMESPACE/SERVICE or ADDRESS:PORT[/PROTOCOL]: %s", output.Clean(s), why)
	}
	out := &subject{}
	rest := s
	if i := strings.LastIndexByte(s, '/'); i >= 0 {
		if proto, err := inet.ParseProto(s[i+1:]); err == nil {
			out.proto, rest = proto, s[:i]
		}
	}
	if a, err := netip.ParseAddrPort(rest); err == nil {
		if a.Port() == 0 {
			return bad("port 0 is none")
		}
		out.addr = inet.Addr{IP: a.Addr().Unmap(), Port: a.Port(), Proto: out.proto}
		if out.proto == 0 {
			out.addr.Proto = inet.TCP
		}
		return out, nil
	}
	if _, err := netip.ParseAddr(rest); err == nil {
		return bad("the port is missing")
	}
	if name, port, ok := strings.Cut(rest, ":"); ok {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return bad(fmt.Sprintf("%q is not a port", output.Clean(port)))
		}
		out.port, rest = uint16(n), name
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
		return bad("the name is incomplete")
	}
	out.service = types.NamespacedName{Namespace: namespace, Name: name}
	return out, nil
}
