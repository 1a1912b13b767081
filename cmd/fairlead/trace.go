// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"
	cliflag "k8s.io/component-base/cli/flag"

	"fairlead/cmd/fairlead/follow"
	"fairlead/cmd/fairlead/inspect"
	"fairlead/cmd/fairlead/options"
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
	all              bool
}

func newTraceCommand() *cobra.Command {
	f := &traceFlags{}
	cmd := &cobra.Command{
		Use:   "trace [NAMESPACE/NAME]",
		Short: "Follow real packets through the chains of this node",
		Long: `Follow real packets through the chains of this node: those to a Service, or to --to.
Each rule that matches is a line, in tables of other programs, too. The command makes a
table of its own that marks the packets; the kernel removes it when the command ends, also
when it is killed (kernel 5.13). Only packets that open a connection are followed, unless
--all is set: no other packet meets the chains that choose an endpoint. The kernel reports
at most 50 packets a second. The exit code is 1 if no packet came. The command needs
CAP_NET_ADMIN, and nobody but the command sees the packets.`,
		Example: `  fairlead trace default/web
  fairlead trace --from 10.244.1.7 --to 10.96.0.10:53/udp --count 1`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args) },
	}
	var groups cliflag.NamedFlagSets
	fs := groups.FlagSet("Packets")
	fs.StringVar(&f.from, "from", "", "address or range of the sender")
	fs.StringVar(&f.to, "to", "", "address, address:port or address:port/udp that the sender dials, instead of a Service")
	fs.BoolVar(&f.all, "all", false, "follow all packets of a connection")
	fs.IntVar(&f.count, "count", 5, "end after this many packets, at most 1000")
	fs.DurationVar(&f.timeout, "timeout", 30*time.Second, "end after this time")
	groups.FlagSet("Output").StringVarP(&f.format, "output", "o", "table", "table, or json for a line for each packet")
	options.Sections(cmd, &groups)
	return cmd
}

func (f *traceFlags) run(cmd *cobra.Command, args []string) error {
	if f.format != "table" && f.format != "json" {
		return fmt.Errorf("--output: %q is not table or json", f.format)
	}
	if f.count < 1 || f.count > maxTraced {
		return fmt.Errorf("--count: %d is not from 1 to %d", f.count, maxTraced)
	}
	table, tableErr := inspect.LoadTable(cmd.Context())
	matches, err := f.matches(args, table, tableErr)
	if err != nil {
		return err
	}
	tracer, err := inspect.OpenTrace(ruleset.Trace{Matches: matches, PerSecond: perSecond, Burst: uint32(f.count)})
	if err != nil {
		return err
	}
	defer func() { _ = tracer.Close() }()
	return f.follow(cmd, tracer, names(table))
}

// matches returns what selects the packets.
func (f *traceFlags) matches(args []string, table *listing.Table, tableErr error) ([]ruleset.TraceMatch, error) {
	m := ruleset.TraceMatch{All: f.all}
	var err error
	if f.from != "" {
		if m.From, err = parseRange(f.from); err != nil {
			return nil, fmt.Errorf("--from: %w", err)
		}
	}
	if (len(args) == 1) == (f.to != "") {
		return nil, errors.New("give a Service or --to, and not both")
	}
	if f.to != "" {
		if m.To, err = parseTo(f.to); err != nil {
			return nil, fmt.Errorf("--to: %w", err)
		}
		return []ruleset.TraceMatch{m}, nil
	}
	if err := checkServiceName(args[0]); err != nil || args[0] == "" {
		return nil, fmt.Errorf("%q is not NAMESPACE/NAME", args[0])
	}
	if tableErr != nil {
		return nil, tableErr
	}
	var out []ruleset.TraceMatch
	for _, front := range table.Frontends(args[0]) {
		to, err := parseTo(strings.TrimPrefix(front.Address, "*") + "/" + front.Proto)
		if err != nil {
			return nil, err
		}
		if m.From.IsValid() && to.IP.IsValid() && inet.FamilyOf(to.IP) != inet.FamilyOf(m.From.Addr()) || len(out) == maxMatches {
			continue
		}
		m.To = to
		out = append(out, m)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("the table has no frontend of Service %s for these packets", args[0])
	}
	return out, nil
}

func parseRange(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, fmt.Errorf("%q is no address and no range", s)
	}
	return p.Masked(), nil
}

// parseTo reads ADDRESS, ADDRESS:PORT, :PORT, each with /PROTOCOL or without.
func parseTo(s string) (inet.Addr, error) {
	where, proto, given := strings.Cut(s, "/")
	out := inet.Addr{}
	if a, err := netip.ParseAddr(where); err == nil {
		out.IP = a
	} else {
		if strings.HasPrefix(where, ":") {
			where = "0.0.0.0" + where
		}
		ap, err := netip.ParseAddrPort(where)
		if err != nil {
			return out, fmt.Errorf("%q is not ADDRESS[:PORT][/PROTOCOL]", s)
		}
		out.Port, out.Proto = ap.Port(), inet.TCP
		if !ap.Addr().IsUnspecified() {
			out.IP = ap.Addr()
		}
	}
	if given {
		p, err := inet.ParseProto(proto)
		if err != nil {
			return out, fmt.Errorf("%q is not ADDRESS[:PORT][/PROTOCOL]: %w", s, err)
		}
		out.Proto = p
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
