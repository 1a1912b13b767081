// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package kernel_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"fairlead/internal/inet"
	"fairlead/internal/nstest"
	"fairlead/nat"
	"fairlead/nat/nattest"
)

// TestWatch is poked by others and not by ourselves.
func TestWatch(t *testing.T) {
	ns, table, s := ofVariety(t)

	ctx, cancel := context.WithCancel(t.Context())
	pokes, done := make(chan nat.Writer, 100), make(chan error)
	go func() {
		done <- table.Watch(ctx, func(w nat.Writer) { pokes <- w })
	}()
	if w := <-pokes; w.PID != 0 { // for all that was before
		t.Errorf("what was before the watch is said to be of %v", w)
	}
	// change runs nft and returns the pokes until that for what nft did, and without it.
	change := func(command string) (others []nat.Writer) {
		t.Helper()
		nft := nstest.Command(t, ns, "nft", command)
		if out, err := nft.CombinedOutput(); err != nil {
			t.Fatalf("nft %s: %v\n%s", command, err, out)
		}
		late := time.After(30 * time.Second)
		for {
			select {
			case w := <-pokes:
				if w.PID != uint32(nft.Process.Pid) {
					others = append(others, w)
					continue
				}
				unpacked := strings.HasPrefix(w.Name, "ld-linux") // the nft of another release, see nftversions.sh
				if w.Name != "nft" && !unpacked {
					t.Errorf("the table was changed by %v, want nft", w)
				}
				return others
			case <-late:
				t.Fatalf("no poke for %s, and others: %v", command, others)
			}
		}
	}
	change("add chain inet fairlead mine")
	s.Set(nattest.Addr("10.96.0.99:80", inet.TCP), nat.Frontend{Policy: nat.Internal, Owner: "d/new", Backends: nattest.Pods(3)})
	settle(t, s, table)
	nftCommand(t, ns, "add table inet other")
	nftCommand(t, ns, "add chain inet other c")
	nftCommand(t, ns, "add table ip fairlead")
	if others := change("flush ruleset"); len(others) > 0 {
		t.Errorf("pokes for our own commits and for other tables: %v", others)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Watch: %v", err)
	}
}

// TestWatchScope tells changes of chains and rules, of elements and of anything else apart.
func TestWatchScope(t *testing.T) {
	ns := nstest.New(t)
	table := open(t, ns)
	settle(t, fillState(10, 2), table)
	ctx, cancel := context.WithCancel(t.Context())
	pokes, done := make(chan nat.Writer, 100), make(chan error)
	go func() { done <- table.Watch(ctx, func(w nat.Writer) { pokes <- w }) }()
	if w := <-pokes; w.Changed != 0 {
		t.Error("what was before the watch is taken for a change of rules")
	}
	for _, tt := range []struct {
		command string
		changed nat.Scope
	}{
		{"insert rule inet fairlead services accept", nat.Rules},
		{"add chain inet fairlead postrouting { policy drop; }", nat.Rules},
		{"add element inet fairlead nodes4 { 192.0.2.66 }", nat.Elements},
		{"add element inet fairlead service-cidrs4 { 192.0.2.66 }", nat.Elements},
		{"flush set inet fairlead nodes4; insert rule inet fairlead services accept", nat.Rules | nat.Elements},
		{"add set inet fairlead mine { type ipv4_addr; }", nat.Everything},
		{"flush chain inet fairlead services", nat.Rules},
		{"add table inet fairlead { flags dormant; }", nat.Everything},
		{"delete table inet fairlead", nat.Everything},
	} {
		nftCommand(t, ns, tt.command)
		select {
		case w := <-pokes:
			if w.Changed&nat.Everything != tt.changed&nat.Everything || tt.changed != nat.Everything && w.Changed != tt.changed {
				t.Errorf("%s: scope %b, want %b", tt.command, w.Changed, tt.changed)
			}
		case <-time.After(30 * time.Second):
			t.Errorf("%s: no poke", tt.command)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestWatchLost changes the table while no notification arrives: the number of the last
// transaction gives the change away, once. Where notifications arrive, our own commits
// are no reason to poke, however often the number is checked.
func TestWatchLost(t *testing.T) {
	const every = 400 * time.Millisecond // a notification may take as long
	for _, deaf := range []bool{true, false} {
		t.Run(fmt.Sprintf("deaf=%v", deaf), func(t *testing.T) {
			ns := nstest.New(t)
			table := open(t, ns)
			s := fillState(10, 2)
			settle(t, s, table)
			ctx, cancel := context.WithCancel(t.Context())
			pokes, done := make(chan nat.Writer, 100), make(chan error)
			go func() {
				done <- table.WatchWith(ctx, every, deaf, func(w nat.Writer) { pokes <- w })
			}()
			<-pokes // for all that was before
			if deaf {
				nftCommand(t, ns, "flush ruleset")
				select {
				case <-pokes:
				case <-time.After(30 * time.Second):
					t.Error("no poke for a change without a notification")
				}
			} else {
				for i := range 10 {
					s.Set(clusterService(i, 3))
					settle(t, s, table)
					time.Sleep(every / 2)
				}
			}
			select {
			case w := <-pokes:
				t.Errorf("a poke about %v, for nothing", w)
			case <-time.After(3 * every):
			}
			cancel()
			if err := <-done; err != nil {
				t.Errorf("Watch: %v", err)
			}
		})
	}
}
