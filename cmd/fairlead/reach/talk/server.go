// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package talk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// maxReply bounds an answer, in bytes.
	maxReply = 1024
	// askSize is the size of a datagram that asks, in bytes. Servers answer no smaller
	// one, so that nobody can use them to send a victim more than was sent to them.
	askSize = 512
	// maxBytes bounds what one request can ask a server to send.
	maxBytes = 4 << 30
)

// answer is what a server says about itself and the client.
type answer struct {
	Server string         `json:"server"`
	Source netip.AddrPort `json:"source"`
	Nonce  string         `json:"nonce,omitempty"` // of the datagram that asked
}

// Server answers over TCP, as HTTP, and over UDP on one port of all addresses.
type Server struct {
	name string
	tcp  net.Listener
	udp  *net.UDPConn
}

// Listen opens the sockets in the network namespace of the calling thread. Run closes
// them.
func Listen(name string, port uint16) (*Server, error) {
	address := ":" + strconv.Itoa(int(port))
	tcp, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("serve %s: %w", name, err)
	}
	udp, err := net.ListenPacket("udp", address)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("serve %s: %w", name, err), tcp.Close())
	}
	return &Server{name: name, tcp: tcp, udp: udp.(*net.UDPConn)}, nil
}

// Run answers until ctx is done, and returns nil then.
func (s *Server) Run(ctx context.Context) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.identify)
	mux.HandleFunc("GET /bytes", send)
	web := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 1 << 14}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := web.Serve(s.tcp); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	g.Go(s.datagrams)
	g.Go(func() error {
		<-ctx.Done()
		return errors.Join(web.Close(), s.udp.Close())
	})
	return g.Wait()
}

func (s *Server) identify(w http.ResponseWriter, r *http.Request) {
	source, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer{Server: s.name, Source: unmap(source)}) // else the client is gone
}

// send writes as many bytes as the client asks for.
func send(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.ParseInt(r.URL.Query().Get("n"), 10, 64)
	if err != nil || n < 0 || n > maxBytes {
		http.Error(w, fmt.Sprintf("n is not a number up to %d", int64(maxBytes)), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	_, _ = io.CopyN(w, zeros{}, n) // else the client is gone
}

// zeros is endless.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// datagrams answers until the socket is closed.
func (s *Server) datagrams() error {
	buf := make([]byte, askSize)
	for {
		n, from, err := s.udp.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil || n < askSize {
			continue // an error of an earlier answer, or nobody of ours
		}
		b, err := json.Marshal(answer{Server: s.name, Source: unmap(from), Nonce: nonceOf(buf)})
		if err == nil && len(b) <= n {
			_, _ = s.udp.WriteToUDPAddrPort(b, from) // the client asks again
		}
	}
}

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }
