// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"fairlead/internal/inet"
	"fairlead/internal/lab"
)

// Two families. A test runs for each of them, as an index of what has an
// address of both.
var ipFamilies = [2]string{"IPv4", "IPv6"}

func eachFamily(t *testing.T, f func(t *testing.T, family int)) {
	t.Helper()
	for i, name := range ipFamilies {
		t.Run(name, func(t *testing.T) { f(t, i) })
	}
}

// origin is where a connection comes from.
type origin struct {
	host *lab.Host
	addr [2]netip.Addr
}

func from(h *lab.Host) origin { return origin{h, [2]netip.Addr{h.Addr4, h.Addr6}} }

// The three kinds of clients. The node dials with its second address, so that
// masquerade can be seen.
func (b *bed) pod() origin      { return from(b.client.Host) }
func (b *bed) itself() origin   { return origin{b.node.Host, second} }
func (b *bed) external() origin { return from(b.Outside) }

func tcp(ip netip.Addr, port uint16) inet.Addr { return inet.Addr{IP: ip, Port: port, Proto: inet.TCP} }
func udp(ip netip.Addr, port uint16) inet.Addr { return inet.Addr{IP: ip, Port: port, Proto: inet.UDP} }
func sctp(ip netip.Addr, port uint16) inet.Addr {
	return inet.Addr{IP: ip, Port: port, Proto: inet.SCTP}
}

// dial makes one connection, with time for the answer of a busy machine, and says what became of it: the endpoint that
// answered with "m" for masqueraded or "-" for not, or the word of the error.
func (b *bed) dial(ctx context.Context, client origin, to inet.Addr) string {
	ctx, cancel := context.WithTimeout(ctx, answered)
	defer cancel()
	family := 0
	if to.IP.Is6() {
		family = 1
	}
	c, err := client.host.OpenFrom(ctx, client.addr[family], to)
	if err != nil {
		return lab.Outcome(lab.Reply{}, err)
	}
	reply := c.Reply
	_ = c.Close()
	return b.describe(reply, client.addr[family])
}

// describe tells whether a server saw the client or an address that node-1 has
// on the way to a server.
func (b *bed) describe(r lab.Reply, client netip.Addr) string {
	saw := r.Source.Addr()
	gateways := []netip.Addr{b.node.PodCIDRs[0].Addr().Next(), b.node.PodCIDRs[1].Addr().Next()}
	switch {
	case saw == client:
		return r.Server + " -"
	case slices.Contains(b.node.Addrs(), saw), slices.Contains(gateways, saw):
		return r.Server + " m"
	}
	return r.String()
}

const (
	// fewest and most connections are made before an expectation is met, or
	// given up: of two endpoints one is missed by chance once in 2^most times,
	// and one that should not answer is missed once in 2^fewest.
	fewest, most = 16, 64
	// answered is how long an answer may take on a machine with other things to
	// do, silence how long none has to come until we believe that none will.
	answered, silence = 20 * time.Second, 300 * time.Millisecond
)

// probe makes connections until each endpoint that want names has answered, and
// none that it does not. want is "here -", "here there m" or one of the words of
// lab.Outcome. It returns want, or what happened instead.
func (b *bed) probe(ctx context.Context, client origin, to inet.Addr, want string) string {
	words := strings.Fields(want)
	if len(words) == 1 {
		if want == lab.ErrTimeout.Error() {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, silence)
			defer cancel()
		}
		return b.dial(ctx, client, to)
	}
	names, mark := words[:len(words)-1], " "+words[len(words)-1]
	missing := slices.Clone(names)
	for n := 1; n <= most; n++ {
		got := b.dial(ctx, client, to)
		name, ok := strings.CutSuffix(got, mark)
		if !ok || !slices.Contains(names, name) {
			return got
		}
		missing = slices.DeleteFunc(missing, func(s string) bool { return s == name })
		if n >= fewest && len(missing) == 0 {
			return want
		}
	}
	return "never " + strings.Join(missing, " ")
}

// expect is probe that fails the test. The evaluation of the table must say the same.
func (b *bed) expect(t *testing.T, client origin, to inet.Addr, want string) {
	t.Helper()
	b.expectAll(t, try{client, to, want})
}

// try is one expectation.
type try struct {
	from origin
	to   inet.Addr
	want string
}

// expectAll makes all tries at once, so that those that wait wait together.
func (b *bed) expectAll(t *testing.T, tries ...try) {
	t.Helper()
	var all sync.WaitGroup
	got := make([]string, len(tries))
	foreseen := make([]string, len(tries))
	for i, try := range tries {
		foreseen[i] = b.foresee(t, try.from, try.to)
		all.Go(func() { got[i] = b.probe(t.Context(), try.from, try.to, try.want) })
	}
	all.Wait()
	for i, try := range tries {
		if got[i] != try.want {
			t.Errorf("%s to %s: got %q, want %q", try.from.host.Name, try.to, got[i], try.want)
		}
		if !b.agrees(foreseen[i], try.want) {
			t.Errorf("%s to %s: the evaluation of the table says %q, want %q", try.from.host.Name, try.to, foreseen[i], try.want)
		}
	}
}
