// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"fairlead/internal/nstest"
	"fairlead/proxier/proxiertest"
)

// quarrel carries out nft commands in turn, 1,000 times a second, until end is called.
func (w *world) quarrel(t testing.TB, commands ...string) (end func()) {
	t.Helper()
	cmd := nstest.Command(t, w.ns, "nft", "-i")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for i := 0; ctx.Err() == nil; i++ {
			<-tick.C
			if _, err := fmt.Fprintln(in, commands[i%len(commands)]); err != nil {
				break
			}
		}
		_ = in.Close()
		_ = cmd.Wait()
	}()
	end = func() {
		cancel()
		_ = cmd.Process.Kill() // with what waits in the pipe
		<-ended
	}
	t.Cleanup(end)
	return end
}

// TestFightElements fights with a program that changes elements, or flushes everything,
// 1,000 times a second. The table is read a bounded number of times a second, most often
// while it is not there. One line names the program, a change of another Service is served
// meanwhile, and soon after the fight the table is as wanted.
func TestFightElements(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	const other = "10.96.0.200 . tcp . 80"
	for name, commands := range map[string][]string{
		"adds":    {"add element inet fairlead vips4 { " + other + " : goto refuse }", "delete element inet fairlead vips4 { " + other + " }"},
		"deletes": {"delete element inet fairlead vips4 { 10.96.0.77 . tcp . 80 }"},
		"flushes": {"flush ruleset"},
	} {
		t.Run(name, func(t *testing.T) {
			most := 3 // loads a second
			if name == "flushes" {
				most = 30
			}
			w := newTestWorld(t)
			log := w.run(t)
			service := func(n int) {
				t.Helper()
				if err := w.apply(fmt.Sprintf(`
apiVersion: v1
kind: Service
metadata: {namespace: default, name: new-%d}
spec: {clusterIP: 10.96.0.%d, ports: [{port: 80, protocol: TCP}]}
`, n, n)); err != nil {
					t.Fatal(err)
				}
			}
			has := func(n int) bool {
				key := fmt.Sprintf("{ 10.96.0.%d . tcp . 80 }", n)
				return nstest.Command(t, w.ns, "nft", "get", "element", "inet", "fairlead", "vips4", key).Run() == nil
			}
			service(77)
			proxiertest.Eventually(t, "the Service is served", func() bool { return has(77) })
			end := w.quarrel(t, commands...)
			proxiertest.Eventually(t, "a line about the fight", func() bool {
				return strings.Contains(log.String(), `"Warning: another program keeps changing the table, repairing it at most once per second: stop that program" by="nft (pid `)
			})
			loads, start := w.table.loads.Load()+w.table.rules.Load(), time.Now()
			service(78)
			if name != "flushes" { // no element lasts for longer than a millisecond then
				proxiertest.Eventually(t, "a new Service is served", func() bool { return has(78) })
			}
			time.Sleep(3 * time.Second)
			took := time.Since(start)
			if n := w.table.loads.Load() + w.table.rules.Load() - loads; float64(n) > float64(most)*took.Seconds()+4 {
				t.Errorf("%d loads in %s", n, took)
			}
			if n := strings.Count(log.String(), "keeps changing the table"); n != 1 {
				t.Errorf("%d lines about the fight, want 1:\n%s", n, log)
			}
			end()
			peace := time.Now()
			proxiertest.Eventually(t, "the table is as wanted", func() bool {
				_, err := nstest.Command(t, w.ns, "nft", "get", "element", "inet", "fairlead", "vips4", "{ "+other+" }").Output()
				return has(77) && has(78) && err != nil
			})
			t.Logf("%d loads in %s of fight; as wanted %s after it", w.table.loads.Load()+w.table.rules.Load()-loads, took, time.Since(peace))
		})
	}
}
