// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/vishvananda/netlink"
	vnetns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"fairlead/internal/netns"
)

// Host is a namespace with a name and an address of each family: a node, a pod
// or a client outside the cluster.
type Host struct {
	Name  string
	NS    *netns.NS
	Addr4 netip.Addr
	Addr6 netip.Addr // invalid in an IPv4 lab

	links *netlink.Handle
	ports atomic.Uint32 // how many the clients had

	mu     sync.Mutex
	closed bool
	owned  []io.Closer // what runs inside the host
}

// sysctl is one file below /proc/sys/net and the value to write into it.
type sysctl struct{ file, value string }

// hostSysctls make a fresh namespace behave the same whatever init_net's
// defaults are, and IPv6 addresses usable at once.
func hostSysctls() []sysctl {
	return []sysctl{
		{"ipv4/conf/all/rp_filter", "0"},
		{"ipv4/conf/default/rp_filter", "0"},
		// A test that counts on ICMP errors must not run into a limit: neither that
		// per destination nor that of the host, a burst of 50, which no sysctl of a
		// namespace lifted before 6.12. So no type is limited, in IPv6 but for 254.
		// Errors about missing IPv4 routes keep a limit that only the first namespace can lift:
		// five for each source, then one a second (net.ipv4.route.error_burst).
		{"ipv4/icmp_ratelimit", "0"},
		{"ipv4/icmp_ratemask", "0"},
		{"ipv6/icmp/ratelimit", "0"},
		{"ipv6/icmp/ratemask", "254"},
		{"ipv6/conf/all/disable_ipv6", "0"},
		{"ipv6/conf/default/disable_ipv6", "0"},
		{"ipv6/conf/default/accept_dad", "0"},
		{"ipv6/conf/default/accept_ra", "0"},
		{"ipv6/conf/default/router_solicitations", "0"},
	}
}

// routerSysctls are the additional settings that a node needs to forward pod traffic.
func routerSysctls() []sysctl {
	return []sysctl{
		{"ipv4/ip_forward", "1"},
		{"ipv6/conf/all/forwarding", "1"},
		{"ipv6/conf/default/forwarding", "1"},
	}
}

// newHost makes a namespace whose loopback device is up, with the sysctls of a
// host and those given.
func newHost(c Config, name string, sysctls ...sysctl) (*Host, error) {
	ns, err := netns.New()
	if err != nil {
		return nil, fmt.Errorf("make host %s: %w", name, err)
	}
	h := &Host{Name: name, NS: ns}
	if h.links, err = netlink.NewHandleAt(vnetns.NsHandle(ns.Fd()), unix.NETLINK_ROUTE); err != nil {
		return nil, errors.Join(fmt.Errorf("open netlink in %s: %w", name, err), ns.Close())
	}
	sysctls = slices.Concat(hostSysctls(), sysctls)
	if !c.IPv6 {
		sysctls = withIPv4(sysctls)
	}
	if err := errors.Join(h.setSysctls(sysctls), h.up("lo")); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

// Sysctl writes value into a file below /proc/sys/net of the host.
func (h *Host) Sysctl(file, value string) error { return h.setSysctls([]sysctl{{file, value}}) }

func (h *Host) setSysctls(values []sysctl) error {
	return h.NS.Do(func() error {
		for _, s := range values {
			if err := os.WriteFile(filepath.Join("/proc/sys/net", s.file), []byte(s.value), 0); err != nil {
				return fmt.Errorf("set sysctl in %s: %w", h.Name, err)
			}
		}
		return nil
	})
}

// withIPv4 leaves out the sysctls that a kernel without IPv6 lacks.
func withIPv4(values []sysctl) []sysctl {
	return slices.DeleteFunc(slices.Clone(values), func(s sysctl) bool { return strings.HasPrefix(s.file, "ipv6/") })
}

// Addrs returns the host's addresses, IPv4 first.
func (h *Host) Addrs() []netip.Addr {
	return slices.DeleteFunc([]netip.Addr{h.Addr4, h.Addr6}, func(a netip.Addr) bool { return !a.IsValid() })
}

// Netlink returns the host's rtnetlink handle, for changes without a method of their
// own. The handle belongs to the host.
func (h *Host) Netlink() *netlink.Handle { return h.links }

// own closes c together with the host. A closed host closes it at once.
func (h *Host) own(c io.Closer) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return errors.Join(fmt.Errorf("use host %s: %w", h.Name, os.ErrClosed), c.Close())
	}
	h.owned = append(h.owned, c)
	return nil
}

// Close ends everything that runs inside the host and releases its namespace. A second
// Close does nothing.
func (h *Host) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil
	}
	h.closed = true
	var errs []error
	for _, c := range slices.Backward(h.owned) {
		errs = append(errs, c.Close())
	}
	h.links.Close()
	return errors.Join(append(errs, h.NS.Close())...)
}
