// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package firewall

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	rtnl "github.com/vishvananda/netlink"
	vnetns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"fairlead/internal/netns"
	"fairlead/internal/nl"
)

// Ruleset holds the base chains of the hooks, without the table Own.
type Ruleset struct {
	tables  []*table
	unknown []Finding // tables that could not be read
	indexes map[string]uint32
}

// loadTries bounds how often a dump is repeated that changes while it is read.
const loadTries = 5

// Load reads all tables with a filter chain at the hooks forward, input, prerouting or
// postrouting, in the namespace with that descriptor, 0 for the current one. Its cost grows with the
// rules of other programs: call it at the start and when a table changed, not per
// Service.
func Load(ns int, own string) (*Ruleset, error) {
	r, err := load(ns, own, baseOf)
	if err != nil {
		return nil, err
	}
	return r, inside(ns, func() error { r.loadLegacy(); return nil })
}

// load reads the tables of those base chains of nftables for which pick returns a table, and
// the devices.
func load(ns int, own string, pick func(*nftables.Chain) (*table, hook)) (*Ruleset, error) {
	var r *Ruleset
	var err error
	for range loadTries {
		if r, err = loadNFT(ns, own, pick); !errors.Is(err, unix.EINTR) && !errors.Is(err, nl.ErrInterrupted) && !errors.Is(err, unix.ENOENT) {
			break // neither interrupted by a change nor about an object that was just removed
		}
	}
	if err != nil {
		return nil, fmt.Errorf("load firewall: %w", err)
	}
	if r.indexes, err = indexes(ns); err != nil {
		return nil, fmt.Errorf("list devices: %w", err)
	}
	return r, nil
}

// indexes returns the devices by name: rules with "iif" have the number.
func indexes(ns int) (map[string]uint32, error) {
	at := vnetns.None()
	if ns != 0 {
		at = vnetns.NsHandle(ns)
	}
	h, err := rtnl.NewHandleAt(at, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	links, err := h.LinkList()
	if err != nil && !errors.Is(err, rtnl.ErrDumpInterrupted) { // devices that came or went are unimportant
		return nil, err
	}
	out := make(map[string]uint32, len(links))
	for _, l := range links {
		out[l.Attrs().Name] = uint32(l.Attrs().Index)
	}
	return out, nil
}

func inside(ns int, f func() error) error {
	if ns == 0 {
		return f()
	}
	n, err := netns.Open(fmt.Sprintf("/proc/self/fd/%d", ns))
	if err != nil {
		return err
	}
	return errors.Join(n.Do(f), n.Close())
}

// loader reads one ruleset.
type loader struct {
	conn   *nftables.Conn
	socket *nl.Socket
}

func dial(ns int) (*loader, error) {
	conn, err := nftables.New(nftables.WithNetNSFd(ns))
	if err != nil {
		return nil, fmt.Errorf("open nftables: %w", err)
	}
	l := &loader{conn: conn}
	err = inside(ns, func() (err error) {
		l.socket, err = nl.Dial(nl.Config{Protocol: unix.NETLINK_NETFILTER})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open nftables: %w", err)
	}
	return l, nil
}

// loadNFT is one try of load, without the devices.
func loadNFT(ns int, own string, pick func(*nftables.Chain) (*table, hook)) (*Ruleset, error) {
	l, err := dial(ns)
	if err != nil {
		return nil, err
	}
	defer func() { _ = l.socket.Close() }()
	chains, err := l.conn.ListChains()
	if err != nil {
		return nil, fmt.Errorf("list chains: %w", err)
	}
	tables := map[string]*table{}
	kernel := map[string]*nftables.Table{}
	for _, c := range chains {
		if t, at := pick(c); t != nil && t.String() != own {
			if tables[t.String()] == nil {
				tables[t.String()], kernel[t.String()] = t, c.Table
			}
			base := &chain{name: c.Name, base: true, hook: at, policy: accept}
			if c.Priority != nil {
				base.priority = int32(*c.Priority)
			}
			if c.Policy != nil && *c.Policy == nftables.ChainPolicyDrop {
				base.policy = drop
			}
			tables[t.String()].chains[c.Name] = base
		}
	}
	r := &Ruleset{}
	for _, name := range slices.Sorted(maps.Keys(tables)) {
		if err := l.table(tables[name], kernel[name]); err != nil {
			return nil, fmt.Errorf("load table %s: %w", name, err)
		}
		r.tables = append(r.tables, tables[name])
	}
	return r, nil
}

// baseOf returns the empty table of a filter chain at one of the hooks.
func baseOf(c *nftables.Chain) (*table, hook) {
	if c.Hooknum == nil || c.Type != nftables.ChainTypeFilter {
		return nil, ""
	}
	at, ok := map[nftables.ChainHook]hook{
		*nftables.ChainHookForward: forwardHook, *nftables.ChainHookInput: inputHook, *nftables.ChainHookPrerouting: preroutingHook,
		*nftables.ChainHookPostrouting: postroutingHook,
	}[*c.Hooknum]
	if !ok {
		return nil, ""
	}
	return tableOf(c), at
}

// tableOf returns the empty table of a chain, or nil for one of a bridge, whose hooks see
// switched packets.
func tableOf(c *nftables.Chain) *table {
	family := map[nftables.TableFamily]string{
		nftables.TableFamilyIPv4: "ip", nftables.TableFamilyIPv6: "ip6", nftables.TableFamilyINet: "inet",
	}[c.Table.Family]
	if family == "" {
		return nil
	}
	return &table{family: family, name: c.Table.Name, chains: map[string]*chain{}}
}

// table reads the rules of a table, and those sets that they use.
func (l *loader) table(t *table, k *nftables.Table) error {
	raw, err := l.rules(k)
	if err != nil {
		return fmt.Errorf("list rules: %w", err)
	}
	all, err := l.conn.GetSets(k)
	if err != nil {
		return fmt.Errorf("list sets: %w", err)
	}
	sets := map[string]*set{}
	queue := slices.Sorted(maps.Keys(t.chains))
	for len(queue) > 0 {
		name := queue[0]
		queue = queue[1:]
		c := t.chains[name]
		for i, r := range raw[name] {
			for _, e := range r.exprs {
				lookup, ok := e.(*expr.Lookup)
				if !ok || sets[lookup.SetName] != nil {
					continue
				}
				if sets[lookup.SetName], err = l.set(all, lookup.SetName); err != nil {
					return fmt.Errorf("list set %s: %w", lookup.SetName, err)
				}
			}
			c.rules = append(c.rules, rule{number: i + 1, handle: r.handle, eval: program(r.exprs, sets)})
			for _, next := range targets(r.exprs, sets) {
				if t.chains[next] == nil {
					t.chains[next] = &chain{name: next}
					queue = append(queue, next)
				}
			}
		}
	}
	return nil
}

// targets returns the chains that a rule may jump to.
func targets(exprs []any, sets map[string]*set) []string {
	var out []string
	add := func(v *expr.Verdict) {
		if v != nil && v.Chain != "" {
			out = append(out, v.Chain)
		}
	}
	for _, e := range exprs {
		switch e := e.(type) {
		case *expr.Verdict:
			add(e)
		case *expr.Lookup:
			if s := sets[e.SetName]; s != nil && s.mapping {
				for i := range s.elements {
					add(s.elements[i].VerdictData)
				}
			}
		}
	}
	return out
}

// set reads one set. It returns nil for a missing set, and expressions that look into
// it are then opaque.
func (l *loader) set(all []*nftables.Set, name string) (*set, error) {
	i := slices.IndexFunc(all, func(s *nftables.Set) bool { return s.Name == name })
	if i < 0 {
		return nil, nil //nolint:nilnil // nil is the set that nothing is known of
	}
	elements, err := l.conn.GetSetElements(all[i])
	if err != nil {
		return nil, err
	}
	return &set{elements: elements, interval: all[i].Interval, mapping: all[i].IsMap}, nil
}
