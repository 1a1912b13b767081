// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nl

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fairlead/internal/nstest"
)

func TestMain(m *testing.M) { nstest.Main(m) }

func dial(t *testing.T, cfg Config) *Socket {
	t.Helper()
	s, err := Dial(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// address encodes a request about the address 10.x.y.z/32 on loopback, where
// x.y.z is i.
func address(m *Messages, kind uint16, i int) {
	flags := unix.NLM_F_CREATE | unix.NLM_F_EXCL
	if kind == unix.RTM_DELADDR {
		flags = 0
	}
	a := binary.BigEndian.AppendUint32(nil, 10<<24|uint32(i))
	loopback := binary.NativeEndian.AppendUint32([]byte{unix.AF_INET, 32, 0, 0}, 1) // device 1
	m.Begin(kind, flags, loopback...)
	m.Attr(unix.IFA_LOCAL, a...)
	m.Attr(unix.IFA_ADDRESS, a...)
}

func dumpAddresses(s *Socket, each func(Reply)) error {
	var m Messages
	m.Begin(unix.RTM_GETADDR, 0, make([]byte, unix.SizeofIfAddrmsg)...)
	return s.Dump(&m, each)
}

// fill adds n addresses.
func fill(t *testing.T, s *Socket, n int) {
	t.Helper()
	var m Messages
	for from := 0; from < n; from += 100 {
		m.Reset()
		for i := range min(100, n-from) {
			address(&m, unix.RTM_NEWADDR, from+i)
		}
		if err := s.Do(&m); err != nil {
			t.Fatal(err)
		}
	}
}

// TestWrite has some of many requests refused, and each refusal names its own.
func TestWrite(t *testing.T) {
	s := dial(t, Config{Namespace: nstest.New(t)})
	fill(t, s, 10)
	var m Messages
	for i := range 20 {
		address(&m, unix.RTM_NEWADDR, i) // the first 10 exist
	}
	// The network 10.0.0.1/8, about which each kernel has words.
	m.Begin(unix.RTM_NEWROUTE, unix.NLM_F_CREATE, unix.AF_INET, 8, 0, 0, unix.RT_TABLE_MAIN, unix.RTPROT_STATIC, unix.RT_SCOPE_LINK, unix.RTN_UNICAST, 0, 0, 0, 0)
	m.Attr(unix.RTA_DST, 10, 0, 0, 1)
	m.Attr(unix.RTA_OIF, binary.NativeEndian.AppendUint32(nil, 1)...)
	var refused []int
	err := s.Write(&m, func(i int, err error) {
		if refused = append(refused, i); i < 10 && !errors.Is(err, unix.EEXIST) || i == 20 && (!errors.Is(err, unix.EINVAL) || !strings.Contains(err.Error(), "Invalid prefix for given prefix length")) {
			t.Errorf("request %d: %v", i, err)
		}
	})
	if err != nil || !slices.Equal(refused, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 20}) {
		t.Errorf("refused %v: %v", refused, err)
	}
	m.Reset()
	if err := s.Write(&m, nil); err != nil {
		t.Errorf("nothing to write: %v", err)
	}
	count := 0
	if err := dumpAddresses(s, func(Reply) { count++ }); err != nil || count != 20 {
		t.Errorf("%d addresses: %v", count, err)
	}
}

// TestStale leaves answers of given up requests in the socket: they count for
// nobody.
func TestStale(t *testing.T) {
	s := dial(t, Config{Namespace: nstest.New(t)})
	fill(t, s, 1)
	var m Messages
	address(&m, unix.RTM_NEWADDR, 0)
	address(&m, unix.RTM_NEWADDR, 0)
	if _, err := s.submit(&m); err != nil {
		t.Fatal(err)
	}
	s.pending = false // leave it to the sequence numbers
	m.Reset()
	address(&m, unix.RTM_NEWADDR, 1)
	if err := s.Do(&m); err != nil {
		t.Errorf("an old refusal was taken for a new one: %v", err)
	}
	m.Reset()
	m.Begin(unix.RTM_GETADDR, unix.NLM_F_DUMP, make([]byte, unix.SizeofIfAddrmsg)...) // one dump at a time
	if _, err := s.submit(&m); err != nil {
		t.Fatal(err)
	}
	count := 0
	if err := dumpAddresses(s, func(Reply) { count++ }); err != nil || count != 2 {
		t.Errorf("%d addresses, want 2: %v", count, err)
	}
}

// TestRefusesTooLarge sends nothing that does not fit.
func TestRefusesTooLarge(t *testing.T) {
	s := dial(t, Config{Namespace: nstest.New(t)})
	var m Messages
	address(&m, unix.RTM_NEWADDR, 1)
	address(&m, unix.RTM_NEWADDR, 2)
	m.Attr(99, make([]byte, 1<<16)...)
	if err := s.Write(&m, nil); !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), "message 2: attribute 99 has 65536 bytes") {
		t.Errorf("an attribute: %v", err)
	}
	m.Reset()
	for m.Size() <= s.MaxSend() {
		address(&m, unix.RTM_NEWADDR, 1)
	}
	if err := s.Write(&m, nil); !errors.Is(err, ErrTooLarge) {
		t.Errorf("%d bytes, limit %d: %v", m.Size(), s.MaxSend(), err)
	}
	if err := dumpAddresses(s, func(Reply) { t.Error("an address was added") }); err != nil {
		t.Error(err)
	}
	// What the limit allows, the kernel takes.
	m.Reset()
	m.Begin(unix.RTM_NEWADDR, 0, 1, 2, 3, 4, 5, 6, 7, 8)
	for m.Size()+1<<15 < s.MaxSend() {
		m.Attr(99, make([]byte, 1<<15-attrLen)...)
	}
	m.Attr(99, make([]byte, s.MaxSend()-m.Size()-attrLen)...)
	if err := s.Do(&m); m.Size() != s.MaxSend() || errors.Is(err, unix.EMSGSIZE) || errors.Is(err, ErrTooLarge) {
		t.Errorf("%d bytes, limit %d: %v", m.Size(), s.MaxSend(), err)
	}
}

// TestInterrupted changes the kernel during a dump. One that is interrupted says
// so, and Repeat begins again.
func TestInterrupted(t *testing.T) {
	const many = 3000 // about 200 KiB
	ns := nstest.New(t)
	s, other := dial(t, Config{Namespace: ns}), dial(t, Config{Namespace: ns})
	fill(t, s, many)
	count, tries, disturb := 0, 0, 1
	read := func() error {
		count = 0
		tries++
		return dumpAddresses(s, func(Reply) {
			if count++; count == 1 && tries <= disturb {
				var m Messages
				address(&m, unix.RTM_DELADDR, tries)
				if err := other.Do(&m); err != nil {
					t.Error(err)
				}
			}
		})
	}
	if err := read(); !errors.Is(err, ErrInterrupted) {
		t.Fatalf("an interrupted dump: %v", err)
	}
	tries, disturb = 1, 3
	if err := Repeat("addresses", read); err != nil || tries != 4 || count != many-3 {
		t.Errorf("%d tries, %d addresses: %v", tries, count, err)
	}
	tries, disturb = 3, 100
	if err := Repeat("addresses", read); !errors.Is(err, ErrInterrupted) || tries != 3+dumpTries {
		t.Errorf("%d tries: %v", tries, err)
	}
}

// TestLost makes more answers than the socket has room for.
func TestLost(t *testing.T) {
	s := dial(t, Config{Namespace: nstest.New(t), ReceiveBuffer: 4096, Timeout: 100 * time.Millisecond})
	var m Messages
	for range 500 {
		address(&m, unix.RTM_DELADDR, 1)
	}
	if err := s.Write(&m, nil); !errors.Is(err, ErrLost) {
		t.Fatalf("lost answers: %v", err)
	}
	m.Reset()
	address(&m, unix.RTM_NEWADDR, 1)
	if err := s.Do(&m); err != nil {
		t.Errorf("the next request: %v", err)
	}
	// Nothing was asked, so nothing comes.
	if _, err := s.answer(); !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), "no answer within 100ms") {
		t.Errorf("no answer: %v", err)
	}
}

// TestListen hears of what another socket does, and hears when it missed some.
func TestListen(t *testing.T) {
	for _, rest := range []time.Duration{0, time.Millisecond} {
		t.Run(rest.String(), func(t *testing.T) { testListen(t, rest) })
	}
}

func testListen(t *testing.T, rest time.Duration) {
	t.Helper()
	ns := nstest.New(t)
	writer := dial(t, Config{Namespace: ns})
	s := dial(t, Config{Namespace: ns, Groups: []uint32{unix.RTNLGRP_IPV4_IFADDR}, ReceiveBuffer: 4096, Rest: rest})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	heard, lost := 0, 0
	blocked := false
	err := s.Listen(ctx, func(r Reply) {
		if heard++; r.Kind != unix.RTM_NEWADDR || r.Port != writer.Port() || r.Port == s.Port() {
			t.Errorf("notification %d from port %d, want one from %d", r.Kind, r.Port, writer.Port())
		}
	}, func() {
		if !blocked {
			blocked = true
			fill(t, writer, 1001) // the first exists
		}
	}, func() {
		switch lost++; lost {
		case 1:
			var m Messages
			address(&m, unix.RTM_NEWADDR, 2000)
			if err := writer.Do(&m); err != nil {
				t.Error(err)
			}
		case 2:
			cancel()
		}
	})
	if err != nil || lost != 2 || heard == 0 || heard > 500 {
		t.Errorf("heard %d, lost %d times: %v", heard, lost, err)
	}
}

// TestListenRests has many notifications come one by one, so that a socket that rests reads those
// of each rest together. It hears all of them, ends when the context is done, also while it rests,
// and leaves no descriptor open.
func TestListenRests(t *testing.T) {
	const addresses = 2000
	ns := nstest.New(t)
	writer := dial(t, Config{Namespace: ns})
	open := descriptors(t)
	s := dial(t, Config{Namespace: ns, Groups: []uint32{unix.RTNLGRP_IPV4_IFADDR}, ReceiveBuffer: 4 << 20, Rest: 100 * time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	heard, reads := 0, 0
	written := make(chan error)
	err := s.Listen(ctx, func(Reply) { heard++ }, func() {
		if reads++; heard == addresses {
			cancel()
		}
	}, func() {
		go func() {
			var m Messages
			var err error
			for i := range addresses {
				m.Reset()
				address(&m, unix.RTM_NEWADDR, i+1)
				err = errors.Join(err, writer.Do(&m))
			}
			written <- err
		}()
	})
	if err := errors.Join(err, <-written); err != nil || heard != addresses || reads > addresses/2 {
		t.Errorf("heard %d of %d in %d readings: %v", heard, addresses, reads, err)
	}
	if now := descriptors(t); now != open {
		t.Errorf("%d descriptors are open, %d were before", now, open)
	}
	s = dial(t, Config{Namespace: ns, Groups: []uint32{unix.RTNLGRP_IPV4_IFADDR}, Rest: time.Hour})
	often := oftenness{rest: time.Hour}
	for range freeWakes {
		if rest := often.due(); rest != 0 {
			t.Errorf("a rest of %s after few wake-ups", rest)
		}
	}
	if rest := often.due(); rest != time.Hour {
		t.Errorf("a rest of %s after many wake-ups", rest)
	}
	sleep(ctx, time.Hour) // which is done
	if err := s.Listen(ctx, func(Reply) {}, nil, nil); err != nil {
		t.Error(err)
	}
}

// descriptors returns how many descriptors this process has open.
func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// TestNetfilter talks to nf_tables on the same kind of socket.
func TestNetfilter(t *testing.T) {
	s := dial(t, Config{Protocol: unix.NETLINK_NETFILTER, Namespace: nstest.New(t), SendBuffer: 1 << 20})
	if s.MaxSend() < 200<<10 {
		t.Errorf("MaxSend %d", s.MaxSend())
	}
	var m Messages
	m.Begin(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_GETTABLE, 0, unix.NFPROTO_UNSPEC, 0, 0, 0)
	if err := s.Dump(&m, func(Reply) { t.Error("a table in an empty namespace") }); err != nil {
		t.Errorf("dump tables: %v", err)
	}
	m.Reset()
	m.Begin(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_GETTABLE, 0, unix.NFPROTO_INET, 0, 0, 0)
	m.String(unix.NFTA_TABLE_NAME, "missing")
	if err := s.Get(&m, func(Reply) { t.Error("a table in an empty namespace") }); !errors.Is(err, unix.ENOENT) {
		t.Errorf("get a missing table: %v", err)
	}
	m.Reset()
	m.Begin(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_GETGEN, 0, unix.NFPROTO_UNSPEC, 0, 0, 0)
	replies := 0
	if err := s.Get(&m, func(r Reply) {
		if replies++; Attr(r.Body[4:], unix.NFTA_GEN_ID) == nil {
			t.Errorf("no generation in %x", r.Body)
		}
	}); err != nil || replies != 1 {
		t.Errorf("%d generations: %v", replies, err)
	}
}

// TestDialErrors names what cannot be opened.
func TestDialErrors(t *testing.T) {
	if _, err := Dial(Config{Protocol: 31}); err == nil || !strings.Contains(err.Error(), "protocol 31") {
		t.Errorf("an unknown protocol: %v", err)
	}
	if _, err := Dial(Config{Groups: []uint32{1 << 20}, Namespace: nstest.New(t)}); err == nil || !strings.Contains(err.Error(), "join group") {
		t.Errorf("an unknown group: %v", err)
	}
	s := dial(t, Config{})
	var m Messages
	if err := s.Dump(&m, nil); err == nil {
		t.Error("a dump without a message")
	}
}
