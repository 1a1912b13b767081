// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nl

import (
	"encoding/binary"
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"fairlead/internal/nstest"
)

// plainCalls are the system calls themselves.
type plainCalls struct{}

func (plainCalls) Enter() error { return nil }

func (plainCalls) Send(fd int, b []byte) error {
	return unix.Sendto(fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
}

func (plainCalls) Receive(fd int, b []byte, flags int) (int, unix.Sockaddr, error) {
	return unix.Recvfrom(fd, b, flags)
}

// linkQuestion asks for a device by its number.
func linkQuestion(m *Messages, index uint32) {
	var info [unix.SizeofIfInfomsg]byte
	binary.NativeEndian.PutUint32(info[4:], index)
	m.Begin(unix.RTM_GETLINK, 0, info[:]...)
}

// TestGetAll asks for more than one read has room for. Each answer and each refusal belongs to
// its question, and they come in order.
func TestGetAll(t *testing.T) {
	for name, calls := range map[string]Calls{"alone": nil, "with calls": plainCalls{}} {
		t.Run(name, func(t *testing.T) {
			s := dial(t, Config{Namespace: nstest.New(t), ReceiveBuffer: 4 << 20, Calls: calls})
			const many = 100
			for _, last := range []uint32{1, 99} { // an answer at the end, and a refusal
				var m Messages
				for i := range many - 1 {
					linkQuestion(&m, []uint32{1, 1, 99}[i%3])
				}
				linkQuestion(&m, last)
				next := 0
				err := s.GetAll(&m, func(i int, r Reply) {
					if i != next || i%3 == 2 || r.Kind != unix.RTM_NEWLINK {
						t.Errorf("message %d of kind %d answers question %d", next, r.Kind, i)
					}
					next = i + 1
				}, func(i int, err error) {
					if i != next || !errors.Is(err, unix.ENODEV) {
						t.Errorf("message %d refuses question %d: %v", next, i, err)
					}
					next = i + 1
				})
				if err != nil || next != many {
					t.Errorf("%d of %d answers: %v", next, many, err)
				}
			}
			var m Messages
			address(&m, unix.RTM_NEWADDR, 1)
			if err := s.Do(&m); err != nil {
				t.Errorf("the next request: %v", err)
			}
		})
	}
}

// TestForged has another program with all capabilities send to our socket.
func TestForged(t *testing.T) {
	ns := nstest.New(t)
	s, other := dial(t, Config{Namespace: ns}), dial(t, Config{Namespace: ns})
	var m Messages
	address(&m, unix.RTM_NEWADDR, 1)
	var err error
	if failed := other.raw.Control(func(fd uintptr) {
		err = unix.Sendto(int(fd), m.b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Pid: s.Port()})
	}); failed != nil {
		t.Fatal(failed)
	}
	if !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("the kernel delivers it: %v", err)
	}
}
