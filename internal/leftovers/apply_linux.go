// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package leftovers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	rtnl "github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"fairlead/internal/netns"
)

// Apply removes the objects of p in order, and calls done for each object with its
// error. It goes on after an object that cannot be removed; the returned error names
// all of those.
func Apply(ctx context.Context, ns *netns.NS, p Plan, done func(*Removal, error)) error {
	h, err := handle(ns)
	if err != nil {
		return err
	}
	defer h.Close()
	x := &remover{ns: ns, routes: h}
	var errs []error
	for i := range p.Removals {
		if err := ctx.Err(); err != nil {
			return errors.Join(append(errs, err)...)
		}
		r := &p.Removals[i]
		err := x.remove(r)
		done(r, err)
		if err != nil {
			errs = append(errs, fmt.Errorf("remove %s of %s: %w", r, r.Owner, err))
		}
	}
	return errors.Join(errs...)
}

type remover struct {
	ns     *netns.NS
	routes *rtnl.Handle
}

func (x *remover) remove(r *Removal) error {
	var err error
	switch r.Kind {
	case KindTable:
		err = x.table(r.Name)
	case KindRules:
		return x.rules(r)
	case KindSet:
		err = x.routes.IpsetDestroy(r.Name)
	case KindRoutingRule:
		err = x.routingRule(&r.Rule)
	case KindRoute:
		err = x.route(&r.Route)
	case KindDevice:
		err = x.routes.LinkDel(&rtnl.GenericLink{LinkAttrs: rtnl.LinkAttrs{Name: r.Name, Index: r.index}})
	case KindConflist, KindFile:
		err = removeFile(r.Name)
	}
	if gone(err) {
		return nil
	}
	return err
}

// gone reports that an object was missing when it should be removed.
func gone(err error) bool {
	for _, e := range []error{unix.ENOENT, unix.ENODEV, unix.ESRCH, fs.ErrNotExist} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func removeFile(name string) error {
	if err := os.Remove(name); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// route deletes by all properties that identify a route.
func (x *remover) route(r *Route) error {
	out := &rtnl.Route{
		Dst: ipNet(r.Dst), LinkIndex: r.Device, Protocol: rtnl.RouteProtocol(r.Protocol), Priority: r.Metric, Table: cmp.Or(r.Table, unix.RT_TABLE_MAIN),
	}
	if r.Blackhole {
		out.Type, out.LinkIndex = unix.RTN_BLACKHOLE, 0
	}
	if r.Via.IsValid() {
		out.Gw = r.Via.AsSlice()
	}
	return x.routes.RouteDel(out)
}

// routingRule deletes by all properties that identify a rule.
func (x *remover) routingRule(r *RoutingRule) error {
	out := rtnl.NewRule()
	out.Family = unix.AF_INET
	if r.Src.Addr().Is6() {
		out.Family = unix.AF_INET6
	}
	out.Src, out.Mark, out.Mask, out.Table, out.Priority, out.Protocol = ipNet(r.Src), r.Mark, &r.Mask, r.Table, r.Priority, r.Protocol
	return x.routes.RuleDel(out)
}

func (x *remover) table(name string) error {
	t, err := kernelTable(name)
	if err != nil {
		return err
	}
	return x.transaction(func(c *nftables.Conn) { c.DelTable(t) })
}

func (x *remover) transaction(queue func(*nftables.Conn)) error {
	conn, err := nftables.New(nftables.WithNetNSFd(fd(x.ns)), nftables.WithSockOptions(func(c *netlink.Conn) error {
		// Best effort: without CAP_NET_ADMIN in the first user namespace the
		// default size has to suffice.
		_, _ = c.SetWriteBuffer(bufferSize), c.SetReadBuffer(bufferSize)
		return nil
	}))
	if err != nil {
		return err
	}
	queue(conn)
	return conn.Flush()
}

// rules first removes the jumps, so that no packet meets an incomplete chain. Then it
// empties all chains, which refer to each other, and removes them.
func (x *remover) rules(r *Removal) error {
	t, err := kernelTable(r.Name)
	if err != nil {
		return err
	}
	var errs []error
	jumps := make([]step, len(r.Rules))
	for i, j := range r.Rules {
		rule := &nftables.Rule{Table: t, Chain: &nftables.Chain{Name: j.Chain, Table: t}, Handle: j.Rule.Handle}
		jumps[i] = step{fmt.Sprintf("jump from %s to %s", j.Chain, j.Rule.Target), func(c *nftables.Conn) { _ = c.DelRule(rule) }}
	}
	errs = append(errs, x.steps(jumps)...)
	var flush, drop []step
	for _, name := range r.Chains {
		chain := &nftables.Chain{Name: name, Table: t}
		flush = append(flush, step{"rules of chain " + name, func(c *nftables.Conn) { c.FlushChain(chain) }})
		drop = append(drop, step{"chain " + name, func(c *nftables.Conn) { c.DelChain(chain) }})
	}
	return errors.Join(append(append(errs, x.steps(flush)...), x.steps(drop)...)...)
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// step is one operation of a transaction.
type step struct {
	object string
	queue  func(*nftables.Conn)
}

// steps takes many steps at once, and those of a transaction that failed one by
// one.
func (x *remover) steps(all []step) []error {
	var errs []error
	for len(all) > 0 {
		some := all[:min(chunk, len(all))]
		all = all[len(some):]
		if x.take(some...) == nil {
			continue
		}
		for _, s := range some {
			if err := x.take(s); err != nil && !gone(err) {
				errs = append(errs, fmt.Errorf("remove %s: %w", s.object, err))
			}
		}
	}
	return errs
}

func (x *remover) take(steps ...step) error {
	return x.transaction(func(c *nftables.Conn) {
		for _, s := range steps {
			s.queue(c)
		}
	})
}
