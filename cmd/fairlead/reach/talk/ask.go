// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package talk

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"

	"fairlead/cmd/fairlead/reach/plan"
)

// Dialer connects from where a client is.
type Dialer func(ctx context.Context, network, address string) (net.Conn, error)

// ask makes one new connection and returns the server's answer.
func (d Dialer) ask(ctx context.Context, proto plan.Proto, target string) (plan.Reply, error) {
	if proto == plan.UDP {
		return d.askUDP(ctx, target)
	}
	return d.askTCP(ctx, target)
}

func (d Dialer) askTCP(ctx context.Context, target string) (plan.Reply, error) {
	var local net.Addr
	transport := &http.Transport{DisableKeepAlives: true, MaxResponseHeaderBytes: 1 << 14, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := d(ctx, network, address)
		if err == nil {
			local = c.LocalAddr()
		}
		return c, err
	}}
	client := http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+target+"/", nil)
	if err != nil {
		return plan.Reply{}, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return plan.Reply{}, unwrapURL(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxReply))
	if err != nil {
		return plan.Reply{}, err
	}
	if resp.StatusCode != http.StatusOK {
		return plan.Reply{}, fmt.Errorf("another program answers: HTTP status %s", resp.Status)
	}
	a, err := decode(b)
	return plan.Reply{Server: a.Server, Source: a.Source.Addr(), Local: addrOf(local)}, err
}

// resend is the time after which a datagram counts as lost.
const resend = 500 * time.Millisecond

func (d Dialer) askUDP(ctx context.Context, target string) (plan.Reply, error) {
	c, err := d(ctx, "udp", target)
	if err != nil {
		return plan.Reply{}, err
	}
	defer func() { _ = c.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	ask, nonce := make([]byte, askSize), rand.Text()
	copy(ask, nonce)
	buf := make([]byte, maxReply)
	for {
		if _, err := c.Write(ask); err != nil {
			return plan.Reply{}, errors.Join(ctx.Err(), err)
		}
		if err := c.SetReadDeadline(time.Now().Add(resend)); err != nil {
			return plan.Reply{}, err
		}
		n, err := c.Read(buf)
		if ctx.Err() != nil {
			return plan.Reply{}, ctx.Err()
		}
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			continue
		}
		if err != nil {
			return plan.Reply{}, err
		}
		a, err := decode(buf[:n])
		if err != nil || a.Nonce != nonce {
			continue
		}
		return plan.Reply{Server: a.Server, Source: a.Source.Addr(), Local: addrOf(c.LocalAddr())}, nil
	}
}

// nonceOf returns what tells the datagrams of clients apart.
func nonceOf(ask []byte) string { return string(ask[:len(rand.Text())]) }

func decode(b []byte) (a answer, err error) {
	if err := json.Unmarshal(b, &a); err != nil {
		return a, fmt.Errorf("another program answers: %w", err)
	}
	return a, nil
}

func addrOf(a net.Addr) netip.Addr {
	if a == nil {
		return netip.Addr{}
	}
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

// Direct is the dialer of the calling process.
func Direct(ctx context.Context, network, address string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, address)
}
