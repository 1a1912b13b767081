// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"
	cliflag "k8s.io/component-base/cli/flag"

	"fairlead/cmd/fairlead/explain"
	"fairlead/cmd/fairlead/follow"
	"fairlead/cmd/fairlead/inspect"
	"fairlead/cmd/fairlead/output"
	"fairlead/internal/inet"
	"fairlead/internal/nft"
	"fairlead/internal/worker"
	"fairlead/nat/listing"
	"fairlead/nat/ruleset"
)

// Bounds of fairlead trace.
const (
	maxTraced    = 1000                   // packets
	maxMatches   = 64                     // addresses of a Service
	tracedIdle   = 300 * time.Millisecond // after which a packet has ended
	traceCheck   = 100 * time.Millisecond
	traceBacklog = 4096 // steps that wait to be sorted
	perSecond    = 50
)

// traceFlags are the flags of fairlead trace.
type traceFlags struct {
	from, to, format string
	count            int
	timeout          time.Duration
	all, replies     bool
	read             readFlags
}

func newTraceCommand() *cobra.Command {
	f := &traceFlags{}
	cmd := &cobra.Command{
		Use:   "trace [NAMESPACE/SERVICE[:PORT] | ADDRESS[:PORT]]",
		Short: "Follow real packets through the chains of this node",
		Long: `Follow real packets through the chains of this node: those to a Service or an address,
of everybody or of --from; with --replies also what comes back. Each rule that matches
is a line, in tables of other programs, too. The command makes a table of its own that
marks the packets; the kernel removes it when the command ends, also when it is killed
(kernel 5.13). Only packets that open a connection are followed, unless --all is set: no
other packet meets the chains that choose an endpoint. The kernel reports at most 50
packets a second. The exit code is 1 if no packet came. The command needs CAP_NET_ADMIN,
and nobody but the command sees the packets. A bundle has no packets: with --bundle the
command says which way its table has for them, as fairlead explain does.`,
		Example: `  fairlead trace default/web
  fairlead trace --from default/client-0 --replies kube-system/kube-dns:53/udp
  fairlead trace --from 10.244.1.7 --to 10.96.0.10:53/udp --count 1
  fairlead trace --bundle node.tar.gz default/web`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeExplain(&f.read),
		RunE:              func(cmd *cobra.Command, args []string) error { return f.run(cmd, args) },
	}
	f.read.register(cmd, f.register)
	_ = cmd.RegisterFlagCompletionFunc("from", completeFrom(&f.read))
	return cmd
}

func (f *traceFlags) register(groups *cliflag.NamedFlagSets) {
	fs := groups.FlagSet("Packets")
	fs.StringVar(&f.from, "from", "", `sender: an address or range, a Pod ([NAMESPACE/]NAME), a Node, or "node" for this node; names need the API server or manifests`)
	fs.StringVar(&f.to, "to", "", "what the sender dials, instead of an argument")
	fs.BoolVar(&f.replies, "replies", false, "follow what comes back, too")
	fs.BoolVar(&f.all, "all", false, "follow all packets of a connection")
	fs.IntVar(&f.count, "count", 5, "end after this many packets, at most 1000")
	fs.DurationVar(&f.timeout, "timeout", 30*time.Second, "end after this time")
	groups.FlagSet("Output").StringVarP(&f.format, "output", "o", "table", "table, or json for a line for each packet")
}

func (f *traceFlags) run(cmd *cobra.Command, args []string) error {
	if f.format != "table" && f.format != "json" {
		return fmt.Errorf("--output: %q is not table or json", f.format)
	}
	if f.read.bundle != "" {
		return f.replay(cmd, args)
	}
	if f.count < 1 || f.count > maxTraced {
		return fmt.Errorf("--count: %d is not from 1 to %d", f.count, maxTraced)
	}
	table, tableErr := inspect.LoadTable(cmd.Context())
	matches, err := f.matches(cmd, args, table, tableErr)
	if err != nil {
		return err
	}
	tracer, err := inspect.OpenTrace(ruleset.Trace{Matches: matches, Replies: f.replies, PerSecond: perSecond, Burst: uint32(f.count)})
	if err != nil {
		return err
	}
	defer func() { _ = tracer.Close() }()
	return f.follow(cmd, tracer, names(table))
}

// dials returns what the packets are for.
func (f *traceFlags) dials(args []string) (string, error) {
	if (len(args) == 1) == (f.to != "") {
		return "", errors.New("give what is dialled, or --to, and not both")
	}
	if len(args) == 1 {
		return args[0], nil
	}
	return f.to, nil
}

// replay says which way the table of a bundle has for the packets.
func (f *traceFlags) replay(cmd *cobra.Command, args []string) error {
	to, err := f.dials(args)
	if err != nil {
		return err
	}
	if err := f.read.saved(cmd, "all", "replies", "count", "timeout"); err != nil {
		return err
	}
	if f.format != "table" {
		return fmt.Errorf("a bundle has no packets, so there is no line for each: use fairlead explain --bundle %s -o json", output.Clean(f.read.bundle))
	}
	node, err := f.read.node(cmd)
	if err != nil {
		return err
	}
	fmt.Fprintln(cmd.ErrOrStderr(), "fairlead: a bundle has no packets: this is the way that its table has for them")
	p, err := explain.Read(cmd.Context(), node)
	if err != nil {
		return err
	}
	way, err := explain.Explain(cmd.Context(), p, to, f.from)
	if err != nil {
		return err
	}
	return way.Print(cmd.OutOrStdout(), false)
}

// matches returns what selects the packets.
func (f *traceFlags) matches(cmd *cobra.Command, args []string, table *listing.Table, tableErr error) ([]ruleset.TraceMatch, error) {
	to, err := f.dials(args)
	if err != nil {
		return nil, err
	}
	what, err := explain.ParseSubject(to)
	if err != nil {
		return nil, err
	}
	from, err := f.sources(cmd, what.Service.Namespace)
	if err != nil {
		return nil, err
	}
	targets := []inet.Addr{what.Addr}
	if what.Service.Name != "" {
		if tableErr != nil {
			return nil, tableErr
		}
		if targets, err = dialled(table, what); err != nil {
			return nil, err
		}
	}
	var out []ruleset.TraceMatch
	for _, to := range targets {
		for _, from := range from {
			if from.IsValid() && to.IP.IsValid() && inet.FamilyOf(to.IP) != inet.FamilyOf(from.Addr()) {
				continue
			}
			if len(out) == maxMatches {
				return nil, fmt.Errorf("more than %d pairs of addresses: give one address with --from or --to", maxMatches)
			}
			out = append(out, ruleset.TraceMatch{From: from, To: to, All: f.all})
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s and --from have no IP version in common", output.Clean(to))
	}
	return out, nil
}

// sources returns the ranges of --from; one that is not valid is any.
func (f *traceFlags) sources(cmd *cobra.Command, namespace string) ([]netip.Prefix, error) {
	if f.from == "" {
		return []netip.Prefix{{}}, nil
	}
	if p, err := netip.ParsePrefix(f.from); err == nil {
		if ip := p.Addr(); ip.Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(ip.Unmap(), p.Bits()-96)
		}
		return []netip.Prefix{p.Masked()}, nil
	}
	if a, err := netip.ParseAddr(f.from); err == nil {
		a = a.Unmap().WithZone("")
		return []netip.Prefix{netip.PrefixFrom(a, a.BitLen())}, nil
	}
	node, err := f.read.node(cmd)
	if err != nil {
		return nil, err
	}
	picture, err := explain.Read(cmd.Context(), node)
	if err != nil {
		return nil, err
	}
	addrs, err := picture.ClientAddrs(cmd.Context(), f.from, cmp.Or(namespace, "default"))
	if err != nil {
		return nil, err
	}
	out := make([]netip.Prefix, len(addrs))
	for i, a := range addrs {
		out[i] = netip.PrefixFrom(a, a.BitLen())
	}
	return out, nil
}

// dialled returns the addresses of a Service, or of a port of it.
func dialled(table *listing.Table, what *explain.Subject) (out []inet.Addr, err error) {
	for _, front := range table.Frontends(what.Service.String()) {
		s, err := explain.ParseSubject(strings.TrimPrefix(front.Address, "*") + "/" + front.Proto)
		if err != nil {
			return nil, err
		}
		if (what.Port == 0 || what.Port == s.Addr.Port) && (what.Proto == 0 || what.Proto == s.Addr.Proto) {
			out = append(out, s.Addr)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("the table has no frontend of Service %s for these packets", what.Service)
	}
	return out, nil
}

// names returns a function that says what an address of the table belongs to.
func names(table *listing.Table) func(netip.AddrPort) string {
	known := map[string]string{}
	if table != nil {
		for _, front := range table.Frontends("") {
			for _, e := range front.Endpoints {
				known[e.Address] = "endpoint of " + front.Service
			}
		}
		for _, front := range table.Frontends("") {
			known[front.Address] = "Service " + front.Service
		}
	}
	return func(a netip.AddrPort) string { return output.Clean(known[a.String()]) }
}

// follow prints packets until there are enough, or the time is over.
func (f *traceFlags) follow(cmd *cobra.Command, tracer *inspect.Tracer, name func(netip.AddrPort) string) error {
	ctx, cancel := context.WithTimeout(cmd.Context(), f.timeout)
	defer cancel()
	steps := make(chan nft.Trace, traceBacklog)
	lost := worker.NewWake()
	ended := make(chan error, 1)
	go func() {
		ended <- tracer.Run(ctx, func(t nft.Trace) {
			select {
			case steps <- t:
			default:
				lost.Set()
			}
		}, lost.Set)
	}()
	c := &follow.Collector{Own: ruleset.TableName, Rule: tracer.RuleText}
	tick := time.NewTicker(traceCheck)
	defer tick.Stop()
	printed := 0
	for printed < f.count {
		idle := tracedIdle
		select {
		case s := <-steps:
			c.Add(&s, time.Now(), maxTraced)
			continue
		case <-lost:
			fmt.Fprintln(cmd.ErrOrStderr(), "fairlead: the kernel reported more steps than could be read, so some are missing")
			continue
		case <-tick.C:
		case <-ctx.Done():
			idle = 0 // print what there is
		}
		for _, p := range c.Done(time.Now(), idle) {
			if printed++; printed <= f.count {
				if err := f.print(cmd, p, printed, name); err != nil {
					return err
				}
			}
		}
		if ctx.Err() != nil {
			break
		}
	}
	cancel()
	if err := <-ended; err != nil {
		return err
	}
	if printed == 0 {
		return fmt.Errorf("no such packet came to this node within %s", f.timeout)
	}
	return nil
}

func (f *traceFlags) print(cmd *cobra.Command, p *follow.Packet, number int, name func(netip.AddrPort) string) error {
	out := cmd.OutOrStdout()
	if f.format == "json" {
		return json.NewEncoder(out).Encode(p)
	}
	_, err := fmt.Fprint(out, output.Lines(p.Text(number, name)))
	return err
}
