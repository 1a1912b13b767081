// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nl_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fairlead/internal/nl"
	"fairlead/internal/nl/nltest"
	"fairlead/internal/nstest"
)

// TestListenRefused: a socket that rests listens as others do where a filter of system calls
// refuses what it needs for that. It says so, and leaves no descriptor open.
func TestListenRefused(t *testing.T) {
	for name, errno := range map[string]error{"fcntl": unix.EPERM, "eventfd2": unix.ENOSYS, "poll": unix.EPERM} {
		t.Run(name, func(t *testing.T) {
			ns := nstest.New(t)
			cfg := nl.Config{Protocol: unix.NETLINK_NETFILTER, Namespace: ns}
			writer, err := nl.Dial(cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = writer.Close() }()
			open := descriptors(t)
			var refused []error
			cfg.Calls = &nltest.Refuser{Errnos: map[string]error{name: errno}}
			cfg.Groups, cfg.Rest = []uint32{unix.NFNLGRP_NFTABLES}, time.Millisecond
			cfg.Refused = func(err error) { refused = append(refused, err) }
			s, err := nl.Dial(cfg)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			heard := 0
			err = s.Listen(ctx, func(nl.Reply) { heard++ }, cancel, func() {
				var m nl.Messages
				m.BeginTransaction(unix.NFNL_SUBSYS_NFTABLES)
				addTable(&m, "t")
				if err := writer.Transact(&m, func(_ int, err error) { t.Error(err) }); err != nil {
					t.Error(err)
				}
			})
			if err != nil || heard == 0 {
				t.Errorf("heard %d notifications: %v", heard, err)
			}
			if len(refused) != 1 || !errors.Is(refused[0], errno) {
				t.Errorf("told of %v, want one %v", refused, errno)
			}
			_ = s.Close()
			if now := descriptors(t); now != open {
				t.Errorf("%d descriptors are open, %d were before", now, open)
			}
		})
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
