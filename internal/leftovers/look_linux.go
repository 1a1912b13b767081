// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package leftovers

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strings"

	rtnl "github.com/vishvananda/netlink"
	vnetns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"fairlead/internal/netns"
)

// tries bounds how often a dump is repeated that changes while it is read.
const tries = 10

// Look reads the State of a network namespace, nil for that of the process, and of
// files. The error names everything that could not be read; Look returns the rest
// nevertheless.
func Look(ns *netns.NS, o Options) (*State, error) {
	s := &State{}
	errs := []error{s.lookTables(ns)}
	h, err := handle(ns)
	if err != nil {
		return s, errors.Join(append(errs, err)...)
	}
	defer h.Close()
	errs = append(errs, s.lookLinks(h), s.lookRoutes(h, o.RouteTable), s.lookRules(h), s.lookSets(h), inside(ns, s.lookProc), s.lookFiles(o), s.lookBridges(o))
	return s, errors.Join(errs...)
}

func handle(ns *netns.NS) (*rtnl.Handle, error) {
	at := vnetns.None()
	if ns != nil {
		at = vnetns.NsHandle(ns.Fd())
	}
	h, err := rtnl.NewHandleAt(at, unix.NETLINK_ROUTE, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	return h, nil
}

func inside(ns *netns.NS, f func() error) error {
	if ns == nil {
		return f()
	}
	return ns.Do(f)
}

// insist repeats a dump that was interrupted by a change.
func insist(what string, f func() error) error {
	var err error
	for range tries {
		err = f()
		if !errors.Is(err, rtnl.ErrDumpInterrupted) && !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("list %s: %w", what, err)
	}
	return nil
}

func (s *State) lookLinks(h *rtnl.Handle) error {
	return insist("devices", func() error {
		links, err := h.LinkList()
		if err != nil {
			return err
		}
		s.Links = nil
		ports := map[int]int{}
		for _, l := range links {
			ports[l.Attrs().MasterIndex]++
		}
		for _, l := range links {
			a := l.Attrs()
			s.Links = append(s.Links, Link{Index: a.Index, Name: a.Name, Kind: l.Type(), Alias: a.Alias, Ports: ports[a.Index]})
		}
		return nil
	})
}

// lookRoutes lists the routes of the main table, and of another one unless that is 0.
func (s *State) lookRoutes(h *rtnl.Handle, table int) error {
	return insist("routes", func() error {
		s.Routes = nil
		for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
			for _, table := range []int{unix.RT_TABLE_MAIN, table} {
				if table == 0 {
					continue
				}
				routes, err := h.RouteListFiltered(family, &rtnl.Route{Table: table}, rtnl.RT_FILTER_TABLE)
				if err != nil {
					return err
				}
				s.addRoutes(routes)
			}
		}
		return nil
	})
}

func (s *State) addRoutes(routes []rtnl.Route) {
	for _, r := range routes {
		if r.Dst == nil {
			continue
		}
		out := Route{
			Dst: prefix(r.Dst), Device: r.LinkIndex, Protocol: uint8(r.Protocol), Metric: r.Priority,
			Blackhole: r.Type == unix.RTN_BLACKHOLE,
		}
		if r.Table != unix.RT_TABLE_MAIN {
			out.Table = r.Table
		}
		via, _ := netip.AddrFromSlice(r.Gw)
		out.Via = via.Unmap()
		s.Routes = append(s.Routes, out)
	}
}

// lookRules lists the routing rules with a source. A kernel without policy routing has none.
func (s *State) lookRules(h *rtnl.Handle) error {
	return insist("routing rules", func() error {
		s.Rules = nil
		for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
			rules, err := h.RuleList(family)
			if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EAFNOSUPPORT) {
				continue
			}
			if err != nil {
				return err
			}
			for _, r := range rules {
				if r.Src == nil {
					continue
				}
				out := RoutingRule{Src: prefix(r.Src), Mark: r.Mark, Table: r.Table, Priority: r.Priority, Protocol: r.Protocol}
				if r.Mask != nil {
					out.Mask = *r.Mask
				}
				s.Rules = append(s.Rules, out)
			}
		}
		return nil
	})
}

func prefix(n *net.IPNet) netip.Prefix {
	addr, _ := netip.AddrFromSlice(n.IP)
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(addr.Unmap(), bits)
}

// lookSets lists sets of ipset. A kernel that has none yet may lack the module.
func (s *State) lookSets(h *rtnl.Handle) error {
	sets, err := h.IpsetListAll()
	if err != nil {
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP) {
			return nil
		}
		return fmt.Errorf("list ipsets: %w", err)
	}
	for _, set := range sets {
		if set.SetName != "" {
			s.Sets = append(s.Sets, set.SetName)
		}
	}
	return nil
}

// lookProc reads state that netlink does not offer, in the namespace of the calling
// thread.
func (s *State) lookProc() error {
	text, err := os.ReadFile("/proc/thread-self/net/ip_vs")
	if err == nil {
		// Three lines of heading, then services.
		s.Virtual = bytes.Count(text, []byte("\n")) > 3
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("list services of IPVS: %w", err)
	}
	return s.lookLegacy()
}

func (s *State) lookFiles(o Options) error {
	var errs []error
	for _, name := range []string{o.conflist(Flannel), o.conflist(Fairlead), o.SubnetFile} {
		if name == "" {
			continue
		}
		if _, err := os.Lstat(name); err == nil {
			s.Files = append(s.Files, name)
		} else if !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("look for file: %w", err))
		}
	}
	if text, err := os.ReadFile(o.SubnetFile); err == nil {
		s.parseSubnets(string(text))
	}
	if text, err := os.ReadFile(o.conflist(Fairlead)); err == nil {
		s.Bridge = bridgeOf(text)
	}
	return errors.Join(errs...)
}

// bridgeOf returns the bridge that a conflist names.
func bridgeOf(conflist []byte) string {
	var c struct {
		Plugins []struct{ Bridge string }
	}
	if err := json.Unmarshal(conflist, &c); err != nil || len(c.Plugins) == 0 {
		return "" // fairlead writes no such file
	}
	return c.Plugins[0].Bridge
}

// parseSubnets reads flannel's file. It skips lines that it does not understand, so
// that too little is removed rather than too much.
func (s *State) parseSubnets(text string) {
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		for v := range strings.SplitSeq(value, ",") {
			p, err := netip.ParsePrefix(strings.TrimSpace(v))
			if err != nil {
				continue
			}
			switch key {
			case "FLANNEL_SUBNET", "FLANNEL_IPV6_SUBNET":
				s.Subnets = append(s.Subnets, p.Masked())
			case "FLANNEL_NETWORK", "FLANNEL_IPV6_NETWORK":
				s.Networks = append(s.Networks, p.Masked())
			}
		}
	}
}
